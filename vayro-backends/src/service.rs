//! What the service manager is told (`sd_notify(3)`).

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Name of the variable that holds the manager's socket.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// The service manager that started this process, if there is one.
#[derive(Clone, Debug, Default)]
pub struct ServiceManager(Option<OsString>);

impl ServiceManager {
    /// Looks for a manager in the environment.
    pub fn from_env() -> Self {
        Self::at(std::env::var_os(VARIABLE))
    }

    /// Uses the socket with this address: a path, or a name after `@`.
    pub fn at(socket: Option<OsString>) -> Self {
        Self(socket.filter(|socket| !socket.is_empty()))
    }

    /// Says that everything listens, with a line for the status display.
    pub fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={}", status.replace('\n', " ")));
    }

    /// Says that another process is the service from now on.
    pub fn main_process(&self, id: u32) {
        self.say(&format!("MAINPID={id}\nREADY=1"));
    }

    /// Says that the process is ending.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    fn say(&self, message: &str) {
        if let Some(socket) = &self.0
            && let Err(error) = send(socket, message)
        {
            tracing::warn!(error = %error, "cannot tell the service manager");
        }
    }
}

fn send(socket: &OsString, message: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let datagram = UnixDatagram::unbound()?;
    // A manager that hangs must not hang us.
    datagram.set_nonblocking(true)?;
    datagram.send_to_addr(message.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let len = socket.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    }

    #[test]
    fn the_manager_is_told_by_path_and_by_abstract_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("binds");
        let manager = ServiceManager::at(Some(path.into_os_string()));
        manager.ready("on 127.0.0.1:8080\nand more");
        assert_eq!(hear(&socket), "READY=1\nSTATUS=on 127.0.0.1:8080 and more");
        manager.main_process(4711);
        assert_eq!(hear(&socket), "MAINPID=4711\nREADY=1");

        let name = format!("vayro-test-{}", crate::identity::process_name());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let socket = UnixDatagram::bind_addr(&address).expect("binds");
        ServiceManager::at(Some(format!("@{name}").into())).stopping();
        assert_eq!(hear(&socket), "STOPPING=1");
    }

    #[test]
    fn nobody_there_is_no_failure() {
        ServiceManager::at(None).ready("x");
        ServiceManager::at(Some(OsString::new())).ready("x");
        ServiceManager::at(Some("/nowhere/at/all".into())).stopping();
    }
}
