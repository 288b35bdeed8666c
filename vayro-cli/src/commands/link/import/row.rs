//! One row of a file, read into a link.

use std::collections::HashMap;

use vayro_core::host::Host;
use vayro_core::link::TITLE_LEN_MAX;
use vayro_core::short_code::ShortCode;
use vayro_core::target::TargetUrl;
use vayro_core::timestamp::Timestamp;

use super::code;
use crate::client::links::NewLink;
use crate::commands::link::create::{redirect_status, with_scheme};

/// Name of the one field that every row needs.
pub(super) const TARGET_URL: &str = "target_url";

/// A row: its number in the file, and the link in it or what is wrong with it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Counted from 1, without the header.
    pub(super) number: usize,
    /// The link.
    pub(super) link: Result<NewLink, String>,
    /// For a link without a code, which of several equal ones of the file it is.
    pub(super) nth: Option<u32>,
}

impl Row {
    /// Returns the link as it is sent: with its own code, or with the one that is ours to try now.
    pub(super) fn with_code(&self, link: &NewLink, attempt: usize) -> NewLink {
        let chosen = self.nth.map(|nth| code::choose(link, nth, attempt));
        NewLink { short_code: chosen.or_else(|| link.short_code.clone()), ..link.clone() }
    }
}

/// Numbers rows from 1, and equal rows without a code from 0.
pub(super) fn number(links: impl Iterator<Item = Result<NewLink, String>>) -> Vec<Row> {
    let mut seen: HashMap<NewLink, u32> = HashMap::new();
    let mut nth_of = |link: &NewLink| {
        let count = seen.entry(link.clone()).or_default();
        *count += 1;
        *count - 1
    };
    links
        .enumerate()
        .map(|(index, link)| {
            let nth = link.as_ref().ok().filter(|link| link.short_code.is_none()).map(&mut nth_of);
            Row { number: index + 1, link, nth }
        })
        .collect()
}

/// Our fields, each with the names that other link shorteners give it.
const FIELDS: [(&str, &[&str]); 7] = [
    (TARGET_URL, &["url", "long_url", "longurl", "target", "destination", "destination_url", "original_url"]),
    ("short_code", &["code", "slug", "key", "keyword", "back_half", "shortcode"]),
    ("domain", &["host"]),
    ("title", &["name"]),
    ("redirect_status", &["status"]),
    ("is_active", &["active", "enabled"]),
    ("expires_at", &["expires", "expiration", "valid_until"]),
];

/// Fields that an export has and an import cannot set.
const READ_ONLY: [&str; 12] = [
    "id",
    "short_url",
    "state",
    "clicks",
    "last_click_at",
    "created_at",
    "updated_at",
    "archived_at",
    "deleted_at",
    "version",
    "workspace_id",
    "user_id",
];

/// Returns our name for a column.
pub(super) fn field_name(column: &str) -> Option<&'static str> {
    let column = normal(column);
    let found = FIELDS.iter().find(|(name, others)| *name == column || others.contains(&column.as_str()));
    found.map(|(name, _)| *name)
}

/// Tells whether a column is neither ours nor one that an export has.
pub(super) fn is_unknown(column: &str) -> bool {
    field_name(column).is_none() && !READ_ONLY.contains(&normal(column).as_str())
}

fn normal(column: &str) -> String {
    column.trim().to_ascii_lowercase().replace([' ', '-'], "_")
}

/// Reads a link from its fields; an empty value is a missing one.
pub(super) fn parse(fields: impl Iterator<Item = (&'static str, String)>) -> Result<NewLink, String> {
    let mut link = NewLink::default();
    for (name, value) in fields {
        if value.trim().is_empty() {
            continue;
        }
        set(&mut link, name, value)?;
    }
    if link.target_url.is_empty() {
        return Err("target URL is empty".to_owned());
    }
    Ok(link)
}

fn set(link: &mut NewLink, name: &'static str, value: String) -> Result<(), String> {
    match name {
        TARGET_URL => {
            let target = with_scheme(value);
            TargetUrl::parse(&target, &[]).map_err(|error| error.to_string())?;
            link.target_url = target;
        }
        "short_code" => {
            let code: ShortCode = value.parse().map_err(|error| format!("{error}"))?;
            if code.is_reserved() {
                return Err(format!("short code `{code}` is reserved"));
            }
            link.short_code = Some(code.to_string());
        }
        "domain" => {
            let host: Host = value.parse().map_err(|error| format!("{error}"))?;
            link.domain = Some(host.as_str().to_owned());
        }
        "title" if value.len() > TITLE_LEN_MAX => {
            return Err(format!("title is longer than {TITLE_LEN_MAX} bytes"));
        }
        "title" => link.title = Some(value),
        "redirect_status" => link.redirect_status = Some(redirect_status(&value)?),
        "is_active" => link.is_active = Some(parse_switch(&value)?),
        _ => {
            let at: Timestamp = value.parse().map_err(|error| format!("{error}"))?;
            link.expires_at = Some(at);
        }
    }
    Ok(())
}

fn parse_switch(value: &str) -> Result<bool, String> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err(format!("`{value}` is neither `true` nor `false`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(fields: &[(&'static str, &str)]) -> Result<NewLink, String> {
        parse(fields.iter().map(|(name, value)| (*name, (*value).to_owned())))
    }

    #[test]
    fn every_field_is_checked() {
        let target = (TARGET_URL, "https://a.example/");
        assert!(parsed(&[target]).is_ok());
        assert_eq!(parsed(&[("title", "x")]), Err("target URL is empty".to_owned()));
        for bad in [
            (TARGET_URL, "javascript:alert(1)"),
            ("short_code", "a b"),
            ("short_code", "login"),
            ("domain", "-"),
            ("redirect_status", "200"),
            ("is_active", "maybe"),
            ("expires_at", "tomorrow"),
        ] {
            assert!(parsed(&[target, bad]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_an_export_writes_is_known() {
        for column in crate::commands::link::export::COLUMNS {
            assert!(!is_unknown(column), "{column}");
        }
        assert!(is_unknown("tags"));
    }
}
