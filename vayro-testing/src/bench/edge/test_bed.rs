//! What servers under test stand on: a folder with a certificate, PostgreSQL, and Redis.

use std::path::Path;

use tempfile::TempDir;

use super::servers::{self, Backends};
use crate::fixture;
use crate::postgres::{self, PostgresServer};
use crate::redis::{self, RedisServer};

/// A folder and servers that end with it.
pub(super) struct TestBed {
    dir: TempDir,
    pub(super) database: PostgresServer,
    pub(super) redis: RedisServer,
}

impl TestBed {
    /// Makes one whose database has no links yet.
    ///
    /// # Panics
    ///
    /// When a server does not come up.
    pub(super) async fn start(redis_arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        servers::write_certificate(dir.path());
        let database = postgres::server().await;
        let redis = redis::server_with(redis_arguments).await;
        fixture::migrate(&database.url).await;
        Self { dir, database, redis }
    }

    /// Makes one with `links` links in the database, and Redis on these cores.
    ///
    /// # Panics
    ///
    /// As [`Self::start`].
    pub(super) async fn with_links(links: u32, redis_cores: &str) -> Self {
        let bed = Self::start(&["--appendfsync", "no", "--server_cpulist", redis_cores]).await;
        fixture::insert_links(&bed.database.url, links).await;
        bed
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn backends(&self) -> Backends<'_> {
        Backends { database: &self.database.url, redis: &self.redis.url, redis_port: self.redis.port() }
    }

    /// Throws away the clicks that edges recorded.
    ///
    /// # Panics
    ///
    /// When Redis refuses.
    pub(super) async fn clear_clicks(&self) {
        fixture::clear(&self.redis.url, fixture::CLICKS).await;
    }
}
