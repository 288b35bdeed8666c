//! Ports for servers that cannot bind port 0 themselves.

use std::net::TcpListener;

/// Returns a loopback port that was free a moment ago.
///
/// # Panics
///
/// When the system has none left.
pub fn free() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("the system has a free loopback port");
    listener.local_addr().expect("a bound listener has an address").port()
}
