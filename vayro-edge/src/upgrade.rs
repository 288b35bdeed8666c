//! An edge gives way to a newer one without anybody noticing.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;
use vayro_backends::handover::{Inherited, Successors, socket_path};

use crate::server::Listener;
use crate::shared::Shared;
use crate::snapshot::Snapshots;

/// Starts a successor of an edge when somebody asks for it.
pub struct Upgrades {
    successors: Successors,
    shared: Arc<Shared>,
    snapshots: Option<Snapshots>,
}

impl Upgrades {
    /// Lets itself be asked in `data_dir`; without it the edge runs as well, so what goes wrong is only logged.
    pub(crate) fn listen(
        data_dir: &Path,
        sockets: io::Result<Vec<(String, TcpListener)>>,
        shared: Arc<Shared>,
        snapshots: Option<Snapshots>,
    ) -> Option<Self> {
        match sockets.and_then(|sockets| Successors::listen(socket_path(data_dir), sockets)) {
            Ok(successors) => Some(Self { successors, shared, snapshots }),
            Err(error) => {
                tracing::warn!(error = %error, "the edge cannot be upgraded while it runs: {error}");
                None
            }
        }
    }

    /// Waits until a successor has taken over, makes the edge end then and returns the successor's process id; `None`
    /// if `shutdown` turns true before.
    pub async fn serve(self, shutdown: watch::Receiver<bool>) -> Option<u32> {
        let Self { successors, shared, snapshots } = self;
        // The successor begins with all links that are in memory now.
        let prepare = async || {
            if let Some(snapshots) = &snapshots {
                snapshots.save().await;
            }
        };
        let successor = successors.serve(shutdown, prepare).await;
        if successor.is_some() {
            shared.handed_over.send_replace(true);
        }
        successor
    }
}

/// Returns what the socket of visitors at an address is called while it is handed over. The same address in the settings
/// is the same socket, also where the kernel chose its port.
pub(crate) fn visitors_socket(configured: SocketAddr, is_tls: bool) -> String {
    format!("{}={configured}", if is_tls { "https" } else { "http" })
}

/// Returns what the socket of the admin listener is called.
pub(crate) fn admin_socket(configured: SocketAddr) -> String {
    format!("admin={configured}")
}

/// Returns the listener of the edge before, or makes one.
pub(crate) fn inherit_or_listen(
    inherited: &mut Inherited,
    configured: SocketAddr,
    is_tls: bool,
) -> io::Result<Listener> {
    match inherited.take(&visitors_socket(configured, is_tls)) {
        None => crate::server::listen(configured, is_tls),
        Some(socket) => {
            let address = socket.local_addr()?;
            Ok(Listener { socket, address, configured, is_tls })
        }
    }
}
