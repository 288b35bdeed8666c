//! What must hold of any bytes; called by the fuzz targets, and by the tests with the committed corpus.

use std::net::SocketAddr;

use http::Method;
use proxy_protocol_rs::{InvalidReason, ParseError, ProxyAddress};
use vayro_core::click::ClickMethod;
use vayro_core::visit::{Code, Wanted, wanted};

use crate::lane::request::read;
use crate::server::head::find_end;
use crate::server::proxy_header::parse;

/// More header lines than either parser takes.
const HEADERS_MAX: usize = 256;

/// What the fast lane reads, a common parser reads the same: where it ends, method, path, host and every header that
/// a click remembers.
///
/// # Panics
///
/// If that does not hold.
pub fn lane_request(bytes: &[u8]) {
    let trusted = read(bytes, true);
    let Some(request) = read(bytes, false) else {
        assert_eq!(trusted, None, "trust makes nothing plain");
        return;
    };
    assert!(trusted.is_none_or(|trusted| trusted == request), "trust changes nothing that is read");
    assert_eq!(read(&bytes[..request.len], false), Some(request), "nothing behind it matters");
    assert_eq!(read(&bytes[..request.len - 1], false), None, "it is whole at its end only");
    // Whether a body follows is judged with more caution there, by the beginnings of names.
    assert_eq!(find_end(bytes).map(|extent| extent.len), Some(request.len), "the same end");

    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    assert_eq!(parsed.parse(bytes), Ok(httparse::Status::Complete(request.len)));
    let method = match request.method {
        ClickMethod::Get => "GET",
        ClickMethod::Head => "HEAD",
    };
    assert_eq!((parsed.method, parsed.version), (Some(method), Some(1)));
    let target = parsed.path.expect("a target");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    assert_eq!(query.as_bytes(), request.query);
    let code = Code::new(request.code).expect("a code");
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    assert_eq!(wanted(&method, path.as_bytes()), Wanted::Link(code, request.method));

    let of = |name: &str| {
        let mut values = parsed.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        let value = values.next().map(|header| header.value.trim_ascii());
        assert!(values.next().is_none(), "one {name} at most");
        value
    };
    assert_eq!(of("host"), Some(request.host));
    assert_eq!(request.closes, of("connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close")));
    let remembered = &request.headers;
    for (name, value) in [
        ("user-agent", remembered.user_agent),
        ("referer", remembered.referer),
        ("accept-language", remembered.language),
        ("sec-purpose", remembered.sec_purpose),
        ("purpose", remembered.purpose),
        ("sec-gpc", remembered.sec_gpc),
        ("dnt", remembered.dnt),
    ] {
        assert_eq!(of(name), value, "{name}");
    }
    for name in ["content-length", "transfer-encoding", "upgrade", "expect", "trailer", "http2-settings"] {
        assert_eq!(of(name), None, "{name}");
    }
}

/// A head ends where a common parser says, if it can read it at all, and if no body is said to follow, none does.
///
/// # Panics
///
/// If that does not hold.
pub fn request_head(bytes: &[u8]) {
    let found = find_end(bytes);
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let status = parsed.parse(bytes);
    let Some(extent) = found else {
        assert!(!matches!(status, Ok(httparse::Status::Complete(_))), "whole for others");
        return;
    };
    assert_eq!(find_end(&bytes[..extent.len]), found, "nothing behind it matters");
    assert_eq!(find_end(&bytes[..extent.len - 1]), None, "it is whole at its end only");
    if let Ok(httparse::Status::Complete(len)) = status {
        assert_eq!(len, extent.len);
        if extent.has_no_body {
            assert!(matches!(parsed.method, Some("GET" | "HEAD")));
            for header in parsed.headers.iter() {
                let announces = ["content-length", "transfer-encoding", "upgrade", "expect"];
                assert!(!announces.iter().any(|name| header.name.eq_ignore_ascii_case(name)), "{header:?}");
            }
        }
    }
}

/// A PROXY header is whole at its end only, nothing behind it matters, and a common parser reads the same address.
///
/// # Panics
///
/// If that does not hold.
pub fn proxy_header(bytes: &[u8]) {
    let Ok(Some(header)) = parse(bytes) else { return };
    assert_eq!(parse(&bytes[..header.len]), Ok(Some(header)), "nothing behind it matters");
    for cut in 0..header.len {
        assert_eq!(parse(&bytes[..cut]), Ok(None), "it is whole at its end only, not at {cut}");
    }
    let Some(visitor) = header.visitor else { return };
    match proxy_protocol_rs::parse(bytes) {
        Ok((theirs, len)) => {
            let Some(ProxyAddress::Inet(source)) = theirs.source else { panic!("{theirs:?}") };
            assert_eq!(len, header.len, "the same end");
            assert_eq!(SocketAddr::new(source.ip().to_canonical(), source.port()), visitor);
        }
        // It reads what we skip.
        Err(ParseError::Invalid(InvalidReason::MalformedTlv { .. })) => {}
        Err(error) => panic!("not plain for others: {error}"),
    }
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lane_requests_hold_over_the_corpus() {
        replay::replay("lane_request", lane_request);
    }

    #[test]
    fn proxy_headers_hold_over_the_corpus() {
        replay::replay("proxy_header", proxy_header);
    }

    #[test]
    fn request_heads_hold_over_the_corpus() {
        replay::replay("request_head", request_head);
    }
}
