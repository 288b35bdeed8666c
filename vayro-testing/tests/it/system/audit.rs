//! `vayro audit clicks` on whole systems: it adds up, and it notices when it does not.

use serde_json::Value;
use sqlx::{Connection as _, Executor as _};
use vayro_testing::system::{Role, System};
use vayro_testing::{postgres, redis};

use super::shown;

fn audit(system: &System) -> (Option<i32>, Value) {
    let output = system.vayro(&["audit", "clicks", "--json"]);
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "{error}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    });
    (output.status.code(), json)
}

#[tokio::test]
async fn a_missing_row_is_noticed_and_an_edge_killed_and_started_again_still_adds_up() {
    let (database, cache) = (postgres::database().await, redis::database().await);
    let mut system = System::clustered(&database.url, &cache.url).await;
    let link = system.create_link("audited", "https://example.com/").await;
    for _ in 0..5 {
        system.visit("audited").await;
    }
    shown(&system, &link, 5).await;
    // Killed before it told its figures: they are on its disk, and the next start tells them.
    system.kill(Role::Edge);
    system.start(Role::Edge).await;
    for _ in 0..2 {
        system.visit("audited").await;
    }
    shown(&system, &link, 7).await;
    system.stop(Role::Edge);
    let (status, books) = audit(&system);
    assert_eq!((status, &books["verdict"]), (Some(0), &"balanced".into()), "{books:#}");
    assert_eq!(
        (&books["days"][0]["accepted"], &books["days"][0]["stored"]),
        (&7.into(), &7.into()),
        "{books:#}"
    );

    let mut connection = sqlx::PgConnection::connect(&database.url).await.expect("PostgreSQL answers");
    let lost = "DELETE FROM click_events WHERE id = (SELECT id FROM click_events LIMIT 1)";
    connection.execute(lost).await.expect("a row is lost");
    let (status, books) = audit(&system);
    assert_eq!((status, &books["days"][0]["unaccounted"]), (Some(5), &1.into()), "{books:#}");
}
