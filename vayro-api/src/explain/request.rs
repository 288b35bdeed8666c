//! The visit that is to be explained, as a client describes it.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use serde::Deserialize;
use utoipa::ToSchema;
use vayro_core::timestamp::Timestamp;

use crate::problem::{Code, FieldError, Problem};

/// Longest address, in bytes.
const URL_LEN_MAX: usize = 8192;
/// Most headers.
const HEADERS_MAX: usize = 64;
/// Longest value of a header, in bytes.
const VALUE_LEN_MAX: usize = 8192;

/// A visit.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ExplainRequest)]
pub(super) struct ExplainInput {
    /// The whole short address, with its query.
    #[schema(example = "https://vay.ro/launch?utm_source=news")]
    url: String,
    /// The method, `GET` if left out.
    method: Option<String>,
    /// The headers. `Host` is that of `url` unless it is here.
    #[serde(default)]
    #[schema(required = false)]
    headers: Vec<HeaderInput>,
    /// The address the edge is connected with: the visitor's, or that of a proxy.
    address: Option<String>,
    /// When, now if left out.
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<String>,
    /// The visitor's country, in place of what the GeoIP file says about `address`.
    #[schema(example = "CH")]
    country: Option<String>,
}

/// A header.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ExplainHeader)]
struct HeaderInput {
    /// Its name.
    name: String,
    /// Its value.
    value: String,
}

/// A checked [`ExplainInput`].
#[derive(Debug)]
pub(super) struct Visited {
    pub(super) url: String,
    pub(super) is_https: bool,
    /// The host as sent, with its port.
    pub(super) authority: Vec<u8>,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) peer: Option<IpAddr>,
    pub(super) at: Option<Timestamp>,
    pub(super) country: Option<String>,
}

impl ExplainInput {
    /// Checks everything and names every mistake.
    pub(super) fn check(self) -> Result<Visited, Problem> {
        let mut errors = Vec::new();
        let mut reject = |pointer: &str, detail: String| errors.push(FieldError::field(pointer, detail));
        let uri = read_url(&self.url).map_err(|detail| reject("/url", detail)).ok();
        let method = self.method.as_deref().unwrap_or("GET");
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| reject("/method", format!("`{}` is not a method such as `GET`", brief(method))));
        let mut headers = HeaderMap::new();
        if self.headers.len() > HEADERS_MAX {
            reject("/headers", format!("has more than {HEADERS_MAX} headers"));
        }
        for (place, HeaderInput { name, value }) in self.headers.iter().take(HEADERS_MAX).enumerate() {
            let (given, name, value) = (name, HeaderName::try_from(name), HeaderValue::from_str(value));
            if name.is_err() {
                let detail = format!("`{}` is not the name of a header", brief(given));
                reject(&format!("/headers/{place}/name"), detail);
            }
            match (name, value) {
                (Ok(name), Ok(value)) if value.len() <= VALUE_LEN_MAX => {
                    headers.append(name, value);
                }
                (Ok(_), Ok(_)) => reject(
                    &format!("/headers/{place}/value"),
                    format!("a value has at most {VALUE_LEN_MAX} bytes"),
                ),
                (_, Err(_)) => reject(
                    &format!("/headers/{place}/value"),
                    format!("the value of `{}` has characters that no header has", brief(given)),
                ),
                (Err(_), _) => {}
            }
        }
        let address = self.address.as_deref().map(str::parse::<IpAddr>).transpose();
        let address = address.map_err(|_| reject("/address", "an address is such as `192.0.2.7`".to_owned()));
        let at = self.at.as_deref().map(str::parse::<Timestamp>).transpose();
        let at = at.map_err(|_| reject("/at", "an instant is such as `2026-05-10T12:00:00Z`".to_owned()));
        let is_country = |text: &String| text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic());
        if let Some(text) = self.country.as_ref().filter(|text| !is_country(text)) {
            let detail = format!("`{}` is not the code of a country such as `CH` (ISO 3166-1)", brief(text));
            reject("/country", detail);
        }
        match (uri, method, address, at) {
            (Some((uri, authority)), Ok(method), Ok(peer), Ok(at)) if errors.is_empty() => Ok(Visited {
                is_https: uri.scheme_str() == Some("https"),
                authority: headers.get(header::HOST).map_or(authority, |host| host.as_bytes().to_vec()),
                path: uri.path().to_owned(),
                query: uri.query().unwrap_or_default().to_owned(),
                url: self.url,
                method,
                headers,
                peer: peer.map(|peer| peer.to_canonical()),
                at,
                country: self.country.map(|country| country.to_ascii_uppercase()),
            }),
            _ => Err(Problem::of_fields(Code::InvalidFields, errors)),
        }
    }
}

fn read_url(text: &str) -> Result<(Uri, Vec<u8>), String> {
    if text.len() > URL_LEN_MAX {
        return Err(format!("an address has at most {URL_LEN_MAX} bytes"));
    }
    let malformed = || format!("`{}` is not an address such as `https://vay.ro/launch`", brief(text));
    let uri: Uri = text.parse().map_err(|_| malformed())?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(malformed());
    }
    match uri.authority().map(|authority| authority.as_str().to_owned()) {
        Some(authority) if authority.contains('@') => Err("the address must not hold credentials".to_owned()),
        Some(authority) => Ok((uri, authority.into_bytes())),
        None => Err(malformed()),
    }
}

/// Cuts what somebody wrote to what fits into a sentence.
fn brief(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(input: serde_json::Value) -> Result<Visited, Problem> {
        serde_json::from_value::<ExplainInput>(input).expect("its form").check()
    }

    #[test]
    fn a_visit_is_read_as_an_edge_gets_it() {
        let visited = check(json!({
            "url": "https://Go.Example:8443/l%61unch?a=b#c", "headers": [{ "name": "DNT", "value": "1" }],
            "address": "::ffff:192.0.2.7", "country": "ch",
        }))
        .expect("sound");
        assert_eq!((&*visited.path, &*visited.query, visited.is_https), ("/l%61unch", "a=b", true));
        assert_eq!(visited.authority, b"Go.Example:8443");
        assert_eq!(visited.peer, "192.0.2.7".parse().ok());
        assert_eq!((visited.method, visited.country.as_deref()), (Method::GET, Some("CH")));
        assert_eq!(visited.headers["dnt"], "1");
        let other = json!({ "url": "http://a/b", "headers": [{ "name": "host", "value": "go.example" }] });
        assert_eq!(check(other).expect("sound").authority, b"go.example");
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let input = json!({
            "url": "ftp://x/y", "method": "G T", "address": "nowhere", "at": "soon", "country": "CHE",
            "headers": [{ "name": "a b", "value": "x" }, { "name": "x", "value": "a\nb" }],
        });
        let problem = check(input).expect_err("mistakes");
        let pointers: Vec<String> =
            problem.to_body(None).errors.into_iter().map(|error| error.pointer.unwrap_or_default()).collect();
        assert_eq!(
            pointers,
            ["/url", "/method", "/headers/0/name", "/headers/1/value", "/address", "/at", "/country"]
        );
        for url in ["", "/launch", "vay.ro/launch", "https://", "https://a b/c", "https://u:p@vay.ro/x"] {
            assert!(check(json!({ "url": url })).is_err(), "{url}");
        }
    }
}
