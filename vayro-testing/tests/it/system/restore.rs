//! A database that is restored to an earlier state gets back what the stream still holds.

use std::time::Duration;

use serde_json::Value;
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use vayro_testing::system::{Role, System};
use vayro_testing::{postgres, redis, wait};

use super::{id, shown};

const LIMIT: Duration = Duration::from_secs(60);

async fn visit(system: &System, count: usize) {
    for _ in 0..count {
        assert_eq!(system.visit("restored").await.0, 302);
    }
}

fn replay(system: &System, since: &str) -> Value {
    let output = system.vayro(&["stream", "replay", "--since", since, "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

#[tokio::test]
async fn a_restored_postgres_gets_its_last_clicks_from_the_stream() {
    let (mut database, cache) = (postgres::server().await, redis::database().await);
    let mut system = System::clustered(&database.url, &cache.url).await;
    let link = system.create_link("restored", "https://example.com/").await;
    visit(&system, 5).await;
    shown(&system, &link, 5).await;

    let backup = database.back_up().await;
    visit(&system, 7).await;
    shown(&system, &link, 12).await;
    for role in [Role::Worker, Role::Api] {
        system.stop(role);
    }
    database.restore(&backup).await;
    for role in [Role::Api, Role::Worker] {
        system.start(role).await;
    }
    let rows = async || {
        let mut connection = PgConnection::connect(&database.url).await.ok()?;
        let sql = "SELECT count(*), count(DISTINCT id) FROM click_events WHERE link_id = $1::uuid";
        sqlx::query_as::<_, (i64, i64)>(sql).bind(id(&link)).fetch_one(&mut connection).await.ok()
    };
    assert_eq!(rows().await, Some((5, 5)), "the others are lost");

    assert_eq!(replay(&system, "10m")["replayed"]["count"], 12);
    wait::until("the lost clicks", LIMIT, async || (rows().await? == (12, 12)).then_some(())).await;
    shown(&system, &link, 12).await;
    // Once more changes nothing.
    replay(&system, "10m");
    visit(&system, 1).await;
    shown(&system, &link, 13).await;
    assert_eq!(rows().await, Some((13, 13)));
    let verified = system.vayro(&["rollup", "verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

#[tokio::test]
async fn a_restored_sqlite_gets_its_last_clicks_from_the_log() {
    let mut system = System::embedded().await;
    let link = system.create_link("restored", "https://example.com/").await;
    visit(&system, 5).await;
    shown(&system, &link, 5).await;

    let file = system.data_dir().join("vayro.db");
    let backup = system.data_dir().join("backup.db");
    let mut connection =
        SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.expect("SQLite opens");
    let statement = format!("VACUUM INTO '{}'", backup.display());
    sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.expect("a copy is made");
    connection.close().await.expect("closed");
    visit(&system, 7).await;
    shown(&system, &link, 12).await;
    system.stop(Role::Edge);
    for end in ["", "-wal", "-shm"] {
        drop(std::fs::remove_file(system.data_dir().join(format!("vayro.db{end}"))));
    }
    std::fs::rename(&backup, &file).expect("the copy takes its place");
    system.start_up(&[]).await;
    assert_eq!(system.clicks(id(&link)).await, 5, "the others are lost");

    assert_eq!(replay(&system, "10m")["replayed"]["count"], 12);
    shown(&system, &link, 12).await;
    replay(&system, "10m");
    visit(&system, 1).await;
    shown(&system, &link, 13).await;
    let data_dir = system.data_dir().display().to_string();
    let verified = system.vayro(&["rollup", "verify", "--data-dir", &data_dir]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}
