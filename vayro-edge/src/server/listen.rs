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
    pub(crate) is_tls: bool,
}

/// Binds `address`; port 0 lets the kernel choose. Must be called on a tokio runtime.
pub(crate) fn listen(address: SocketAddr, is_tls: bool) -> io::Result<Listener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Lets a restart bind while connections of the last process are still in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    // Made free of this runtime; the serving one takes it over.
    let socket = socket.listen(BACKLOG)?.into_std()?;
    let address = socket.local_addr()?;
    Ok(Listener { socket, address, is_tls })
}
