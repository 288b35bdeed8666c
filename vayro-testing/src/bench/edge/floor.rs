//! The least a server on this runtime can do: accept, read, write the same bytes.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Longest request; those of the benchmark have some 500 bytes.
const REQUEST_LEN_MAX: usize = 4096;

/// Sends `answer` for every read on every connection to `address`, until the process ends.
///
/// # Panics
///
/// When the address cannot be listened on.
pub async fn serve(address: SocketAddr, answer: String) {
    let listener = TcpListener::bind(address).await.expect("the address is free");
    let answer: &'static [u8] = answer.leak().as_bytes();
    while let Ok((connection, _)) = listener.accept().await {
        tokio::spawn(serve_one(connection, answer));
    }
}

/// The client waits for each answer before it asks again, so that a read is a request.
async fn serve_one(mut connection: TcpStream, answer: &'static [u8]) {
    let mut request = [0; REQUEST_LEN_MAX];
    if connection.set_nodelay(true).is_err() {
        return;
    }
    while connection.read(&mut request).await.is_ok_and(|len| len > 0) {
        if connection.write_all(answer).await.is_err() {
            return;
        }
    }
}
