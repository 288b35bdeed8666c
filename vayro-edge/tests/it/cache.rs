//! What is remembered, for how long, and what makes it forgotten.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Semaphore;
use vayro_core::change::Invalidation;

use crate::client::Client;
use crate::world::{Mood, TestEdge, World, target, until};

async fn status(edge: &TestEdge, path: &str) -> u16 {
    Client::connect(edge.http()).await.get(path).await.status()
}

async fn location(edge: &TestEdge, path: &str) -> String {
    Client::connect(edge.http()).await.get(path).await.location().to_owned()
}

/// Waits until the edge has heard everything that was told.
async fn heard(edge: &TestEdge, kind: &str, count: f64) {
    edge.until_metric(&format!("vayro_edge_invalidations_total{{kind=\"{kind}\"}}"), count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_looked_up_once() {
    let edge = TestEdge::start().await;
    edge.world.put("launch", |_| {});
    for _ in 0..5 {
        assert_eq!(status(&edge, "/launch").await, 302);
    }
    assert_eq!(edge.world.lookups(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn misses_at_the_same_time_share_one_look_up() {
    let edge = Arc::new(TestEdge::start().await);
    edge.world.put("viral", |_| {});
    let gate = Arc::new(Semaphore::new(0));
    *edge.world.lookup_gate.lock() = Some(Arc::clone(&gate));
    let visits: Vec<_> = (0..50)
        .map(|_| {
            let edge = Arc::clone(&edge);
            tokio::spawn(async move { status(&edge, "/viral").await })
        })
        .collect();
    edge.until_metric("vayro_edge_cache_reads_total{result=\"miss\"}", 50.0).await;
    gate.add_permits(1000);
    for visit in visits {
        assert_eq!(visit.await.expect("no panic"), 302);
    }
    assert_eq!(edge.world.lookups(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_is_decided_after_the_cache_was_read() {
    let edge = TestEdge::start().await;
    let end = edge.world.now().plus(Duration::from_secs(5));
    edge.world.put("sale", |link| link.expires_at = Some(end));
    assert_eq!(status(&edge, "/sale").await, 302);
    edge.world.advance(Duration::from_secs(5));
    assert_eq!(status(&edge, "/sale").await, 410);
    assert_eq!(edge.world.lookups(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_seen_once_it_is_told() {
    let edge = TestEdge::start().await;
    edge.world.put("launch", |_| {});
    assert_eq!(location(&edge, "/launch").await, "https://example.com/launch");
    edge.world.put("launch", |link| link.target = target("https://example.com/new"));
    assert_eq!(location(&edge, "/launch").await, "https://example.com/launch");
    edge.world.tell_changed("launch");
    heard(&edge, "links", 1.0).await;
    assert_eq!(location(&edge, "/launch").await, "https://example.com/new");
    edge.world.put("launch", |link| link.active = false);
    edge.world.tell_changed("launch");
    heard(&edge, "links", 2.0).await;
    assert_eq!(status(&edge, "/launch").await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn news_older_than_what_is_known_changes_nothing() {
    let edge = TestEdge::start().await;
    let link = edge.world.put("launch", |_| {});
    assert_eq!(status(&edge, "/launch").await, 302);
    let news = vec![(crate::world::key(None, "launch"), link.revision)];
    edge.world.tell(Invalidation::Links(news));
    heard(&edge, "links", 1.0).await;
    assert_eq!(status(&edge, "/launch").await, 302);
    assert_eq!(edge.world.lookups(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_code_is_remembered_until_it_is_made_or_its_time_is_over() {
    let edge = TestEdge::start().await;
    assert_eq!(status(&edge, "/soon").await, 404);
    assert_eq!(status(&edge, "/soon").await, 404);
    assert_eq!(edge.world.lookups(), 1);
    edge.world.put("soon", |_| {});
    assert_eq!(status(&edge, "/soon").await, 404);
    edge.world.tell_changed("soon");
    heard(&edge, "links", 1.0).await;
    assert_eq!(status(&edge, "/soon").await, 302);

    assert_eq!(status(&edge, "/later").await, 404);
    edge.world.put("later", |_| {});
    edge.world.advance(Duration::from_secs(10));
    assert_eq!(status(&edge, "/later").await, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_codes_does_not_push_out_links() {
    let edge = TestEdge::start_with(World::new(), |settings| settings.absent_max = 50).await;
    edge.world.put("launch", |_| {});
    let mut client = Client::connect(edge.http()).await;
    client.get("/launch").await;
    for guess in 0..500 {
        assert_eq!(client.get(&format!("/guess{guess}")).await.status(), 404);
    }
    let before = edge.world.lookups();
    assert_eq!(client.get("/launch").await.status(), 302);
    assert_eq!(edge.world.lookups(), before);
    assert!(edge.metric("vayro_edge_cache_absent_codes") <= 60.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aging_link_is_served_while_it_is_refreshed() {
    let edge = TestEdge::start().await;
    edge.world.put("launch", |_| {});
    assert_eq!(status(&edge, "/launch").await, 302);
    edge.world.put("launch", |link| link.target = target("https://example.com/new"));
    let gate = Arc::new(Semaphore::new(0));
    *edge.world.lookup_gate.lock() = Some(Arc::clone(&gate));
    edge.world.advance(Duration::from_secs(30));
    // The refresh hangs; visitors do not, and only one of them starts it.
    for _ in 0..3 {
        assert_eq!(location(&edge, "/launch").await, "https://example.com/launch");
    }
    until("the refresh runs", || edge.world.lookups_waiting.load(Ordering::SeqCst) == 1).await;
    gate.add_permits(1000);
    until("the refresh is done", || edge.metric("vayro_edge_lookups_running") == 0.0).await;
    assert_eq!(location(&edge, "/launch").await, "https://example.com/new");
    assert_eq!(edge.world.lookups(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_too_long_an_old_link_is_asked_for_first() {
    let edge = TestEdge::start().await;
    edge.world.put("launch", |_| {});
    assert_eq!(status(&edge, "/launch").await, 302);
    edge.world.put("launch", |link| link.target = target("https://example.com/new"));
    edge.world.advance(Duration::from_secs(90));
    assert_eq!(location(&edge, "/launch").await, "https://example.com/new");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_nobody_can_be_asked_an_old_link_is_served() {
    let edge = TestEdge::start().await;
    edge.world.put("launch", |_| {});
    assert_eq!(status(&edge, "/launch").await, 302);
    *edge.world.lookup_mood.lock() = Mood::Failing;
    edge.world.advance(Duration::from_secs(600));
    assert_eq!(status(&edge, "/launch").await, 302);
    let asked = edge.world.lookups();
    // Within a second of a failure nobody waits for another one.
    assert_eq!(status(&edge, "/launch").await, 302);
    assert_eq!(edge.world.lookups(), asked);
    edge.world.advance(Duration::from_secs(1));
    assert_eq!(status(&edge, "/launch").await, 302);
    assert_eq!(edge.world.lookups(), asked + 1);
    assert!(edge.metric("vayro_edge_cache_stale_on_error_total") >= 2.0);
    // But not for ever.
    edge.world.advance(Duration::from_secs(3600));
    assert_eq!(status(&edge, "/launch").await, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_tell_is_503_and_not_404() {
    let edge = TestEdge::start().await;
    edge.world.put("launch", |_| {});
    *edge.world.lookup_mood.lock() = Mood::Failing;
    let mut client = Client::connect(edge.http()).await;
    let answer = client.get("/launch").await;
    assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("5")));
    assert_eq!(answer.header("connection"), Some("keep-alive"));
    *edge.world.lookup_mood.lock() = Mood::Well;
    assert_eq!(client.get("/launch").await.status(), 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_that_hangs_or_panics_blocks_nobody() {
    let edge = TestEdge::start_with(World::new(), |settings| {
        settings.lookup_timeout = Duration::from_millis(50);
    })
    .await;
    edge.world.put("launch", |_| {});
    for mood in [Mood::Hanging, Mood::Panicking] {
        *edge.world.lookup_mood.lock() = mood;
        assert_eq!(status(&edge, "/launch").await, 503, "{mood:?}");
    }
    *edge.world.lookup_mood.lock() = Mood::Well;
    assert_eq!(status(&edge, "/launch").await, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_may_have_changed_means_ask_again() {
    let edge = TestEdge::start().await;
    edge.world.put("launch", |_| {});
    assert_eq!(status(&edge, "/launch").await, 302);
    assert_eq!(status(&edge, "/made").await, 404);
    edge.world.put("launch", |link| link.target = target("https://example.com/new"));
    edge.world.put("made", |_| {});
    edge.world.tell(Invalidation::Everything);
    heard(&edge, "everything", 1.0).await;
    assert_eq!(location(&edge, "/launch").await, "https://example.com/new");
    assert_eq!(status(&edge, "/made").await, 302);
    assert_eq!(edge.world.lookups(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_look_up_does_not_bring_back_what_was_changed() {
    let edge = Arc::new(TestEdge::start().await);
    edge.world.put("launch", |_| {});
    let gate = Arc::new(Semaphore::new(0));
    *edge.world.lookup_gate.lock() = Some(Arc::clone(&gate));
    let visit = tokio::spawn({
        let edge = Arc::clone(&edge);
        async move { location(&edge, "/launch").await }
    });
    // The look-up has read the old state and is on its way.
    until("the look-up runs", || edge.world.lookups_waiting.load(Ordering::SeqCst) == 1).await;
    edge.world.put("launch", |link| link.target = target("https://example.com/new"));
    edge.world.tell_changed("launch");
    heard(&edge, "links", 1.0).await;
    gate.add_permits(1000);
    assert_eq!(visit.await.expect("no panic"), "https://example.com/new");
    assert_eq!(location(&edge, "/launch").await, "https://example.com/new");
    assert_eq!(edge.world.lookups(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_look_up_does_not_bring_back_what_was_deleted_or_hide_what_was_made() {
    let edge = Arc::new(TestEdge::start().await);
    for (code, is_made) in [("gone", false), ("made", true)] {
        if !is_made {
            edge.world.put(code, |_| {});
        }
        let gate = Arc::new(Semaphore::new(0));
        *edge.world.lookup_gate.lock() = Some(Arc::clone(&gate));
        let visit = tokio::spawn({
            let edge = Arc::clone(&edge);
            async move { status(&edge, &format!("/{code}")).await }
        });
        until("the look-up runs", || edge.world.lookups_waiting.load(Ordering::SeqCst) == 1).await;
        if is_made {
            edge.world.put(code, |_| {});
        } else {
            edge.world.remove(code);
        }
        let before = edge.metric("vayro_edge_invalidations_total{kind=\"links\"}");
        edge.world.tell_changed(code);
        heard(&edge, "links", before + 1.0).await;
        gate.add_permits(1000);
        let expected = if is_made { 302 } else { 404 };
        assert_eq!(visit.await.expect("no panic"), expected, "{code}");
        assert_eq!(status(&edge, &format!("/{code}")).await, expected, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_within_its_limit() {
    let edge = TestEdge::start_with(World::new(), |settings| settings.cache_size = 256 << 10).await;
    let mut client = Client::connect(edge.http()).await;
    for number in 0..1000 {
        let code = format!("link{number}");
        edge.world.put(&code, |_| {});
        assert_eq!(client.get(&format!("/{code}")).await.status(), 302);
    }
    assert!(edge.metric("vayro_edge_cache_bytes") <= f64::from(256 << 10));
    assert!(edge.metric("vayro_edge_cache_links") < 1000.0);
}
