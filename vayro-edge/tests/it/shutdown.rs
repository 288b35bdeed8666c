//! Stopping: nobody is cut off, nothing accepted is lost, and it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::client::Client;
use crate::world::{Mood, TestEdge, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_edge_ends_at_once_and_closes_idle_connections() {
    let edge =
        TestEdge::start_with(World::new(), |settings| settings.grace = Duration::from_secs(3600)).await;
    edge.world.put("launch", |_| {});
    let mut client = Client::connect(edge.http()).await;
    client.get("/launch").await;
    let world = edge.stop().await;
    assert!(client.until_closed().await.is_empty());
    assert_eq!(world.clicks().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_is_answered_and_then_told_to_close() {
    let edge =
        TestEdge::start_with(World::new(), |settings| settings.grace = Duration::from_secs(3600)).await;
    edge.world.put("launch", |_| {});
    let gate = Arc::new(Semaphore::new(0));
    *edge.world.lookup_gate.lock() = Some(Arc::clone(&gate));
    let mut client = Client::connect(edge.http()).await;
    client.ask("GET", "/launch", "").await;
    until("the look-up runs", || edge.world.lookups_waiting.load(Ordering::SeqCst) == 1).await;
    edge.tell_to_stop();
    edge.until_metric("vayro_edge_draining", 1.0).await;
    assert!(!vayro_edge::admin::readiness(&edge.observer).ready);
    gate.add_permits(1);
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.header("connection")), (302, Some("close")));
    assert_eq!(edge.ended().await.clicks().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_ends_has_its_grace_and_no_more() {
    let edge = TestEdge::start_with(World::new(), |settings| {
        settings.grace = Duration::from_millis(200);
        settings.lookup_timeout = Duration::from_secs(3600);
    })
    .await;
    *edge.world.lookup_mood.lock() = Mood::Hanging;
    let mut client = Client::connect(edge.http()).await;
    client.ask("GET", "/launch", "").await;
    until("the look-up runs", || edge.world.lookups() == 1).await;
    edge.stop().await;
    assert!(client.until_closed().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_under_load_loses_no_click_of_an_answered_visit() {
    let edge = TestEdge::start().await;
    edge.world.put("launch", |_| {});
    let answered = Arc::new(AtomicUsize::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let address = edge.http();
    let visitors: Vec<_> = (0..8)
        .map(|_| {
            let (answered, is_over) = (Arc::clone(&answered), Arc::clone(&is_over));
            tokio::spawn(async move {
                while !is_over.load(Ordering::SeqCst) {
                    visit_until_closed(address, &answered).await;
                }
            })
        })
        .collect();
    until("there is load", || answered.load(Ordering::SeqCst) > 2000).await;
    let world = edge.stop().await;
    is_over.store(true, Ordering::SeqCst);
    for visitor in visitors {
        visitor.await.expect("no panic");
    }
    let (answered, counted) = (answered.load(Ordering::SeqCst), world.clicks().len());
    // A redirect may have been written to a visitor who was already cut off.
    assert!(counted >= answered, "{counted} clicks of {answered} answers");
    let last = world.reports.lock().last().cloned().expect("a report");
    assert_eq!(last.clicks_accepted, counted as u64);
    assert_eq!((last.clicks_shipped, last.clicks_dropped), (last.clicks_accepted, 0));
}

async fn visit_until_closed(address: std::net::SocketAddr, answered: &AtomicUsize) {
    let Ok(mut stream) = TcpStream::connect(address).await else {
        tokio::task::yield_now().await;
        return;
    };
    let mut buffer = [0; 1024];
    loop {
        if stream.write_all(b"GET /launch HTTP/1.1\r\nHost: vay.ro\r\n\r\n").await.is_err() {
            return;
        }
        match stream.read(&mut buffer).await {
            Ok(count) if buffer[..count].starts_with(b"HTTP/1.1 302 ") => {
                answered.fetch_add(1, Ordering::SeqCst);
            }
            _ => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_never_takes_clicks_delays_the_end_only_so_long() {
    let edge = TestEdge::start_with(World::new(), |settings| {
        settings.flush_timeout = Duration::from_millis(200);
        settings.click_timeout = Duration::from_millis(50);
    })
    .await;
    edge.world.put("launch", |_| {});
    *edge.world.sink_mood.lock() = Mood::Hanging;
    let mut client = Client::connect(edge.http()).await;
    for _ in 0..3 {
        client.get("/launch").await;
    }
    let observer = edge.observer.clone();
    edge.stop().await;
    let text = vayro_edge::admin::metrics_text(&observer);
    assert!(text.contains("vayro_edge_clicks_dropped_total{reason=\"shutdown\"} 3\n"), "{text}");
}
