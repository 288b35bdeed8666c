//! Addresses to listen on: how they are written, and what is said when they cannot be had.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

use crate::error::CommandError;

/// Reads an address; a port alone is one on this machine.
///
/// # Errors
///
/// A sentence saying what an address is.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.trim_start_matches(':').parse::<u16>() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    let text = text.replace("localhost:", "127.0.0.1:");
    text.parse()
        .map_err(|_| "it should look like 127.0.0.1:8080, [::1]:8080, or 8080 for this machine".to_owned())
}

/// Listens on `address`; `flag` is the option that chooses another one.
///
/// # Errors
///
/// A failure that names the address and the option.
pub async fn listen(address: SocketAddr, flag: &str) -> Result<(TcpListener, SocketAddr), CommandError> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bound.await.map_err(|error| cannot_listen(address, flag, error))
}

/// Says why `address` cannot be listened on, and which option chooses another one.
pub fn cannot_listen(address: SocketAddr, flag: &str, error: io::Error) -> CommandError {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "another program listens there, perhaps another `vayro up`; choose another port with `{flag}`"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!("ports below 1024 need a privilege; choose a higher one with `{flag}`")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("this machine does not have that address; choose another one with `{flag}`")
        }
        _ => format!("choose another address with `{flag}`"),
    };
    CommandError::failed(format!("cannot listen on {address}")).caused_by(error).hint(hint)
}

/// Returns the address by which this machine reaches a listener: a wildcard becomes the loopback.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_on_this_machine() {
        for text in ["8080", ":8080", "localhost:8080", "127.0.0.1:8080"] {
            assert_eq!(parse_address(text), Ok(SocketAddr::from(([127, 0, 0, 1], 8080))), "{text}");
        }
        assert!(parse_address("[::1]:0").is_ok());
        for bad in ["", "70000", "example.com:80", "127.0.0.1"] {
            assert!(parse_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn wildcards_are_reached_over_the_loopback() {
        let reached = |text: &str| reachable(text.parse().expect("valid")).to_string();
        assert_eq!(reached("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(reached("[::]:80"), "[::1]:80");
        assert_eq!(reached("192.0.2.1:80"), "192.0.2.1:80");
    }

    #[tokio::test]
    async fn a_port_in_use_is_said_with_its_option() {
        let (_taken, address) = listen(SocketAddr::from(([127, 0, 0, 1], 0)), "--api").await.unwrap();
        let error = listen(address, "--api").await.expect_err("it is taken");
        assert_eq!(error.to_string(), format!("cannot listen on {address}"));
        assert!(error.hints()[0].contains("`--api`"), "{:?}", error.hints());
    }
}
