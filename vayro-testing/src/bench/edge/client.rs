//! One connection of a client, in the clear or over TLS, from an address of its choice.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::load::HEADERS;
use super::servers::{CERTIFICATE_NAME, Server};

/// Longest answer in bytes; our pages have some three thousand.
const ANSWER_LEN_MAX: usize = 64 * 1024;

/// Where a client connects to.
#[derive(Clone)]
pub(super) struct Target {
    address: SocketAddr,
    tls: Option<TlsConnector>,
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Whether the server closes the connection behind it.
    pub(super) closes: bool,
}

/// A connection that is used for one request after the other.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Target {
    /// Plain HTTP.
    pub(super) fn plain(port: u16) -> Self {
        Self { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), tls: None }
    }

    /// HTTPS; every connection makes a whole handshake.
    ///
    /// # Panics
    ///
    /// When the certificate in `dir` cannot be read.
    pub(super) fn tls(server: &Server, dir: &Path) -> Self {
        let config = Arc::new(tls_config(dir));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.tls_port()));
        Self { address, tls: Some(TlsConnector::from(config)) }
    }

    /// Returns the request for `code` as a browser sends it.
    pub(super) fn request(&self, code: &str) -> Vec<u8> {
        // By address, as plain requests for a name with a certificate are sent to HTTPS.
        let host = if self.tls.is_some() { CERTIFICATE_NAME } else { "127.0.0.1" };
        let mut request = format!("GET /{code} HTTP/1.1\r\nHost: {host}\r\n");
        for (name, value) in HEADERS {
            request.push_str(name);
            request.push_str(": ");
            request.push_str(value);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        request.into_bytes()
    }
}

/// Returns the settings of a client that trusts the certificate in `dir` and resumes no session.
///
/// # Panics
///
/// When the certificate cannot be read.
pub(super) fn tls_config(dir: &Path) -> ClientConfig {
    let certificate = CertificateDer::from_pem_file(dir.join("bench.pem")).expect("the certificate is there");
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("our own certificate is one");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the usual versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config
}

/// Returns the name that the certificate is for.
pub(super) fn server_name() -> ServerName<'static> {
    ServerName::try_from(CERTIFICATE_NAME).expect("the name is one")
}

/// Connects to `address` from the address `source`.
pub(super) async fn connect(address: SocketAddr, source: Ipv4Addr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    let tcp = socket.connect(address).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

impl Connection {
    /// Connects to `target` from the address `source`.
    pub(super) async fn open(target: &Target, source: Ipv4Addr) -> io::Result<Self> {
        let tcp = connect(target.address, source).await?;
        let stream: Box<dyn Stream> = match &target.tls {
            None => Box::new(tcp),
            Some(connector) => Box::new(connector.connect(server_name(), tcp).await?),
        };
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends `request` and reads the answer to its end.
    pub(super) async fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some((answer, len)) = read(&self.buffer)?
                && self.buffer.len() >= len
            {
                return if self.buffer.len() == len { Ok(answer) } else { Err(invalid()) };
            }
            if self.buffer.len() > ANSWER_LEN_MAX {
                return Err(invalid());
            }
        }
    }
}

/// Reads the head of an answer, if it is whole, and tells how long the answer is.
fn read(bytes: &[u8]) -> io::Result<Option<(Answer, usize)>> {
    let Some(head_len) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..head_len]).map_err(|_| invalid())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).and_then(|rest| rest.get(..3));
    let status = status.and_then(|status| status.parse().ok()).ok_or_else(invalid)?;
    let (mut body_len, mut closes) = (0, false);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if name.eq_ignore_ascii_case("content-length") {
            body_len = value.parse().map_err(|_| invalid())?;
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.eq_ignore_ascii_case("close");
        }
    }
    Ok(Some((Answer { status, closes }, head_len + 4 + body_len)))
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_to_their_end() {
        let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\nConnection: close\r\n\r\nabc";
        let (read_answer, len) = read(answer).expect("valid").expect("whole");
        assert_eq!((read_answer, len), (Answer { status: 404, closes: true }, answer.len()));
        assert_eq!(read(&answer[..40]).expect("valid"), None);
        assert!(read(b"HTTP/1.1 nothing\r\n\r\n").is_err());
    }
}
