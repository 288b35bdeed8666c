//! Listening sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};

use tokio::net::TcpSocket;

/// Connections the kernel keeps until they are taken; it lowers the number to `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// A bound socket and what is spoken on it.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) address: SocketAddr,
    /// The address as the settings have it; its port may be 0.
    pub(crate) configured: SocketAddr,
    pub(crate) is_tls: bool,
}

/// Binds `configured`; port 0 lets the kernel choose. Must be called on a tokio runtime.
pub(crate) fn listen(configured: SocketAddr, is_tls: bool) -> io::Result<Listener> {
    let socket = if configured.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Lets a restart bind while connections of the last process are still in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(configured)?;
    // Made free of this runtime; the serving one takes it over.
    let socket = socket.listen(BACKLOG)?.into_std()?;
    let address = socket.local_addr()?;
    Ok(Listener { socket, address, configured, is_tls })
}
