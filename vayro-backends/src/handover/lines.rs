//! One question and one answer over a Unix socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Longest line in bytes; the rest of a longer one is cut off.
const LINE_LEN_MAX: usize = 4096;
/// How long the other side may take to send or take a line.
pub(super) const LINE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why an upgrade did not happen, as far as whoever asked for it can tell.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("no edge runs with this data directory")]
    NotRunning(#[source] io::Error),
    /// The connection broke off.
    #[error("the edge did not say how the upgrade went")]
    Broken(#[source] io::Error),
    /// It goes on as it was.
    #[error("{0}")]
    Failed(String),
}

/// Asks the process that listens at `socket` to hand over, waits until that is done and returns the id of its
/// successor.
///
/// # Errors
///
/// [`AskError`]; the process goes on as it was if it said that it failed.
pub async fn ask_for_upgrade(socket: &Path) -> Result<u32, AskError> {
    let mut stream = UnixStream::connect(socket).await.map_err(AskError::NotRunning)?;
    say(&mut stream, "upgrade").await.map_err(AskError::Broken)?;
    let answer = hear(&mut stream, None).await.map_err(AskError::Broken)?;
    if let Some(why) = answer.strip_prefix("failed ") {
        return Err(AskError::Failed(why.to_owned()));
    }
    let id = answer.strip_prefix("done ").and_then(|id| id.parse().ok());
    id.ok_or_else(|| AskError::Broken(io::Error::new(io::ErrorKind::InvalidData, answer)))
}

/// Sends a line; line breaks in it become blanks.
pub(super) async fn say(stream: &mut UnixStream, line: &str) -> io::Result<()> {
    let mut line = line.replace(['\n', '\r'], " ");
    line.truncate(line.floor_char_boundary(LINE_LEN_MAX));
    line.push('\n');
    timeout(LINE_TIMEOUT, stream.write_all(line.as_bytes())).await?
}

/// Receives a line within `limit`, if there is one.
pub(super) async fn hear(stream: &mut UnixStream, limit: Option<Duration>) -> io::Result<String> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(stream.take(LINE_LEN_MAX as u64));
    let read = reader.read_until(b'\n', &mut line);
    match limit {
        Some(limit) => timeout(limit, read).await??,
        None => read.await?,
    };
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_arrives_whole_and_a_long_one_is_cut() {
        let (mut one, mut two) = UnixStream::pair().expect("a pair");
        say(&mut one, "failed a\nb").await.expect("sent");
        assert_eq!(hear(&mut two, Some(LINE_TIMEOUT)).await.expect("a line"), "failed a b");
        say(&mut one, &"ä".repeat(LINE_LEN_MAX)).await.expect("sent");
        assert_eq!(hear(&mut two, Some(LINE_TIMEOUT)).await.expect("a line").len(), LINE_LEN_MAX);
        drop(one);
        // The end of the long line is still there.
        while hear(&mut two, Some(LINE_TIMEOUT)).await.is_ok() {}
    }
}
