//! A server that follows a script, for what a real one does seldom.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::run::Home;

/// How long the next request of a script may take to come.
const LIMIT: Duration = Duration::from_secs(30);
/// A key as the API makes them.
pub(crate) const KEY: &str = "vayro_AbCdEfGh_0123456789012345678901234567890123456789";

/// What a scripted server was asked: the head of a request, and its body.
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Answers one request after the other with the given answers, each on a connection of its own, and
/// returns what it was asked. An empty answer leaves the client waiting until the test is over.
pub(crate) fn script(answers: Vec<String>) -> (String, thread::JoinHandle<Vec<Asked>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it listens"));
    let server = thread::spawn(move || {
        let mut kept = Vec::new();
        let mut asked = Vec::new();
        for answer in answers {
            let stream = accept(&listener);
            let mut reader = BufReader::new(&stream);
            let mut head = String::new();
            while reader.read_line(&mut head).expect("the head arrives") > 2 {}
            let len = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; len.unwrap_or(0)];
            reader.read_exact(&mut body).expect("the body arrives");
            asked.push(Asked { head, body: String::from_utf8(body).expect("the body is UTF-8") });
            (&stream).write_all(answer.as_bytes()).expect("the answer is taken");
            if answer.is_empty() {
                kept.push(stream);
            }
        }
        // Whoever waits goes on waiting.
        std::mem::forget(kept);
        asked
    });
    (url, server)
}

/// Waits for a connection, but not for ever.
fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).expect("a listener can be polled");
    let deadline = Instant::now() + LIMIT;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).expect("a connection can block");
                return stream;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("nobody asked: {error}"),
        }
    }
}

pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
    let len = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {len}\r\nconnection: close\r\n\r\n{body}")
}

pub(crate) fn json(body: &str) -> String {
    answer("200 OK", "content-type: application/json\r\n", body)
}

pub(crate) fn problem(status: u16, code: &str, detail: &str) -> String {
    let body = format!(
        r#"{{"type":"x","title":"Title","status":{status},"code":"{code}","detail":"{detail}","request_id":"r-1"}}"#
    );
    answer(&format!("{status} X"), "content-type: application/problem+json\r\n", &body)
}

/// Somebody signed in to the server at `url`.
pub(crate) fn home<'a>(dir: &'a tempfile::TempDir, url: &str) -> Home<'a> {
    Home::new(dir.path()).with("VAYRO_API_URL", url).with("VAYRO_API_KEY", KEY)
}

pub(crate) fn temp() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}
