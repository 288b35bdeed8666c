//! What must be known to reach Redis.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use crate::address::Address;
use crate::client::ConnectError;

/// How to reach Redis and how long to wait for it.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// `redis://`, `rediss://` (TLS), `unix://`, `redis+sentinel://` or `redis+cluster://` address; secret,
    /// because it may carry a password.
    pub url: SecretString,
    /// Certificates, in PEM, of the authorities that may vouch for a `rediss://` server; `None` means those
    /// of the system.
    pub root_certificates: Option<Vec<u8>>,
    /// Longest time to make a connection, sign-in included.
    pub connect_timeout: Duration,
    /// Longest time for the answer to a command, except where a shorter one is named here.
    pub response_timeout: Duration,
    /// Longest time a visitor waits for the shared cache before the database is asked.
    pub lookup_timeout: Duration,
}

impl RedisConfig {
    /// Returns the default settings for this address.
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            root_certificates: None,
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(2),
            lookup_timeout: Duration::from_millis(50),
        }
    }

    /// Reads the address without using it.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Address`] when it is malformed.
    pub fn check(&self) -> Result<(), ConnectError> {
        Address::parse(self.url.expose_secret()).map(drop).map_err(ConnectError::Address)
    }
}
