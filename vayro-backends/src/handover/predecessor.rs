//! What a process knows of the one that it takes over from.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::PathBuf;

use listenfd::ListenFd;
use tokio::net::UnixStream;

use super::lines::{LINE_TIMEOUT, hear, say};
use super::{NAMES_VARIABLE, SOCKET_VARIABLE};

/// The process that started this one to take over.
#[derive(Clone, Debug)]
pub struct Predecessor {
    socket: PathBuf,
}

/// Listening sockets of a predecessor that nobody has taken yet, by name.
#[derive(Debug, Default)]
pub struct Inherited(HashMap<String, TcpListener>);

impl Predecessor {
    /// Returns the predecessor and its sockets if this process was started to take over. Call it once, before there
    /// are other threads.
    ///
    /// # Errors
    ///
    /// When what was handed over are no listening sockets.
    pub fn from_env() -> io::Result<Option<(Self, Inherited)>> {
        let socket = std::env::var_os(SOCKET_VARIABLE).filter(|socket: &OsString| !socket.is_empty());
        let Some(socket) = socket else { return Ok(None) };
        let names = std::env::var(NAMES_VARIABLE).unwrap_or_default();
        let mut descriptors = ListenFd::from_env();
        let mut sockets = HashMap::new();
        for (number, name) in names.split(',').filter(|name| !name.is_empty()).enumerate() {
            let socket = descriptors.take_tcp_listener(number)?;
            let socket =
                socket.ok_or_else(|| io::Error::other(format!("socket {name} was not handed over")))?;
            sockets.insert(name.to_owned(), socket);
        }
        Ok(Some((Self { socket: socket.into() }, Inherited(sockets))))
    }

    /// Says that this process takes connections from now on; the predecessor stops.
    ///
    /// # Errors
    ///
    /// When nobody hears it, because the predecessor has ended meanwhile.
    pub async fn ready(&self) -> io::Result<()> {
        let mut stream = UnixStream::connect(&self.socket).await?;
        say(&mut stream, "ready").await?;
        hear(&mut stream, Some(LINE_TIMEOUT)).await.map(drop)
    }

    /// Says why this process ends without having taken over. Blocks until that was heard, two seconds at most.
    ///
    /// # Errors
    ///
    /// When nobody hears it.
    pub fn failed(&self, why: &str) -> io::Result<()> {
        let mut stream = BlockingStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(LINE_TIMEOUT))?;
        stream.set_write_timeout(Some(LINE_TIMEOUT))?;
        stream.write_all(format!("failed {}\n", why.replace(['\n', '\r'], " ")).as_bytes())?;
        // Who ends before it was heard would only be seen to end.
        stream.read(&mut [0; 3]).map(drop)
    }
}

impl Inherited {
    /// Takes the socket called `name`, if there is one.
    pub fn take(&mut self, name: &str) -> Option<TcpListener> {
        self.0.remove(name)
    }
}
