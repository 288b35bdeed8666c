//! A process hands its listening sockets over to its successor: a new program, a new configuration, and no visitor
//! notices.
//!
//! The running process listens on a Unix socket in its data directory, see [`Successors`]. Asked for an upgrade, it
//! starts its own executable anew, as that now lies on the disk, with its arguments and its sockets. The successor
//! reads the configuration, connects and loads what it needs, and says that it is ready, see [`Predecessor`]; only then
//! the running process stops taking connections. A successor that fails before changes nothing.
//!
//! Both sides speak lines of text, one question and one answer for each connection: `upgrade` is answered with
//! `done PID` or `failed WHY`, `ready` and `failed WHY` of a successor with `ok`.

mod lines;
mod predecessor;
mod successors;

pub use lines::{AskError, ask_for_upgrade};
pub use predecessor::{Inherited, Predecessor};
pub use successors::Successors;

use std::path::{Path, PathBuf};

/// The Unix socket in the data directory.
const SOCKET_FILE: &str = "handover.sock";
/// Variable that names the socket of the process that hands over.
const SOCKET_VARIABLE: &str = "VAYRO_HANDOVER_SOCKET";
/// Variable that names the sockets handed over, in their order, separated by commas.
const NAMES_VARIABLE: &str = "VAYRO_HANDOVER_NAMES";
/// Variable of `sd_listen_fds(3)` that says how many sockets there are, from descriptor 3 on.
const COUNT_VARIABLE: &str = "LISTEN_FDS";

/// Returns where the process with this data directory is asked for an upgrade.
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join(SOCKET_FILE)
}
