//! Servers of other versions than the installed one, as `scripts/test-servers` fetches them.

use std::path::{Path, PathBuf};

use crate::redis::{RedisServer, server_of};

/// A version of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Redis 8.2.
    Redis8,
    /// Valkey 9.1.
    Valkey9,
}

impl Version {
    /// Returns its executable.
    ///
    /// # Panics
    ///
    /// When it was not fetched.
    pub fn program(self) -> PathBuf {
        let dir = std::env::var_os("VAYRO_TEST_SERVERS").expect(
            "VAYRO_TEST_SERVERS is not set: run ./scripts/test, or \
             export VAYRO_TEST_SERVERS=$(scripts/test-servers)",
        );
        let folder = match self {
            Self::Redis8 => "redis-8",
            Self::Valkey9 => "valkey-9",
        };
        Path::new(&dir).join(folder).join("redis-server")
    }
}

/// Starts a server of this version with an append-only file, like [`crate::redis::server`].
///
/// # Panics
///
/// When it was not fetched or does not come up.
pub async fn server(version: Version) -> RedisServer {
    server_of(version.program(), &[]).await
}
