//! A fresh, migrated database with every port on it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgPool;
use vayro_core::contract::stores::{Stores, rolled_up};
use vayro_postgres::{PgStores, PostgresConfig};
use vayro_testing::postgres::{TestDatabase, database};

/// The ports under test and their database, which goes when this value goes.
pub(crate) struct Fixture {
    pub(crate) stores: Stores,
    pub(crate) pg: PgStores,
    pub(crate) database: TestDatabase,
}

pub(crate) fn config(url: &str) -> PostgresConfig {
    PostgresConfig {
        url: url.to_owned().into(),
        connections: 8,
        connect_timeout: Duration::from_secs(20),
        acquire_timeout: Duration::from_secs(20),
        statement_timeout: Duration::from_secs(20),
        lock_timeout: Duration::from_secs(10),
    }
}

pub(crate) fn stores(pg: &PgStores) -> Stores {
    let rolled_up = rolled_up(pg.clone());
    let pg = Arc::new(pg.clone());
    Stores {
        users: pg.clone(),
        workspaces: pg.clone(),
        domains: pg.clone(),
        keys: pg.clone(),
        sessions: pg.clone(),
        audit: pg.clone(),
        links: pg.clone(),
        outbox: pg.clone(),
        lookup: pg.clone(),
        clicks: pg.clone(),
        amendments: pg.clone(),
        analytics: pg.clone(),
        events: pg.clone(),
        shares: pg.clone(),
        idempotency: pg.clone(),
        ledger: pg.clone(),
        retention: pg.clone(),
        purges: pg.clone(),
        certificates: pg.clone(),
        issuer: pg.clone(),
        served: pg.clone(),
        tickets: pg.clone(),
        rollups: pg,
        rolled_up,
        needs_partitions: true,
    }
}

pub(crate) async fn fixture() -> Fixture {
    let database = database().await;
    let pg = PgStores::connect(&config(&database.url)).await.expect("the test server answers");
    pg.migrate().await.expect("an empty database can be migrated");
    Fixture { stores: stores(&pg), pg, database }
}

impl Fixture {
    /// A look at the database past the adapter.
    pub(crate) async fn sql(&self) -> PgPool {
        PgPool::connect(&self.database.url).await.expect("the test server answers")
    }
}
