//! A database that is away, slow, read-only or cut off: worth trying again, never the data's fault.

use std::time::Duration;

use secrecy::SecretString;
use sqlx::postgres::PgPool;
use vayro_core::contract::stores::{Owner, Stores, at, click};
use vayro_core::link::{Link, LinkPatch};
use vayro_core::ports::{
    ClickStore as _, LinkLookup as _, LinkStore as _, StoreError, WriteError, WriteOutcome,
};
use vayro_postgres::{ConnectError, PgStores, PostgresConfig};
use vayro_testing::{port, postgres};

use crate::clicks::blocked_backend;
use crate::fixture::{Fixture, config, fixture, stores};

async fn cast(stores: &Stores) -> (Owner, Link) {
    let owner = stores.owner("ada").await;
    stores.prepare_months().await;
    let link = stores.link(&owner, "launch").await;
    (owner, link)
}

fn assert_unavailable<T: std::fmt::Debug>(result: &Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
}

fn assert_write_unavailable(result: &Result<WriteOutcome, WriteError>) {
    assert!(matches!(result, Err(WriteError::Unavailable(_))), "{result:?}");
}

async fn alter_database(sql: &PgPool, setting: &str) {
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(sql).await.expect("answers");
    let alter = format!("ALTER DATABASE {name} SET {setting}");
    sqlx::query(sqlx::AssertSqlSafe(alter)).execute(sql).await.expect("answers");
}

/// Holds the counters, so that a write gets stuck between its rows and its commit.
async fn hold_totals(sql: &PgPool) -> sqlx::PgTransaction<'static> {
    let mut holder = sql.begin().await.expect("begins");
    sqlx::query("LOCK TABLE link_totals IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *holder)
        .await
        .expect("locks");
    holder
}

/// An administrator ends the session between COPY and COMMIT: nothing is stored, and the same batch goes in
/// afterwards.
#[tokio::test]
async fn a_session_ended_in_mid_transaction_is_unavailable() {
    let fixture = fixture().await;
    let (_, link) = cast(&fixture.stores).await;
    let sql = fixture.sql().await;
    let rows: Vec<_> = (0..100).map(|n| click(&link, at(n))).collect();
    let holder = hold_totals(&sql).await;
    let write = tokio::spawn({
        let (pg, rows) = (fixture.pg.clone(), rows.clone());
        async move { pg.write(&rows).await }
    });
    let backend = blocked_backend(&sql).await;
    sqlx::query("SELECT pg_terminate_backend($1)").bind(backend).execute(&sql).await.expect("answers");
    assert_write_unavailable(&write.await.expect("does not panic"));
    holder.rollback().await.expect("rolls back");
    let stored: i64 =
        sqlx::query_scalar("SELECT count(*) FROM click_events").fetch_one(&sql).await.expect("answers");
    assert_eq!(stored, 0);
    assert_eq!(fixture.pg.write(&rows).await.expect("stored").inserted, 100);
    assert_eq!(fixture.stores.reload(&link).await.clicks, 100);
}

/// The same for a change of a link.
#[tokio::test]
async fn an_edit_whose_session_is_ended_is_unavailable_and_undone() {
    let fixture = fixture().await;
    let (owner, link) = cast(&fixture.stores).await;
    let sql = fixture.sql().await;
    let mut holder = sql.begin().await.expect("begins");
    sqlx::query("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE").execute(&mut *holder).await.expect("locks");
    let update = tokio::spawn({
        let (pg, link) = (fixture.pg.clone(), link.clone());
        async move {
            let patch = LinkPatch { is_active: Some(false), ..LinkPatch::default() };
            pg.update(link.workspace_id, link.id, None, &patch, &owner.context(at(1))).await
        }
    });
    let backend = blocked_backend(&sql).await;
    sqlx::query("SELECT pg_terminate_backend($1)").bind(backend).execute(&sql).await.expect("answers");
    assert_unavailable(&update.await.expect("does not panic"));
    holder.rollback().await.expect("rolls back");
    assert_eq!(fixture.stores.reload(&link).await, link);
    assert_eq!(fixture.stores.audit_of(&owner, &link.id.to_string()).await.len(), 1);
}

async fn impatient(fixture: &Fixture) -> PgStores {
    let config = PostgresConfig {
        connections: 1,
        acquire_timeout: Duration::from_millis(300),
        statement_timeout: Duration::from_millis(300),
        ..config(&fixture.database.url)
    };
    PgStores::connect(&config).await.expect("connects")
}

/// A statement that runs into its limit is worth another try.
#[tokio::test]
async fn a_statement_over_its_limit_is_unavailable() {
    let fixture = fixture().await;
    let (owner, link) = cast(&fixture.stores).await;
    let sql = fixture.sql().await;
    let impatient = impatient(&fixture).await;
    let holder = hold_totals(&sql).await;
    let rows = [click(&link, at(1))];
    assert_write_unavailable(&impatient.write(&rows).await);
    assert_unavailable(&impatient.find(owner.workspace_id, link.id).await);
    holder.rollback().await.expect("rolls back");
    assert_eq!(impatient.write(&rows).await.expect("stored").inserted, 1);
}

/// Nor does a statement wait longer for somebody else's lock than it may.
#[tokio::test]
async fn a_lock_that_takes_too_long_is_unavailable() {
    let fixture = fixture().await;
    let (_, link) = cast(&fixture.stores).await;
    let sql = fixture.sql().await;
    let config = PostgresConfig { lock_timeout: Duration::from_millis(300), ..config(&fixture.database.url) };
    let hasty = PgStores::connect(&config).await.expect("connects");
    let holder = hold_totals(&sql).await;
    let rows = [click(&link, at(1))];
    let started = std::time::Instant::now();
    assert_write_unavailable(&hasty.write(&rows).await);
    assert!(started.elapsed() < config.statement_timeout, "the limit for statements is longer");
    holder.rollback().await.expect("rolls back");
    assert_eq!(hasty.write(&rows).await.expect("stored").inserted, 1);
}

/// A batch that duplicates send down the other path is no exception.
#[tokio::test]
async fn a_redone_batch_over_its_limit_is_unavailable() {
    let fixture = fixture().await;
    let (_, link) = cast(&fixture.stores).await;
    let sql = fixture.sql().await;
    let impatient = impatient(&fixture).await;
    let mut rows = vec![click(&link, at(1))];
    impatient.write(&rows).await.expect("stored");
    rows.push(click(&link, at(2)));
    let holder = hold_totals(&sql).await;
    assert_write_unavailable(&impatient.write(&rows).await);
    holder.rollback().await.expect("rolls back");
    let outcome = impatient.write(&rows).await.expect("stored");
    assert_eq!((outcome.inserted, outcome.duplicates), (1, 1));
    assert_eq!(fixture.stores.reload(&link).await.clicks, 2);
}

/// When all connections are busy, a call waits its time and no longer.
#[tokio::test]
async fn an_exhausted_pool_is_unavailable() {
    let fixture = fixture().await;
    let (owner, link) = cast(&fixture.stores).await;
    let sql = fixture.sql().await;
    let config = PostgresConfig {
        connections: 1,
        acquire_timeout: Duration::from_millis(100),
        ..config(&fixture.database.url)
    };
    let narrow = PgStores::connect(&config).await.expect("connects");
    let holder = hold_totals(&sql).await;
    let stuck = tokio::spawn({
        let (narrow, link) = (narrow.clone(), link.clone());
        async move { narrow.write(&[click(&link, at(1))]).await }
    });
    blocked_backend(&sql).await;
    assert_unavailable(&narrow.find(owner.workspace_id, link.id).await);
    assert_unavailable(&narrow.lookup(&link.key()).await);
    holder.rollback().await.expect("rolls back");
    assert_eq!(stuck.await.expect("does not panic").expect("stored").inserted, 1);
}

/// During a failover the server may be read-only for a while.
#[tokio::test]
async fn a_read_only_database_is_unavailable() {
    let fixture = fixture().await;
    let (owner, link) = cast(&fixture.stores).await;
    let sql = fixture.sql().await;
    alter_database(&sql, "default_transaction_read_only = on").await;
    let read_only = PgStores::connect(&config(&fixture.database.url)).await.expect("connects");
    assert_write_unavailable(&read_only.write(&[click(&link, at(1))]).await);
    let deleted = read_only.delete(owner.workspace_id, link.id, None, &owner.context(at(1))).await;
    assert_unavailable(&deleted);
    assert_eq!(
        read_only.lookup(&link.key()).await.expect("reads go on").map(|found| found.id),
        Some(link.id)
    );
}

/// Stopped, killed and back: calls fail as unavailable and then go on, with the pool that was there before.
#[tokio::test]
async fn a_server_that_comes_back_is_used_again() {
    let mut server = postgres::server().await;
    let pg =
        PgStores::connect(&PostgresConfig { acquire_timeout: Duration::from_secs(1), ..config(&server.url) })
            .await
            .expect("connects");
    pg.migrate().await.expect("migrates");
    let stores = stores(&pg);
    let (owner, link) = cast(&stores).await;
    let rows = [click(&link, at(1))];
    for is_killed in [false, true] {
        if is_killed {
            server.kill();
        } else {
            server.stop();
        }
        assert_write_unavailable(&pg.write(&rows).await);
        assert_unavailable(&pg.lookup(&link.key()).await);
        assert_unavailable(&pg.find(owner.workspace_id, link.id).await);
        assert_unavailable(&pg.ping().await);
        server.restart().await;
        pg.ping().await.expect("the server is back");
        pg.write(&rows).await.expect("stored once");
    }
    assert_eq!(stores.reload(&link).await.clicks, 1);
    pg.close().await;
    assert_unavailable(&pg.ping().await);
}

/// Each reason not to connect is told apart, in time.
#[tokio::test]
async fn a_connection_that_fails_says_why() {
    let with = |url: String| PostgresConfig {
        url: SecretString::from(url),
        connect_timeout: Duration::from_millis(700),
        acquire_timeout: Duration::from_millis(300),
        ..config("postgres://nobody@localhost/nothing")
    };
    let no_address = PgStores::connect(&with("not an address".to_owned())).await;
    assert!(matches!(no_address, Err(ConnectError::Address(_))), "{no_address:?}");
    let nobody_there = format!("postgres://postgres@127.0.0.1:{}/postgres", port::free());
    let nobody = PgStores::connect(&with(nobody_there)).await;
    assert!(matches!(nobody, Err(ConnectError::Unavailable(_))), "{nobody:?}");
    let database = postgres::database().await;
    let no_database = PgStores::connect(&with(format!("{}_missing", database.url))).await;
    assert!(matches!(no_database, Err(ConnectError::Refused(_))), "{no_database:?}");
}
