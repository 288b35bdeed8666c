//! Migrations: one after the other, the same list on both engines, with the specification's names.

use std::collections::BTreeSet;
use std::path::Path;

use sqlx::postgres::PgPool;
use vayro_core::schema::SchemaState;
use vayro_postgres::{MigrateError, PgStores};
use vayro_testing::postgres::{TestDatabase, database};

use crate::fixture::config;

async fn empty() -> (TestDatabase, PgStores, PgPool) {
    let database = database().await;
    let pg = PgStores::connect(&config(&database.url)).await.expect("connects");
    let sql = PgPool::connect(&database.url).await.expect("connects");
    (database, pg, sql)
}

fn migrations(engine: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(engine);
    std::fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("can be read").file_name().into_string().expect("plain names"))
        .collect()
}

/// Whoever looks at one engine's list knows the other's.
#[test]
fn both_engines_have_the_same_migrations() {
    let postgres = migrations("postgres");
    assert_eq!(postgres, migrations("sqlite"));
    assert!(!postgres.is_empty());
}

/// From nothing to current; a second time changes nothing.
#[tokio::test]
async fn migrating_brings_the_schema_up_to_date() {
    let (_database, pg, _) = empty().await;
    let all = u32::try_from(migrations("postgres").len()).expect("few");
    assert_eq!(pg.schema_state().await.expect("answers"), SchemaState::Behind(all));
    for _ in 0..2 {
        pg.migrate().await.expect("migrates");
        assert_eq!(pg.schema_state().await.expect("answers"), SchemaState::Current);
    }
}

/// Every process of a deployment may migrate at start.
#[tokio::test]
async fn several_processes_may_migrate_at_once() {
    let (_database, pg, sql) = empty().await;
    let (a, b, c) = (pg.clone(), pg.clone(), pg.clone());
    let outcomes = tokio::join!(a.migrate(), b.migrate(), c.migrate(), pg.migrate());
    for outcome in [outcomes.0, outcomes.1, outcomes.2, outcomes.3] {
        outcome.expect("migrates or finds it done");
    }
    let applied: i64 =
        sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations").fetch_one(&sql).await.expect("answers");
    assert_eq!(applied, i64::try_from(migrations("postgres").len()).expect("few"));
    let locks: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database =
                            (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .fetch_one(&sql)
    .await
    .expect("answers");
    assert_eq!(locks, 0, "the lock is given back");
}

/// A program never touches what a newer one made.
#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let (_database, pg, sql) = empty().await;
    pg.migrate().await.expect("migrates");
    sqlx::query("INSERT INTO _sqlx_migrations VALUES (9999, 'later', now(), TRUE, '', 0)")
        .execute(&sql)
        .await
        .expect("answers");
    assert_eq!(pg.schema_state().await.expect("answers"), SchemaState::Ahead);
    let refused = pg.migrate().await;
    assert!(matches!(refused, Err(MigrateError::Newer { version: 9999, .. })), "{refused:?}");
    let again = pg.migrate().await;
    assert!(matches!(again, Err(MigrateError::Newer { .. })), "a failed run leaves no lock: {again:?}");
}

/// A migration that was edited after it was released is noticed.
#[tokio::test]
async fn a_changed_migration_is_noticed() {
    let (_database, pg, sql) = empty().await;
    pg.migrate().await.expect("migrates");
    sqlx::query("UPDATE _sqlx_migrations SET checksum = 'other' WHERE version = 2")
        .execute(&sql)
        .await
        .expect("answers");
    let refused = pg.migrate().await;
    assert!(matches!(refused, Err(MigrateError::Changed { version: 2 })), "{refused:?}");
}

/// Tables, columns and types of the specification are there under its names.
#[tokio::test]
async fn the_specifications_columns_are_there() {
    let (_database, pg, sql) = empty().await;
    pg.migrate().await.expect("migrates");
    for (table, columns) in [
        (
            "users",
            "id uuid|email character varying(255)|password_hash character varying(255)\
             |plan character varying(50)|created_at timestamp with time zone",
        ),
        (
            "links",
            "id uuid|user_id uuid|short_code character varying(50)|target_url text|is_active boolean\
             |created_at timestamp with time zone|version integer",
        ),
        (
            "click_events",
            "id uuid|link_id uuid|timestamp timestamp with time zone|country_code character(2)\
             |city character varying(100)|device_type character varying(50)|browser character varying(50)\
             |os character varying(50)|referer text|ip_address character varying(45)",
        ),
    ] {
        let found: BTreeSet<String> = sqlx::query_scalar(
            "SELECT attname || ' ' || format_type(atttypid, atttypmod)
             FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0",
        )
        .bind(table)
        .fetch_all(&sql)
        .await
        .expect("answers")
        .into_iter()
        .collect();
        for column in columns.split('|') {
            assert!(found.contains(column), "{table} lacks `{column}`: {found:?}");
        }
    }
    let index: String =
        sqlx::query_scalar("SELECT indexdef FROM pg_indexes WHERE indexname = 'idx_clicks_link_time'")
            .fetch_one(&sql)
            .await
            .expect("the specification's index is there");
    assert!(index.ends_with("(link_id, \"timestamp\" DESC)"), "{index}");
}
