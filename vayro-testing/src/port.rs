//! Ports for servers that cannot bind port 0 themselves.

use std::fs::File;
use std::net::TcpListener;
use std::ops::Range;

/// Below those that the system gives to connections and to port 0 (`net.ipv4.ip_local_port_range` begins at 32768), so
/// that nobody else gets one before the server binds it.
const PORTS: Range<u16> = 10_000..32_000;
/// Ports tried.
const TRIES: usize = 1000;

/// Returns a loopback port that is free, and that no other test gets until this process ends.
///
/// # Panics
///
/// When there is none.
pub fn free() -> u16 {
    let dir = std::env::temp_dir().join("vayro-test-ports");
    // Another test makes it at the same time; a folder of another user's serves those who can write it.
    drop(std::fs::create_dir_all(&dir));
    for _ in 0..TRIES {
        let port = rand::random_range(PORTS);
        let lock = File::create(dir.join(port.to_string()));
        if lock.as_ref().is_ok_and(|lock| lock.try_lock().is_err()) {
            continue;
        }
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            // Held until the process ends.
            std::mem::forget(lock);
            return port;
        }
    }
    panic!("no free loopback port within {TRIES} tries");
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nobody_gets_a_port_twice() {
        let ports: HashSet<u16> = (0..200).map(|_| free()).collect();
        assert_eq!(ports.len(), 200);
        assert!(ports.iter().all(|port| PORTS.contains(port)));
    }
}
