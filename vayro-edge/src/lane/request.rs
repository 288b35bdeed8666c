//! A strict reading of request heads: those of plain visits, which nobody could read in two ways.

use memchr::memchr;
use vayro_core::click::ClickMethod;
use vayro_core::short_code::ShortCode;
use vayro_core::visit::VisitHeaders;

/// Most header lines of a plain visit; browsers send some twenty.
const LINES_MAX: usize = 64;

/// The head of a plain visit, borrowed from the bytes that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    /// Length of the head in bytes.
    pub(crate) len: usize,
    /// The method.
    pub(crate) method: ClickMethod,
    /// The short code; valid.
    pub(crate) code: &'a [u8],
    /// The query string without `?`.
    pub(crate) query: &'a [u8],
    /// `Host` as sent.
    pub(crate) host: &'a [u8],
    /// Whether the client wants the connection closed afterwards.
    pub(crate) closes: bool,
    /// What a click remembers of the headers.
    pub(crate) headers: VisitHeaders<'a>,
}

/// Reads the head at the beginning of `bytes`; `None` if it is not whole yet or anything but a plain visit, and
/// so for those who know all of HTTP. What a proxy of ours says of a visitor is left to them too, if the
/// connection `is_trusted`.
pub(crate) fn read(bytes: &[u8], is_trusted: bool) -> Option<Request<'_>> {
    let (first, mut at) = text_line(bytes, 0)?;
    let (method, target) = request_line(first)?;
    let (code, query) = code_and_query(target)?;
    let mut head = Head { is_trusted, ..Head::default() };
    for _ in 0..=LINES_MAX {
        if bytes.get(at..)?.starts_with(b"\r\n") {
            let Head { host, connection, headers, .. } = head;
            let host = host.filter(|host| is_plain_host(host))?;
            let closes = connection.is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
            return Some(Request { len: at + 2, method, code, query, host, closes, headers });
        }
        let name = &bytes[at..at + name_len(&bytes[at..])];
        let colon = at + name.len();
        if name.is_empty() || bytes.get(colon) != Some(&b':') {
            return None;
        }
        let (value, next) = text_line(bytes, colon + 1)?;
        head.take(name, value)?;
        at = next;
    }
    None
}

/// Returns the text from `at` to the end of its line, and where the next line begins; `None` if the line is not whole
/// or holds anything but text.
fn text_line(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let end = at + text_len(&bytes[at..]);
    bytes[end..].starts_with(b"\r\n").then(|| (&bytes[at..end], end + 2))
}

/// Returns how many of the first bytes are visible ASCII, spaces and tabs; other scripts are for those who know what
/// to do with them. Most of a head is values, so this is written for the compiler to look at many bytes at once.
fn text_len(bytes: &[u8]) -> usize {
    /// Bytes looked at at once.
    const STEP: usize = 16;
    let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
    let steps = bytes.chunks_exact(STEP);
    let whole =
        steps.take_while(|step| step.iter().fold(true, |all, byte| all & is_text(byte))).count() * STEP;
    whole + bytes[whole..].iter().take_while(|byte| is_text(byte)).count()
}

/// Returns how many of the first bytes may stand in the name of a header.
fn name_len(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| CLASSES[usize::from(**byte)] & IN_NAME != 0).count()
}

fn request_line(line: &[u8]) -> Option<(ClickMethod, &[u8])> {
    let line = line.strip_suffix(b" HTTP/1.1")?;
    match line.strip_prefix(b"GET ") {
        Some(target) => Some((ClickMethod::Get, target)),
        None => Some((ClickMethod::Head, line.strip_prefix(b"HEAD ")?)),
    }
}

/// Splits a target that is a code, perhaps with a slash at its end, and perhaps a query.
fn code_and_query(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let target = target.strip_prefix(b"/")?;
    let (path, query) = match memchr(b'?', target) {
        Some(at) => (&target[..at], &target[at + 1..]),
        None => (target, &b""[..]),
    };
    let code = path.strip_suffix(b"/").unwrap_or(path);
    (ShortCode::is_valid(code) && all(query, IN_QUERY)).then_some((code, query))
}

/// Tells whether a host is a name or an IPv4 address, perhaps with a port.
fn is_plain_host(host: &[u8]) -> bool {
    let (name, port) = match memchr(b':', host) {
        Some(at) => (&host[..at], &host[at + 1..]),
        None => (host, &b"80"[..]),
    };
    all(name, IN_HOST) && !port.is_empty() && port.iter().all(u8::is_ascii_digit)
}

#[derive(Default)]
struct Head<'a> {
    is_trusted: bool,
    host: Option<&'a [u8]>,
    connection: Option<&'a [u8]>,
    headers: VisitHeaders<'a>,
}

impl<'a> Head<'a> {
    /// Takes note of a header line; `None` if it makes the request anything but a plain visit.
    fn take(&mut self, name: &'a [u8], value: &'a [u8]) -> Option<()> {
        let value = value.trim_ascii();
        let headers = &mut self.headers;
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        // By length first, so that most names are compared with one or two others.
        let place = match name.len() {
            3 if is("dnt") => &mut headers.dnt,
            4 if is("host") => &mut self.host,
            6 if is("expect") => return None,
            7 if is("referer") => &mut headers.referer,
            7 if is("purpose") => &mut headers.purpose,
            7 if is("sec-gpc") => &mut headers.sec_gpc,
            7 if is("trailer") || is("upgrade") => return None,
            10 if is("user-agent") => &mut headers.user_agent,
            10 if is("connection") => {
                let is_plain =
                    value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close");
                if !is_plain {
                    return None;
                }
                &mut self.connection
            }
            11 if is("sec-purpose") => &mut headers.sec_purpose,
            14 if is("content-length") => return None,
            14 if is("http2-settings") => return None,
            15 if is("accept-language") => &mut headers.language,
            16 if is("proxy-connection") => return None,
            17 if is("transfer-encoding") => return None,
            _ if self.is_trusted && (name.len() > 2 && name[..2].eq_ignore_ascii_case(b"x-")) => return None,
            _ => return Some(()),
        };
        // Which of two of a kind is meant is not for us to say.
        place.replace(value).is_none().then_some(())
    }
}

const IN_NAME: u8 = 1;
const IN_QUERY: u8 = 2;
const IN_HOST: u8 = 4;

/// Where each byte may stand. Names: a token (RFC 9110 section 5.6.2). Queries: RFC 3986 section 3.4. Hosts: names and
/// IPv4 addresses.
const CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let b = byte as u8;
        let is_token = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        if is_token {
            classes[byte] |= IN_NAME;
        }
        let is_in_query = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'%'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b','
                    | b';'
                    | b'='
                    | b':'
                    | b'@'
                    | b'/'
                    | b'?'
            );
        if is_in_query {
            classes[byte] |= IN_QUERY;
        }
        if b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-') {
            classes[byte] |= IN_HOST;
        }
        byte += 1;
    }
    classes
}

/// Tells whether every byte may stand there. Without a way out in between, which is faster for short texts.
fn all(bytes: &[u8], class: u8) -> bool {
    bytes.iter().fold(class, |common, byte| common & CLASSES[usize::from(*byte)]) == class
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BROWSER: &str = "GET /launch?utm_source=a%20b HTTP/1.1\r\nHost: Go.Example:8080\r\nUser-Agent: Mozilla/5.0 (X11)\r\n\
        Accept: text/html\r\nAccept-Language: de-CH,de;q=0.9\r\nReferer: https://news.example/\r\nSec-GPC: 1\r\nDNT: 1\r\n\
        Cookie: a=b; c=d\r\nConnection: keep-alive\r\nSec-Purpose: prefetch\r\nPurpose:\r\n\r\n";

    #[test]
    fn a_browsers_head_is_read_whole() {
        let request = read(BROWSER.as_bytes(), false).expect("a plain visit");
        assert_eq!((request.len, request.method, request.closes), (BROWSER.len(), ClickMethod::Get, false));
        assert_eq!((request.code, request.query), (&b"launch"[..], &b"utm_source=a%20b"[..]));
        assert_eq!(request.host, b"Go.Example:8080");
        let headers = VisitHeaders {
            user_agent: Some(b"Mozilla/5.0 (X11)"),
            referer: Some(b"https://news.example/"),
            language: Some(b"de-CH,de;q=0.9"),
            sec_purpose: Some(b"prefetch"),
            purpose: Some(b""),
            sec_gpc: Some(b"1"),
            dnt: Some(b"1"),
        };
        assert_eq!(request.headers, headers);
        for len in 0..BROWSER.len() {
            assert_eq!(read(&BROWSER.as_bytes()[..len], false), None, "{len} bytes");
        }
        let more = format!("{BROWSER}GET /other");
        assert_eq!(read(more.as_bytes(), false), Some(request));
    }

    fn is_plain(head: &str) -> bool {
        read(head.as_bytes(), false).is_some()
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_left_to_others() {
        let with = |line: &str| format!("GET /a HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n");
        for line in
            ["X-Any: thing", "x: ", "Connection: Close", "Forwarded: for=1.2.3.4", "X-Forwarded-For: 1.2.3.4"]
        {
            assert!(is_plain(&with(line)), "{line:?}");
        }
        for line in [
            "Host: x",
            "Host: y",
            "Content-Length: 0",
            "content-length:0",
            "Content-Length : 0",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding : chunked",
            "TRANSFER-ENCODING: identity",
            "Upgrade: h2c",
            "Expect: 100-continue",
            "Trailer: x",
            "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
            "Proxy-Connection: keep-alive",
            "Connection: keep-alive, Upgrade",
            "Connection: keep-alive\r\nConnection: close",
            "User-Agent: a\r\nUser-Agent: b",
            " folded: line",
            "\tfolded",
            "no colon",
            ": no name",
            "bad name: x",
            "x: \0",
            "x: \u{e9}",
            "x: a\rb",
            "x: a\nb: c",
            "x: a\u{7f}",
            "x: a\u{c}",
        ] {
            assert!(!is_plain(&with(line)), "{line:?}");
        }
        for head in [
            "POST /a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a HTTP/1.0\r\nHost: x\r\n\r\n",
            "GET /a HTTP/1.1\nHost: x\n\n",
            "GET /a HTTP/1.1\r\nHost: x\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\n\n",
            "GET  /a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a  HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http://x/a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET //a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a/b HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /%61 HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a?b#c HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a?\"b HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a HTTP/1.1\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost:\r\nX: y\r\nHost: x\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: [::1]\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: user@x\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x:\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x:80:90\r\n\r\n",
            "\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n",
        ] {
            assert!(!is_plain(head), "{head:?}");
        }
        let many = "x: y\r\n".repeat(LINES_MAX);
        assert!(!is_plain(&format!("GET /a HTTP/1.1\r\nHost: x\r\n{many}\r\n")));
    }

    #[test]
    fn what_our_proxies_say_is_left_to_others() {
        for line in ["X-Forwarded-For: 192.0.2.1", "x-forwarded-proto: https", "X-Vayro-Demo-At: 1"] {
            let head = format!("GET /a HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n");
            assert!(
                read(head.as_bytes(), false).is_some() && read(head.as_bytes(), true).is_none(),
                "{line}"
            );
        }
    }

    proptest! {
        /// Whatever is read is a head as others would read it, too.
        #[test]
        fn a_plain_visit_is_one_to_a_common_parser(text in "(GET|HEAD) /[a-zA-Z?%]{0,6} HTTP/1\\.1\r\n(Host: x\r\n)?([a-zH: \r\n\t\0]{0,20}\r\n){0,3}\r\n") {
            if let Some(request) = read(text.as_bytes(), false) {
                let mut headers = [httparse::EMPTY_HEADER; 64];
                let mut parsed = httparse::Request::new(&mut headers);
                let status = parsed.parse(text.as_bytes()).expect("valid");
                prop_assert_eq!(status, httparse::Status::Complete(request.len));
                let hosts = parsed.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("host"));
                prop_assert_eq!(hosts.map(|header| header.value).collect::<Vec<_>>(), [request.host]);
            }
        }

        #[test]
        fn rubbish_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            read(&bytes, false);
        }
    }
}
