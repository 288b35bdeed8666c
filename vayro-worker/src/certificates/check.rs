//! Asking a name ourselves before the ACME server does.

use std::net::SocketAddr;
use std::time::Duration;

use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;
use vayro_backends::config::SelfCheck;
use vayro_core::certificate::{CertificateName, Challenge};

/// How long the name may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of an answer that are read.
const ANSWER_LEN_MAX: usize = 512;

/// Asks for the answer to `challenge`, which edges must know, over HTTP. Follows no redirect: only the answer of an edge
/// counts, and the name may be anybody's.
///
/// # Errors
///
/// Words for the owner of the name.
pub(super) async fn ask(
    name: &CertificateName,
    challenge: &Challenge,
    check: SelfCheck,
) -> Result<(), String> {
    let address = match check {
        SelfCheck::Off => return Ok(()),
        SelfCheck::At(address) => address,
        SelfCheck::ByDns => resolve(name).await?,
    };
    match timeout(ANSWER_TIMEOUT, get(name, &challenge.token, address)).await {
        Err(_) => Err(format!(
            "{name} at {address} does not answer over HTTP within {} s",
            ANSWER_TIMEOUT.as_secs()
        )),
        Ok(Err(reason)) => Err(reason),
        Ok(Ok((StatusCode::OK, body))) if body == challenge.answer.as_bytes() => Ok(()),
        Ok(Ok((status, _))) => Err(format!(
            "{name} does not lead to an edge of this instance: {address} answered with status {}; \
             point its DNS at the edges",
            status.as_u16()
        )),
    }
}

async fn resolve(name: &CertificateName) -> Result<SocketAddr, String> {
    let missing = || format!("the DNS has no address for {name} yet; point it at the edges");
    match timeout(ANSWER_TIMEOUT, tokio::net::lookup_host((name.as_str(), 80))).await {
        Ok(Ok(mut addresses)) => addresses.next().ok_or_else(missing),
        Ok(Err(_)) => Err(missing()),
        Err(_) => Err(format!("the DNS does not answer when asked for {name}")),
    }
}

async fn get(
    name: &CertificateName,
    token: &str,
    address: SocketAddr,
) -> Result<(StatusCode, Bytes), String> {
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(HttpConnector::new());
    let request = Request::get(format!("http://{address}/.well-known/acme-challenge/{token}"))
        .header(HOST, name.as_str())
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let silent = || format!("nothing answers over HTTP at {address}, where {name} leads");
    let answer = client.request(request).await.map_err(|_| silent())?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_LEN_MAX).collect().await;
    Ok((status, body.map(http_body_util::Collected::to_bytes).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use vayro_core::timestamp::Timestamp;

    use super::*;

    fn challenge() -> Challenge {
        Challenge { token: "t".repeat(43), answer: "the answer".to_owned(), expires_at: Timestamp::EPOCH }
    }

    /// Asks a server that answers everybody with these bytes, and returns what it was asked.
    async fn ask_one_that_says(answer: &'static str) -> (Result<(), String>, String) {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = server.local_addr().expect("bound");
        let asked_with = tokio::spawn(async move {
            let (mut stream, _) = server.accept().await.expect("somebody asks");
            let mut request = [0; 1024];
            let len = stream.read(&mut request).await.expect("a request");
            stream.write_all(answer.as_bytes()).await.expect("sent");
            String::from_utf8_lossy(&request[..len]).into_owned()
        });
        let name = "go.example.com".parse().expect("valid");
        let asked = ask(&name, &challenge(), SelfCheck::At(address)).await;
        (asked, asked_with.await.expect("served"))
    }

    #[tokio::test]
    async fn only_the_answer_itself_counts() {
        let (right, request) =
            ask_one_that_says("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nthe answer").await;
        assert_eq!(right, Ok(()));
        assert!(request.to_ascii_lowercase().contains("host: go.example.com\r\n"), "{request}");
        for (answer, words) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother", "status 200"),
            ("HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n", "status 301"),
            ("HTTP/1.1 404 Not Found\r\ncontent-length: 10\r\n\r\nthe answer", "status 404"),
            ("rubbish\r\n\r\n", "nothing answers"),
        ] {
            let reason = ask_one_that_says(answer).await.0.expect_err(answer);
            assert!(reason.contains(words), "{reason}");
        }
    }

    #[tokio::test]
    async fn a_name_without_address_is_told_so() {
        let name = "nobody.invalid".parse().expect("valid");
        let reason = ask(&name, &challenge(), SelfCheck::ByDns).await.expect_err("no such name");
        assert!(reason.contains("DNS"), "{reason}");
    }
}
