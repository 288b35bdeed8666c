//! Reads request heads, whole and in time.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::ready;
use std::time::Duration;

use bytes::BytesMut;
use pingora::protocols::Stream;
use pingora::time::timeout;
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes taken from the kernel at once; a request rarely has more.
const READ_MAX: usize = 16 * 1024;

thread_local! {
    /// Each thread reads into its own buffer and copies what came, so that an idle connection holds none.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_MAX].into_boxed_slice());
}

/// Limits of one head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    /// From its first byte to its end.
    pub(crate) time: Duration,
    /// In bytes.
    pub(crate) size: usize,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// A head of this many bytes stands at the beginning of the buffer.
    Complete(Extent),
    /// The client closed, or the connection broke.
    Closed,
    /// The head was not there in time.
    TimedOut,
    /// The head is too large.
    TooLarge,
}

/// Where a head ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Its length in bytes.
    pub(crate) len: usize,
    /// Whether it is certain that no body follows, so that what follows is the next request.
    pub(crate) has_no_body: bool,
}

/// Appends what the client sends next to `buffer`; 0 at the end of the connection.
pub(crate) async fn read_some(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> io::Result<usize> {
    read_through(stream, buffer, |_| 0).await
}

/// Shows what the client sends next to `take`, and appends what that leaves to `buffer`. Returns how many bytes came;
/// 0 at the end of the connection.
pub(crate) async fn read_through(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    mut take: impl FnMut(&[u8]) -> usize,
) -> io::Result<usize> {
    poll_fn(|cx| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
            let filled = read.filled();
            let taken = if filled.is_empty() { 0 } else { take(filled) };
            buffer.extend_from_slice(&filled[taken..]);
            std::task::Poll::Ready(Ok(filled.len()))
        })
    })
    .await
}

/// Reads until `buffer`, which is not empty, begins with a whole head.
pub(crate) async fn finish_head(stream: &mut Stream, buffer: &mut BytesMut, limits: HeadLimits) -> Head {
    if let Some(head) = check(buffer, limits.size) {
        return head;
    }
    let reading = async {
        loop {
            match read_some(stream, buffer).await {
                Ok(0) | Err(_) => return Head::Closed,
                Ok(_) => {
                    if let Some(head) = check(buffer, limits.size) {
                        return head;
                    }
                }
            }
        }
    };
    timeout(limits.time, reading).await.unwrap_or(Head::TimedOut)
}

fn check(buffer: &[u8], size_max: usize) -> Option<Head> {
    match find_end(buffer) {
        Some(extent) if extent.len > size_max => Some(Head::TooLarge),
        Some(extent) => Some(Head::Complete(extent)),
        None if buffer.len() > size_max => Some(Head::TooLarge),
        None => None,
    }
}

/// Finds the empty line that ends a head. Lines may end in a bare LF, as Pingora's parser allows; whatever
/// is unusual counts as a head that a body may follow.
pub(crate) fn find_end(buffer: &[u8]) -> Option<Extent> {
    // Empty lines before a request are skipped by the parser too.
    let start = buffer.iter().position(|b| !matches!(b, b'\r' | b'\n'))?;
    let mut line_start = start;
    let mut has_no_body = start == 0 && (buffer.starts_with(b"GET ") || buffer.starts_with(b"HEAD "));
    for line_end in memchr::memchr_iter(b'\n', &buffer[start..]).map(|at| start + at) {
        let line = &buffer[line_start..line_end];
        if matches!(line, b"" | b"\r") {
            return Some(Extent { len: line_end + 1, has_no_body: has_no_body && line == b"\r" });
        }
        has_no_body &= line.ends_with(b"\r") && !may_announce_body(line);
        line_start = line_end + 1;
    }
    None
}

/// Tells whether a header line could make bytes behind the head belong to this request. Only names are
/// compared, without what follows them, so that nothing the parser accepts can slip through.
fn may_announce_body(line: &[u8]) -> bool {
    let begins = |name: &[u8]| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    match line.first().map(u8::to_ascii_lowercase) {
        Some(b'c') => begins(b"content-length"),
        Some(b't') => begins(b"transfer-encoding"),
        Some(b'u') => begins(b"upgrade"),
        Some(b'e') => begins(b"expect"),
        // A continuation of the line before, whatever that was.
        Some(b' ' | b'\t') => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn end(text: &str) -> Option<(usize, bool)> {
        find_end(text.as_bytes()).map(|extent| (extent.len, extent.has_no_body))
    }

    #[test]
    fn a_plain_get_ends_at_its_empty_line() {
        let get = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(end(get), Some((get.len(), true)));
        assert_eq!(end(&format!("{get}GET /b")), Some((get.len(), true)));
        assert_eq!(end(&get[..get.len() - 1]), None);
        assert_eq!(end("\r\n\r\n"), None);
    }

    #[test]
    fn whatever_may_have_a_body_is_not_split() {
        for head in [
            "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\ncontent-LENGTH: 3\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length : 3\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nX: y\r\n Content-Length: 3\r\n\r\n",
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
            "GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
            "GET / HTTP/1.1\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n\n",
            "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "get / HTTP/1.1\r\nHost: x\r\n\r\n",
        ] {
            assert_eq!(end(head), Some((head.len(), false)), "{head:?}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(check(b"GET / HTTP/1.1\r\nHos", 16), Some(Head::TooLarge));
        assert_eq!(check(b"GET / HTTP/1.1\r\n\r\n", 16), Some(Head::TooLarge));
        assert_eq!(check(b"GET / HTTP/1.1\r\nHos", 64), None);
    }

    proptest! {
        #[test]
        fn an_end_found_early_stays_the_end(text in "[GET /a:x\r\n]{0,60}", more in "[a\r\n]{0,10}") {
            if let Some(extent) = find_end(text.as_bytes()) {
                prop_assert_eq!(find_end(format!("{text}{more}").as_bytes()), Some(extent));
            }
        }
    }
}
