//! Somebody tries codes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::world::{Mood, TestEdge, World};

const BUDGET: u32 = 5;

async fn start() -> TestEdge {
    TestEdge::start_with(World::new(), |settings| {
        settings.misses_per_minute = BUDGET;
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await
}

/// Asks as a visitor behind our proxy.
async fn ask_from(edge: &TestEdge, address: &str, path: &str) -> u16 {
    let mut client = Client::connect(edge.http()).await;
    client.get_with(path, &format!("X-Forwarded-For: {address}\r\n")).await.status()
}

async fn use_up(edge: &TestEdge, address: &str) {
    for number in 0..BUDGET {
        assert_eq!(ask_from(edge, address, &format!("/guess{number}")).await, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_guesses_learns_nothing_more_and_real_links_go_on() {
    let edge = start().await;
    edge.world.put("launch", |_| {});
    edge.world.put("cold", |_| {});
    edge.world.put("off", |link| link.active = false);
    assert_eq!(ask_from(&edge, "192.0.2.1", "/launch").await, 302);
    assert_eq!(ask_from(&edge, "198.51.100.1", "/off").await, 404);
    use_up(&edge, "192.0.2.1").await;
    let asked = edge.world.lookups();
    for path in ["/guess99", "/cold", "/guess0", "/off"] {
        assert_eq!(ask_from(&edge, "192.0.2.99", path).await, 429, "{path}");
    }
    assert_eq!(edge.world.lookups(), asked, "nobody was asked");
    assert_eq!(ask_from(&edge, "192.0.2.1", "/launch").await, 302, "it is in memory");
    assert_eq!(ask_from(&edge, "198.51.100.1", "/cold").await, 302, "another network");
    assert_eq!(ask_from(&edge, "192.0.2.1", "/cold").await, 302, "it is in memory by now");
    assert!((edge.metric("vayro_edge_answers_total{kind=\"too_many_misses\"}") - 4.0).abs() < f64::EPSILON);
    edge.world.advance(Duration::from_secs(60 / u64::from(BUDGET) + 1));
    assert_eq!(ask_from(&edge, "192.0.2.1", "/guess99").await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_turned_away_is_told_when_to_come_again() {
    let edge = start().await;
    use_up(&edge, "192.0.2.1").await;
    let mut client = Client::connect(edge.http()).await;
    let headers = "X-Forwarded-For: 192.0.2.1\r\nAccept: application/json\r\n";
    let answer = client.get_with("/guess", headers).await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.header("retry-after"), Some("60"));
    assert!(answer.text().contains("\"code\":\"too_many_misses\""), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_nobody_can_look_up_are_no_misses() {
    let edge = start().await;
    *edge.world.lookup_mood.lock() = Mood::Failing;
    for _ in 0..2 * BUDGET {
        assert_eq!(ask_from(&edge, "192.0.2.1", "/launch").await, 503);
    }
}

/// Asks for this many codes at once, which begin with `name`, and counts the answers.
async fn ask_at_once(edge: &TestEdge, name: &str, count: u32) -> BTreeMap<u16, u32> {
    let ask = |number: u32| async move { ask_from(edge, "192.0.2.1", &format!("/{name}{number}")).await };
    let mut answers = BTreeMap::new();
    for answer in futures::future::join_all((0..count).map(ask)).await {
        *answers.entry(answer).or_default() += 1;
    }
    answers
}

async fn start_slow() -> TestEdge {
    let edge = TestEdge::start_with(World::new(), |settings| {
        settings.misses_per_minute = BUDGET;
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        // Several threads may let in one more each.
        settings.threads = 1;
        settings.lookup_timeout = Duration::from_secs(2);
    })
    .await;
    *edge.world.lookup_mood.lock() = Mood::Slow;
    edge
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_look_ups_let_nobody_guess_more() {
    let edge = start_slow().await;
    let answers = ask_at_once(&edge, "guess", 4 * BUDGET).await;
    assert_eq!(answers, BTreeMap::from([(404, BUDGET), (429, 3 * BUDGET)]));
    assert_eq!(edge.world.lookups(), BUDGET as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_had_to_wait_pays_like_everybody() {
    let edge = start_slow().await;
    ask_at_once(&edge, "guess", BUDGET).await;
    let pause = Duration::from_secs(60 / u64::from(BUDGET) + 1);
    edge.world.advance(pause);
    let first = ask_from(&edge, "192.0.2.1", "/first");
    let waiting = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        ask_from(&edge, "192.0.2.1", "/second").await
    };
    let later = async {
        tokio::time::sleep(Duration::from_millis(60)).await;
        edge.world.advance(pause);
    };
    assert_eq!(tokio::join!(first, waiting, later), (404, 404, ()));
    assert_eq!(ask_from(&edge, "192.0.2.1", "/third").await, 429, "it is used up again");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_look_ups_of_links_turn_nobody_away() {
    let edge = start_slow().await;
    for number in 0..4 * BUDGET {
        edge.world.put(&format!("launch{number}"), |_| {});
    }
    assert_eq!(ask_at_once(&edge, "launch", 4 * BUDGET).await, BTreeMap::from([(302, 4 * BUDGET)]));
    *edge.world.lookup_mood.lock() = Mood::Well;
    use_up(&edge, "192.0.2.1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_switched_off_costs_a_miss_as_well() {
    let edge = start().await;
    edge.world.put("off", |link| link.active = false);
    for _ in 0..BUDGET {
        assert_eq!(ask_from(&edge, "192.0.2.1", "/off").await, 404);
    }
    assert_eq!(ask_from(&edge, "192.0.2.1", "/guess").await, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_404_about_a_code_takes_its_time() {
    let least = Duration::from_millis(150);
    let edge = TestEdge::start_with(World::new(), |settings| settings.not_found_after = least).await;
    edge.world.put("off", |link| link.active = false);
    // Looked up, remembered, and switched off; in memory and not.
    for path in ["/guess", "/guess", "/off", "/off"] {
        let began = Instant::now();
        assert_eq!(Client::connect(edge.http()).await.get(path).await.status(), 404);
        assert!(began.elapsed() >= least, "{path}");
    }
}
