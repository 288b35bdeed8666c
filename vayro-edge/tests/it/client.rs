//! An HTTP/1 client that shows every byte.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::PATIENCE;

/// One connection.
pub(crate) struct Client<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The head as it came, with its empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).expect("a status").parse().expect("a number")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn location(&self) -> &str {
        self.header("location").expect("a location")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.expect("edge listens"))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("edge reads");
        self.stream.flush().await.expect("edge reads");
    }

    /// Sends a request for `path` with further header lines, each ended by CRLF.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, headers: &str) {
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: vay.ro\r\n{headers}\r\n")).await;
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.get_with(path, "").await
    }

    pub(crate) async fn get_with(&mut self, path: &str, headers: &str) -> Answer {
        self.ask("GET", path, headers).await;
        self.answer().await
    }

    /// Reads one answer, to HEAD if `is_head`.
    async fn read_answer(&mut self, is_head: bool) -> Answer {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|part| part == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.read().await > 0, "closed in {:?}", String::from_utf8_lossy(&self.buffer));
        };
        let rest = self.buffer.split_off(end);
        let head = String::from_utf8(std::mem::replace(&mut self.buffer, rest)).expect("text");
        let mut answer = Answer { head, body: Vec::new() };
        let len = answer.header("content-length").map_or(0, |len| len.parse().expect("a number"));
        if !is_head {
            while self.buffer.len() < len {
                assert!(self.read().await > 0, "closed in the body");
            }
            let rest = self.buffer.split_off(len);
            answer.body = std::mem::replace(&mut self.buffer, rest);
        }
        answer
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        self.read_answer(false).await
    }

    pub(crate) async fn answer_to_head(&mut self) -> Answer {
        self.read_answer(true).await
    }

    /// Waits until the edge closes and returns what came before that.
    pub(crate) async fn until_closed(&mut self) -> Vec<u8> {
        while self.read().await > 0 {}
        std::mem::take(&mut self.buffer)
    }

    async fn read(&mut self) -> usize {
        let reading = self.stream.read_buf(&mut self.buffer);
        match tokio::time::timeout(PATIENCE, reading).await.expect("edge answers in time") {
            Ok(count) => count,
            // Closed with bytes of ours unread.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("reading failed: {error}"),
        }
    }
}
