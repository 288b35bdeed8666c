//! Query parameters.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::problem::{Code, FieldError, Problem};

/// Longest query string, in bytes.
pub(crate) const QUERY_LEN_MAX: usize = 16 * 1024;
/// Most parameters of a query.
pub(crate) const PARAMETERS_MAX: usize = 64;

/// The query's parameters, taken one by one; mistakes are collected and reported together.
///
/// Every parameter must be taken before [`Query::finish`], which refuses the ones nobody knows: a typo
/// in a filter must not silently widen an answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

impl Query {
    /// Reads the query string.
    pub(crate) fn parse(query: &str) -> Result<Self, Problem> {
        if query.len() > QUERY_LEN_MAX {
            return Err(Problem::new(
                Code::InvalidQuery,
                format!("the query is longer than {QUERY_LEN_MAX} bytes"),
            ));
        }
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut errors = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if pairs.len() == PARAMETERS_MAX {
                return Err(Problem::new(
                    Code::InvalidQuery,
                    format!("the query has more than {PARAMETERS_MAX} parameters"),
                ));
            }
            if value.chars().any(char::is_control) {
                // No value we know has any, and PostgreSQL refuses NUL in texts.
                errors.push(FieldError::parameter(name, "contains a control character"));
            } else if pairs.iter().any(|(known, _)| *known == name) {
                errors.push(FieldError::parameter(name, "is given more than once"));
            } else {
                pairs.push((name.into_owned(), value.into_owned()));
            }
        }
        Ok(Self { pairs, errors })
    }

    /// Takes a parameter as it stands; an empty one counts as not given.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        self.take_raw(name).filter(|value| !value.is_empty())
    }

    /// Takes a parameter as it stands, also when it is empty.
    pub(crate) fn take_raw(&mut self, name: &str) -> Option<String> {
        let index = self.pairs.iter().position(|(known, _)| known == name)?;
        Some(self.pairs.swap_remove(index).1)
    }

    /// Takes a parameter and reads it; a value that cannot be read is remembered as a mistake.
    pub(crate) fn parse_as<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        self.take_with(name, |text| text.parse().map_err(|error: T::Err| error.to_string()))
    }

    /// Takes a parameter and reads it with `read`, whose error says what was expected.
    pub(crate) fn take_with<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.take(name)?;
        match read(&text) {
            Ok(value) => Some(value),
            Err(detail) => {
                self.reject(name, detail);
                None
            }
        }
    }

    /// Takes a list separated by commas and reads each part with `read`.
    pub(crate) fn take_list<T>(
        &mut self,
        name: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        self.take_with(name, |text| text.split(',').map(|part| read(part.trim())).collect())
    }

    /// Takes `true` or `false`.
    pub(crate) fn take_bool(&mut self, name: &str) -> Option<bool> {
        self.take_with(name, |text| match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => Err(format!("`{other}` is neither `true` nor `false`")),
        })
    }

    /// Remembers a mistake.
    pub(crate) fn reject(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.push(FieldError::parameter(name, detail));
    }

    /// Reports every mistake, unknown parameters included.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in std::mem::take(&mut self.pairs) {
            let detail = format!("`{name}` is not a parameter of this route");
            self.reject(&name, detail);
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::of_fields(Code::InvalidQuery, self.errors)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_mistake_is_reported_at_once() {
        let mut query = Query::parse("limit=x&limit=2&nope=1&flag=maybe&ok=%20a").expect("fits");
        assert_eq!(query.parse_as::<u16>("limit"), None);
        assert_eq!(query.take_bool("flag"), None);
        assert_eq!(query.take("ok").as_deref(), Some(" a"));
        let problem = query.finish().expect_err("four mistakes");
        let names: Vec<_> =
            problem.to_body(None).errors.into_iter().filter_map(|error| error.parameter).collect();
        assert_eq!(names, ["limit", "limit", "flag", "nope"]);
    }

    proptest! {
        #[test]
        fn rubbish_never_panics(text in ".{0,200}") {
            if let Ok(mut query) = Query::parse(&text) {
                query.parse_as::<u16>("limit");
                query.take_list("a", |part| Ok::<_, String>(part.len()));
                drop(query.finish());
            }
        }
    }
}
