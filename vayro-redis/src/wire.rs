//! A bare connection for the two places where every microsecond is paid per click: appending clicks, and
//! reading them. One request at a time; the caller gives up the connection after any error.
//!
//! Measured against pipelines of the `redis` crate with entries of 476 bytes, CPU of this process and its
//! kernel time: 1.1 µs instead of 2.1 to append one, 1.0 µs instead of 4.1 to read one.

use std::io::{Error, ErrorKind, Result};

use redis::io::tcp::socket2::SockRef;
use redis::{ConnectionAddr, ConnectionInfo, RedisError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use vayro_core::click::{Fields, field};

use crate::entry::Entry;
use crate::polled::Polled;
use crate::slot::keepalive;

/// Values below this many bytes are put together before they are added; most are.
const SHORT_LEN: usize = 64;
/// Length of what stands before them: `$`, two digits and the end of the line.
const SHORT_HEAD: usize = 5;
/// Bytes asked of the socket at a time.
const READ_LEN: usize = 64 * 1024;
/// Longest value taken, in bytes; an entry has at most some kilobytes.
const VALUE_LEN_MAX: usize = 16 * 1024 * 1024;
/// Longest list taken.
const LIST_LEN_MAX: usize = 1024 * 1024;
/// Longest line taken, in bytes.
const LINE_LEN_MAX: usize = 64 * 1024;

/// A command being written, in the protocol of the server.
#[derive(Debug, Default)]
pub(crate) struct Request(Vec<u8>);

impl Request {
    /// Forgets what was written and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Begins a command of this many values, its name included.
    pub(crate) fn command(&mut self, values: usize) -> &mut Self {
        self.length(b'*', values);
        self
    }

    /// Adds a value.
    pub(crate) fn value(&mut self, value: impl AsRef<[u8]>) -> &mut Self {
        let value = value.as_ref();
        // Names, ids and the like are put together first, so that the vector grows once for each.
        if value.len() < SHORT_LEN {
            let (tens, ones) = (digit(value.len() / 10), digit(value.len()));
            let mut whole = [0; SHORT_HEAD + SHORT_LEN + 2];
            whole[1..SHORT_HEAD].copy_from_slice(&[tens, ones, b'\r', b'\n']);
            // Without the first digit of one.
            let from = usize::from(tens == b'0');
            whole[from] = b'$';
            let end = SHORT_HEAD + value.len();
            whole[SHORT_HEAD..end].copy_from_slice(value);
            whole[end..end + 2].copy_from_slice(b"\r\n");
            self.0.extend_from_slice(&whole[from..end + 2]);
            return self;
        }
        self.length(b'$', value.len());
        self.0.extend_from_slice(value);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    /// Begins a command of 10 to 99 values, whose count is not known yet: returns where to put it.
    pub(crate) fn begin(&mut self) -> usize {
        self.0.extend_from_slice(b"*00\r\n");
        self.0.len() - 4
    }

    /// Puts the count of values where [`Self::begin`] said.
    pub(crate) fn finish(&mut self, at: usize, values: u8) {
        debug_assert!((10..100).contains(&values), "two digits were kept free, and the first is not zero");
        self.0[at] = b'0' + values / 10;
        self.0[at + 1] = b'0' + values % 10;
    }

    fn length(&mut self, kind: u8, length: usize) {
        // `write!` costs three times as much as the rest of a value.
        let mut digits = [0; 20];
        let (mut first, mut left) = (digits.len(), length);
        loop {
            first -= 1;
            digits[first] = digit(left);
            left /= 10;
            if left == 0 {
                break;
            }
        }
        self.0.push(kind);
        self.0.extend_from_slice(&digits[first..]);
        self.0.extend_from_slice(b"\r\n");
    }
}

/// Returns the last digit of a number.
fn digit(number: usize) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or_default()
}

/// How the server refused, in its words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

impl From<Refused> for RedisError {
    fn from(refused: Refused) -> Self {
        match refused.0.split_once(' ') {
            Some((code, detail)) => redis::make_extension_error(code.to_owned(), Some(detail.to_owned())),
            None => redis::make_extension_error(refused.0, None),
        }
    }
}

/// The first line of a reply.
enum Head {
    Text,
    Refused(String),
    Number,
    /// A value of this many bytes follows; `None` is nil.
    Value(Option<usize>),
    /// This many replies follow; `None` is nil.
    List(Option<usize>),
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Polled(Polled),
}

#[derive(Debug)]
pub(crate) struct Wire {
    socket: Socket,
    input: Vec<u8>,
    /// Where the unread part of `input` begins.
    at: usize,
}

impl Wire {
    /// Tells whether this kind of address can be reached this way; TLS cannot.
    pub(crate) fn can_reach(info: &ConnectionInfo) -> bool {
        matches!(info.addr(), ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_))
    }

    /// Connects and signs in.
    pub(crate) async fn dial(info: &ConnectionInfo) -> Result<Self> {
        let socket = match info.addr() {
            ConnectionAddr::Tcp(host, port) => {
                let socket = TcpStream::connect((host.as_str(), *port)).await?;
                socket.set_nodelay(true)?;
                SockRef::from(&socket).set_tcp_keepalive(&keepalive())?;
                Socket::Tcp(socket)
            }
            ConnectionAddr::Unix(path) => Socket::Unix(UnixStream::connect(path).await?),
            _ => return Err(Error::new(ErrorKind::Unsupported, "this needs TLS")),
        };
        let mut wire = Self { socket, input: Vec::new(), at: 0 };
        let (mut request, mut replies) = (Request::default(), 0);
        let settings = info.redis_settings();
        if let Some(password) = settings.password() {
            match settings.username() {
                Some(username) => request.command(3).value("AUTH").value(username).value(password),
                None => request.command(2).value("AUTH").value(password),
            };
            replies += 1;
        }
        if settings.db() != 0 {
            request.command(2).value("SELECT").value(settings.db().to_string());
            replies += 1;
        }
        wire.send(&request).await?;
        wire.expect(replies).await?.map_err(|error| Error::new(ErrorKind::PermissionDenied, error))?;
        Ok(wire)
    }

    /// Looks for answers at times of its own instead of being woken by each piece of them.
    pub(crate) fn polled(self) -> Result<Self> {
        let socket = match self.socket {
            Socket::Tcp(socket) => Socket::Polled(Polled::new(socket.into_std()?)),
            Socket::Unix(socket) => Socket::Polled(Polled::new(socket.into_std()?)),
            Socket::Polled(socket) => Socket::Polled(socket),
        };
        Ok(Self { socket, ..self })
    }

    /// Sends what was written.
    pub(crate) async fn send(&mut self, request: &Request) -> Result<()> {
        // The server keeps what it cannot send yet in its memory, so this cannot lock up.
        match &mut self.socket {
            Socket::Tcp(socket) => socket.write_all(&request.0).await,
            Socket::Unix(socket) => socket.write_all(&request.0).await,
            Socket::Polled(socket) => socket.write_all(&request.0).await,
        }
    }

    /// Takes this many simple replies and returns the first refusal among them.
    pub(crate) async fn expect(&mut self, replies: usize) -> Result<std::result::Result<(), Refused>> {
        let mut refusal = Ok(());
        for _ in 0..replies {
            match self.head().await? {
                Head::Value(Some(length)) => {
                    self.value(length).await?;
                }
                Head::Refused(words) => {
                    if refusal.is_ok() {
                        refusal = Err(Refused(words));
                    }
                }
                Head::Text | Head::Number | Head::Value(None) => {}
                Head::List(_) => return Err(unexpected()),
            }
        }
        Ok(refusal)
    }

    /// Takes the reply to `XREADGROUP` of one stream; empty if nothing came.
    pub(crate) async fn entries(&mut self) -> Result<std::result::Result<Vec<Entry>, Refused>> {
        match self.head().await? {
            Head::List(None) | Head::Value(None) => return Ok(Ok(Vec::new())),
            Head::Refused(words) => return Ok(Err(Refused(words))),
            Head::List(Some(1)) => {}
            _ => return Err(unexpected()),
        }
        self.list(2).await?;
        self.text().await?;
        let Head::List(Some(count)) = self.head().await? else { return Err(unexpected()) };
        let mut entries = Vec::with_capacity(count.min(LIST_LEN_MAX));
        for _ in 0..count {
            self.list(2).await?;
            let id = self.text().await?;
            let fields = match self.head().await? {
                Head::List(None) | Head::Value(None) => None,
                Head::List(Some(count)) => Some(self.fields(count).await?),
                _ => return Err(unexpected()),
            };
            entries.push(Entry { id, fields });
        }
        Ok(Ok(entries))
    }

    async fn fields(&mut self, count: usize) -> Result<Fields> {
        let mut fields = Fields::with_capacity(count / 2);
        for _ in 0..count / 2 {
            let name = field::name(self.bytes().await?);
            fields.push((name, self.bytes().await?.to_vec()));
        }
        Ok(fields)
    }

    async fn list(&mut self, length: usize) -> Result<()> {
        match self.head().await? {
            Head::List(Some(found)) if found == length => Ok(()),
            _ => Err(unexpected()),
        }
    }

    /// Takes a value that is a name; one that is no text is made text.
    async fn text(&mut self) -> Result<String> {
        Ok(String::from_utf8_lossy(self.bytes().await?).into_owned())
    }

    /// Takes a value that is there.
    async fn bytes(&mut self) -> Result<&[u8]> {
        let Head::Value(Some(length)) = self.head().await? else { return Err(unexpected()) };
        self.value(length).await
    }

    async fn head(&mut self) -> Result<Head> {
        loop {
            let unread = &self.input[self.at..];
            if let Some(end) = unread.iter().position(|&byte| byte == b'\n') {
                let head = parse(&unread[..end]);
                self.at += end + 1;
                return head;
            }
            if unread.len() > LINE_LEN_MAX {
                return Err(unexpected());
            }
            self.fill().await?;
        }
    }

    async fn value(&mut self, length: usize) -> Result<&[u8]> {
        while self.input.len() - self.at < length + 2 {
            self.fill().await?;
        }
        let from = self.at;
        self.at += length + 2;
        Ok(&self.input[from..from + length])
    }

    /// Reads more, behind what is unread.
    async fn fill(&mut self) -> Result<()> {
        self.input.drain(..self.at);
        self.at = 0;
        self.input.reserve(READ_LEN);
        let count = match &mut self.socket {
            Socket::Tcp(socket) => socket.read_buf(&mut self.input).await?,
            Socket::Unix(socket) => socket.read_buf(&mut self.input).await?,
            Socket::Polled(socket) => socket.read_buf(&mut self.input).await?,
        };
        if count == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

fn parse(line: &[u8]) -> Result<Head> {
    let line = line.strip_suffix(b"\r").ok_or_else(unexpected)?;
    let (kind, rest) = line.split_first().ok_or_else(unexpected)?;
    let length = |max: usize| match rest {
        b"-1" => Ok(None),
        _ => std::str::from_utf8(rest)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .filter(|&length: &usize| length <= max)
            .map(Some)
            .ok_or_else(unexpected),
    };
    match kind {
        b'$' => length(VALUE_LEN_MAX).map(Head::Value),
        b'*' => length(LIST_LEN_MAX).map(Head::List),
        b'+' => Ok(Head::Text),
        b':' => Ok(Head::Number),
        b'-' => Ok(Head::Refused(String::from_utf8_lossy(rest).into_owned())),
        _ => Err(unexpected()),
    }
}

fn unexpected() -> Error {
    Error::new(ErrorKind::InvalidData, "Redis answered in an unexpected shape")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_written_in_the_protocol() {
        let mut request = Request::default();
        request.command(2).value("SELECT").value("10");
        let at = request.begin();
        for _ in 0..12 {
            request.value("");
        }
        request.finish(at, 12);
        let expected = format!("*2\r\n$6\r\nSELECT\r\n$2\r\n10\r\n*12\r\n{}", "$0\r\n\r\n".repeat(12));
        assert_eq!(String::from_utf8(request.0.clone()).expect("text"), expected);
        request.clear();
        request.command(1).value("x".repeat(1234));
        assert!(request.0.starts_with(b"*1\r\n$1234\r\nxx"));
    }

    #[test]
    fn values_of_every_length_are_written_alike() {
        for length in 0..200 {
            let mut request = Request::default();
            request.value("x".repeat(length));
            let expected = format!("${length}\r\n{}\r\n", "x".repeat(length));
            assert_eq!(String::from_utf8(request.0).expect("text"), expected);
        }
    }

    #[test]
    fn heads_are_read_strictly() {
        assert!(matches!(parse(b"+OK\r"), Ok(Head::Text)));
        assert!(matches!(parse(b":1\r"), Ok(Head::Number)));
        assert!(matches!(parse(b"$-1\r"), Ok(Head::Value(None))));
        assert!(matches!(parse(b"$0\r"), Ok(Head::Value(Some(0)))));
        assert!(matches!(parse(b"*3\r"), Ok(Head::List(Some(3)))));
        assert!(matches!(parse(b"-OOM no\r"), Ok(Head::Refused(words)) if words == "OOM no"));
        for odd in [&b"\r"[..], b"", b"+OK", b"$x\r", b"$-2\r", b"$99999999999\r", b"*\r", b"%1\r"] {
            assert!(parse(odd).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn a_refusal_keeps_its_code() {
        let error = RedisError::from(Refused("READONLY You can't write".to_owned()));
        assert_eq!(error.code(), Some("READONLY"));
        assert!(error.to_string().contains("You can't write"));
        assert_eq!(RedisError::from(Refused("ODD".to_owned())).code(), Some("ODD"));
    }
}
