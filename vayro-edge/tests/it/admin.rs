//! Health, readiness and metrics.

use std::sync::atomic::Ordering;

use vayro_edge::admin::{metrics_text, readiness};

use crate::client::Client;
use crate::world::{TestEdge, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn names_of_metrics_are_these() {
    let edge = TestEdge::start().await;
    let text = metrics_text(&edge.observer);
    let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    insta::assert_snapshot!("metrics", names.join("\n"));
    let labels: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once('}').map(|(labeled, _)| format!("{labeled}}}")))
        .filter(|labeled| !labeled.contains("_bucket"))
        .collect();
    insta::assert_snapshot!("metric_labels", labels.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_answers_beside_the_edge() {
    let edge = TestEdge::start_with(World::new(), |settings| {
        settings.admin = Some("127.0.0.1:0".parse().expect("valid"));
    })
    .await;
    let mut client = Client::connect(edge.addresses.admin.expect("asked for")).await;
    let live = client.get("/livez").await;
    assert_eq!((live.status(), live.text()), (200, "ok\n"));
    let ready = client.get("/readyz").await;
    assert_eq!((ready.status(), ready.text()), (200, r#"{"ready":true,"reasons":[],"degraded":[]}"#));
    let metrics = client.get("/metrics").await;
    assert!(metrics.text().contains("vayro_edge_answers_total{kind=\"redirect\"} 0\n"));
    assert_eq!(client.get("/nothing").await.status(), 404);
    client.ask("POST", "/livez", "").await;
    assert_eq!(client.answer().await.status(), 405);
    // Not a word of this on the public side.
    let mut visitor = Client::connect(edge.http()).await;
    assert_eq!(visitor.get("/metrics").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_feed_degrades_without_taking_the_edge_away() {
    let edge = TestEdge::start().await;
    edge.world.is_feed_connected.store(false, Ordering::SeqCst);
    until("the edge notices", || !readiness(&edge.observer).degraded.is_empty()).await;
    assert!(readiness(&edge.observer).ready);
    assert!(edge.metric("vayro_edge_feed_connected") < 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn histograms_add_up() {
    let edge = TestEdge::start().await;
    for number in 0..5 {
        Client::connect(edge.http()).await.get(&format!("/code{number}")).await;
    }
    assert!((edge.metric("vayro_edge_lookup_seconds_count") - 5.0).abs() < 0.5);
    assert!((edge.metric("vayro_edge_lookup_seconds_bucket{le=\"+Inf\"}") - 5.0).abs() < 0.5);
}
