//! Marks of visits as Redis has them.

use std::time::{Duration, Instant};

use vayro_core::ids::{ClickId, LinkId};
use vayro_core::ports::RecentVisits as _;
use vayro_core::timestamp::Timestamp;
use vayro_core::visits::{MARK_SLACK, VisitClaim};
use vayro_redis::{RedisRecentVisits, names};

use crate::support::{self, run};

const WINDOW: Duration = Duration::from_secs(10);

/// The visit of a visitor `seconds` after an instant.
fn visit(visitor_id: i64, seconds: i64) -> VisitClaim {
    let at = Timestamp::from_millis(1_790_000_000_000 + seconds * 1000).expect("in range");
    VisitClaim {
        click_id: ClickId::from_parts(at, [1; 10]),
        link_id: LinkId::from_uuid(uuid::Uuid::from_u128(1)),
        visitor_id,
    }
}

async fn claim(visits: &RedisRecentVisits, claims: &[VisitClaim]) -> Vec<bool> {
    visits.claim(claims, WINDOW, support::now()).await.expect("an answer")
}

#[tokio::test]
async fn a_mark_names_its_click_and_goes_away_by_itself() {
    let redis = vayro_testing::redis::database().await;
    let visits = RedisRecentVisits::new(&support::connect(&redis.url).await);
    let first = visit(-1, 0);
    claim(&visits, &[first]).await;
    let mut cli = support::cli(&redis.url).await;
    let key = names::visit(&first);
    assert_eq!(key, "vayro:visit:00000000-0000-0000-0000-000000000001:ffffffffffffffff");
    assert_eq!(run::<String>(&mut cli, &format!("GET {key}")).await, first.click_id.to_string());
    let whole = i64::try_from((WINDOW + MARK_SLACK).as_millis()).expect("small");
    let left: i64 = run(&mut cli, &format!("PTTL {key}")).await;
    assert!((whole - 10_000..=whole).contains(&left), "{left} ms");

    // One that is renewed holds both and lives anew.
    run::<()>(&mut cli, &format!("PEXPIRE {key} 5000")).await;
    assert_eq!(claim(&visits, &[visit(-1, 60)]).await, [true]);
    let left: i64 = run(&mut cli, &format!("PTTL {key}")).await;
    assert!((whole - 10_000..=whole).contains(&left), "{left} ms");
    let marks = format!("{},{}", first.click_id, visit(-1, 60).click_id);
    assert_eq!(run::<String>(&mut cli, &format!("GET {key}")).await, marks);
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let redis = vayro_testing::redis::server().await;
    let visits = RedisRecentVisits::new(&support::connect(&redis.url).await);
    let mut cli = support::cli(&redis.url).await;
    let claims: Vec<_> = (0..3_000).map(|visitor| visit(visitor, 0)).collect();
    assert!(claim(&visits, &claims).await.into_iter().all(|is_counted| is_counted));
    for seconds in [1, 2] {
        run::<()>(&mut cli, "SCRIPT FLUSH").await;
        let claims: Vec<_> = (0..3_000).map(|visitor| visit(visitor, seconds)).collect();
        assert!(!claim(&visits, &claims).await.into_iter().any(|is_counted| is_counted));
    }
}

#[tokio::test]
async fn what_is_no_mark_of_ours_says_nothing() {
    let redis = vayro_testing::redis::database().await;
    let visits = RedisRecentVisits::new(&support::connect(&redis.url).await);
    let mut cli = support::cli(&redis.url).await;
    run::<()>(&mut cli, &format!("SET {} rubbish,,x", names::visit(&visit(1, 0)))).await;
    assert_eq!(claim(&visits, &[visit(1, 0), visit(1, 1)]).await, [true, false]);
}

#[tokio::test]
async fn on_a_full_server_visits_are_judged_all_the_same() {
    let server = vayro_testing::redis::server_with(&["--maxmemory", "4mb"]).await;
    let client = support::connect(&server.url).await;
    let visits = RedisRecentVisits::new(&client);
    assert_eq!(claim(&visits, &[visit(1, 0), visit(2, 0)]).await, [true, true]);
    let mut cli = support::cli(&server.url).await;
    run::<()>(&mut cli, "CONFIG SET maxmemory 1").await;

    // Marked before, marked by nobody, renewed, and the same once more.
    let claims = [visit(1, 1), visit(3, 0), visit(3, 1), visit(2, 60), visit(1, 0), visit(2, 61)];
    let expected = [false, true, false, true, true, false];
    assert_eq!(claim(&visits, &claims).await, expected);
    assert_eq!(claim(&visits, &claims).await, expected);
    assert_eq!(run::<u64>(&mut cli, "DBSIZE").await, 2, "nothing was added");

    run::<()>(&mut cli, "CONFIG SET maxmemory 0").await;
    assert_eq!(claim(&visits, &[visit(4, 0), visit(1, 2)]).await, [true, false]);
    assert_eq!(run::<u64>(&mut cli, "DBSIZE").await, 3);
}

#[tokio::test]
async fn a_demoted_server_is_no_answer() {
    let server = vayro_testing::redis::server().await;
    let visits = RedisRecentVisits::new(&support::connect(&server.url).await);
    let mut cli = support::cli(&server.url).await;
    run::<()>(&mut cli, "REPLICAOF 127.0.0.1 1").await;
    assert!(visits.claim(&[visit(1, 0)], WINDOW, support::now()).await.is_err());
    run::<()>(&mut cli, "REPLICAOF NO ONE").await;
    assert_eq!(claim(&visits, &[visit(1, 0)]).await, [true]);
}

#[tokio::test]
async fn a_server_that_is_away_is_an_error_and_not_a_guess() {
    let mut server = vayro_testing::redis::server().await;
    let visits = RedisRecentVisits::new(&support::connect(&server.url).await);
    server.kill();
    assert!(visits.claim(&[visit(1, 0)], WINDOW, support::now()).await.is_err());
    server.restart().await;
    let deadline = Instant::now() + support::SOON;
    while visits.claim(&[visit(1, 0)], WINDOW, support::now()).await.is_err() {
        assert!(Instant::now() < deadline, "it is back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(claim(&visits, &[visit(1, 1)]).await, [false]);
}
