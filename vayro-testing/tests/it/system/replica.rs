//! Questions about clicks go to a read replica while it is near.

use std::time::Duration;

use sqlx::{Connection as _, Executor as _, PgConnection};
use vayro_testing::system::{Role, System};
use vayro_testing::{postgres, redis, wait};

use super::{id, shown};

const LIMIT: Duration = Duration::from_secs(60);

async fn sql(url: &str, statement: &'static str) {
    let mut connection = PgConnection::connect(url).await.expect("PostgreSQL answers");
    connection.execute(statement).await.expect("it does what it is told");
}

async fn doctor_says(system: &System, words: &str) {
    wait::until(words, LIMIT, async || {
        let output = system.vayro(&["doctor"]);
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).contains(words).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_replica_answers_while_it_is_near_and_the_primary_otherwise() {
    let (primary, cache) = (postgres::server().await, redis::database().await);
    let mut standby = primary.standby().await;
    let settings =
        [("VAYRO_POSTGRES__REPLICA_URL", standby.url.as_str()), ("VAYRO_POSTGRES__REPLICA_LAG_MAX", "1h")];
    let mut system = System::clustered_with(&primary.url, &cache.url, &settings).await;
    let link = system.create_link("replicated", "https://example.com/").await;
    let visit = async |system: &System, count: usize| {
        for _ in 0..count {
            assert_eq!(system.visit("replicated").await.0, 302);
        }
    };
    visit(&system, 5).await;
    shown(&system, &link, 5).await;
    doctor_says(&system, "is near").await;

    // What only the standby can say: it stands still, and it may be an hour behind.
    sql(&standby.url, "SELECT pg_wal_replay_pause()").await;
    visit(&system, 3).await;
    wait::until("new rows on the primary", LIMIT, async || {
        let mut connection = PgConnection::connect(&primary.url).await.ok()?;
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM click_events");
        (count.fetch_one(&mut connection).await.ok()? == 8).then_some(())
    })
    .await;
    wait::until("an answer of the standby", LIMIT, async || {
        (system.clicks(id(&link)).await == 5).then_some(())
    })
    .await;

    // Lists come from it, too.
    let listed = async |system: &System| {
        let (status, list) = system.api("GET", "/v1/events?limit=100", None).await;
        assert_eq!(status, 200, "{list}");
        list["items"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(listed(&system).await, 5);

    // It may be a second behind, and is more.
    system.stop(Role::Api);
    assert!(
        system.start_with(Role::Api, &[("VAYRO_POSTGRES__REPLICA_LAG_MAX", "1s")]).await,
        "the API got ready"
    );
    shown(&system, &link, 8).await;
    assert_eq!(listed(&system).await, 8);
    sql(&standby.url, "SELECT pg_wal_replay_resume()").await;
    doctor_says(&system, "is near").await;

    standby.stop();
    doctor_says(&system, "the primary answers questions about clicks").await;
    visit(&system, 1).await;
    shown(&system, &link, 9).await;
}
