//! Links that an edge knew before it ended, on disk.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use vayro_edge::admin::readiness;

use crate::domains::ask;
use crate::world::{Mood, TestEdge, World, host, target, until};

/// A world with a link on either domain, both visited by an edge that has ended.
async fn visited() -> (Arc<World>, TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let world = World::new();
    *world.snapshot.lock() = Some(dir.path().join("links.jsonl"));
    world.hosts.lock().push(host("go.example.com"));
    world.put("launch", |_| {});
    world.put_on(Some("go.example.com"), "launch", |link| link.target = target("https://example.org/"));
    let edge = TestEdge::start_with(world, |_| {}).await;
    for host in ["vay.ro", "go.example.com"] {
        assert_eq!(ask(&edge, host, "/launch").await.status(), 302);
    }
    (edge.stop().await, dir)
}

fn set_moods(world: &World, mood: Mood) {
    *world.lookup_mood.lock() = mood;
    *world.hosts_mood.lock() = mood;
}

async fn start(world: Arc<World>) -> TestEdge {
    TestEdge::start_with(world, |_| {}).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_starts_while_nobody_can_be_asked_knows_the_links_of_before() {
    let (world, _dir) = visited().await;
    set_moods(&world, Mood::Failing);
    let edge = start(world).await;
    assert_eq!(ask(&edge, "vay.ro", "/launch").await.location(), "https://example.com/launch");
    assert_eq!(ask(&edge, "go.example.com", "/launch").await.location(), "https://example.org/");
    let unknown = ask(&edge, "vay.ro", "/unknown").await;
    assert_eq!(unknown.status(), 503);
    assert!(unknown.header("retry-after").is_some());
    let state = readiness(&edge.observer);
    assert!(state.ready, "{state:?}");
    assert_eq!(state.degraded, ["domains cannot be read, those of the last run are served"]);

    // Once more, by an edge that never could ask.
    let edge = start(edge.stop().await).await;
    assert_eq!(ask(&edge, "go.example.com", "/launch").await.location(), "https://example.org/");
    assert!((edge.metric("vayro_edge_links_restored") - 2.0).abs() < f64::EPSILON);

    set_moods(&edge.world, Mood::Well);
    until("domains are read", || readiness(&edge.observer).degraded.is_empty()).await;
    edge.world.advance(Duration::from_secs(1));
    assert_eq!(ask(&edge, "vay.ro", "/unknown").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_can_be_asked_is_asked() {
    let (world, _dir) = visited().await;
    world.put("launch", |link| link.target = target("https://example.com/new"));
    let edge = start(world).await;
    assert_eq!(ask(&edge, "vay.ro", "/launch").await.location(), "https://example.com/new");
    let world = edge.stop().await;
    world.remove("launch");
    let edge = start(world).await;
    assert_eq!(ask(&edge, "vay.ro", "/launch").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_not_served_for_longer_than_one_in_memory() {
    let (world, _dir) = visited().await;
    set_moods(&world, Mood::Failing);
    world.advance(Duration::from_secs(3600));
    let edge = start(world).await;
    assert_eq!(ask(&edge, "vay.ro", "/launch").await.status(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_is_killed_has_saved_some_time_before() {
    let dir = tempfile::tempdir().expect("a folder");
    let world = World::new();
    *world.snapshot.lock() = Some(dir.path().join("links.jsonl"));
    world.put("launch", |_| {});
    let every = Duration::from_millis(20);
    let killed = TestEdge::start_with(Arc::clone(&world), |settings| settings.snapshot_every = every).await;
    assert_eq!(ask(&killed, "vay.ro", "/launch").await.status(), 302);
    let saved = killed.metric("vayro_edge_snapshots_total{result=\"saved\"}");
    killed.until_metric("vayro_edge_snapshots_total{result=\"saved\"}", saved + 2.0).await;
    // From here on the file is what a killed edge leaves.
    std::fs::copy(dir.path().join("links.jsonl"), dir.path().join("left.jsonl")).expect("a copy");
    *world.snapshot.lock() = Some(dir.path().join("left.jsonl"));
    set_moods(&world, Mood::Failing);
    let edge = start(Arc::clone(&world)).await;
    assert_eq!(ask(&edge, "vay.ro", "/launch").await.status(), 302);
    edge.stop().await;
    killed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_rubbish_and_a_folder_that_is_gone_keep_no_edge_from_its_work() {
    let (world, dir) = visited().await;
    let file = dir.path().join("links.jsonl");
    let long = vec![b'x'; 200_000];
    std::fs::write(&file, [b"\xff\n00000000 {}\n".as_slice(), &long].concat()).expect("written");
    let edge = start(world).await;
    assert_eq!(ask(&edge, "vay.ro", "/launch").await.status(), 302);
    let world = edge.stop().await;
    drop(dir);
    let every = Duration::from_millis(5);
    let edge = TestEdge::start_with(world, |settings| settings.snapshot_every = every).await;
    edge.until_metric("vayro_edge_snapshots_total{result=\"failed\"}", 1.0).await;
    assert_eq!(ask(&edge, "vay.ro", "/launch").await.status(), 302);
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_where_that_is_not_wanted() {
    let (world, dir) = visited().await;
    let file = dir.path().join("links.jsonl");
    let before = std::fs::read(&file).expect("saved");
    let edge = TestEdge::start_with(world, |settings| settings.snapshot_every = Duration::ZERO).await;
    assert!(edge.metric("vayro_edge_links_restored").abs() < f64::EPSILON);
    assert_eq!(ask(&edge, "vay.ro", "/launch").await.status(), 302);
    edge.stop().await;
    assert_eq!(std::fs::read(&file).expect("as it was"), before);
    std::fs::remove_file(&file).expect("removed");
}
