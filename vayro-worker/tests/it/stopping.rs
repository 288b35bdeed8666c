//! The end of a worker.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::doubles::{Scene, clicks, ids, until};

#[tokio::test(start_paused = true)]
async fn the_batch_in_hand_is_finished() {
    let mut scene = Scene::new();
    scene.settings.batches_in_flight = 1;
    let all = clicks(3_000);
    scene.stream.append(&all);
    scene.clicks.is_stuck.store(true, Ordering::SeqCst);
    let worker = scene.start().await;
    until("a write is under way", || scene.clicks.writing_now.load(Ordering::SeqCst) == 1).await;
    worker.ask_to_stop();
    tokio::time::sleep(Duration::from_secs(1)).await;
    scene.clicks.is_stuck.store(false, Ordering::SeqCst);
    worker.stop().await;
    assert_eq!(scene.stream.count_held(), 0, "what was handed out is settled");
    assert_eq!(scene.clicks.ids(), ids(&all[..1_000]));
    assert_eq!(scene.stream.count_unsettled(), 2_000, "the rest was not touched");
    assert_eq!(scene.stream.leaves.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_does_not_end_is_given_up() {
    let scene = Scene::new();
    let all = clicks(10);
    scene.stream.append(&all);
    scene.clicks.is_stuck.store(true, Ordering::SeqCst);
    let worker = scene.start().await;
    until("the write is under way", || scene.clicks.writing_now.load(Ordering::SeqCst) == 1).await;
    let asked = Instant::now();
    worker.stop().await;
    assert!(asked.elapsed() <= scene.settings.stop_timeout + Duration::from_secs(2), "virtual time");
    assert_eq!(scene.stream.count_held(), 10, "unsettled, so it comes back");
    assert_eq!(scene.stream.leaves.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_outage_does_not_hold_up_the_end() {
    let scene = Scene::new();
    let all = clicks(10);
    let worker = scene.start().await;
    until("the worker is ready", || worker.handle.state().is_ready()).await;
    scene.clicks.is_down.store(true, Ordering::SeqCst);
    scene.stream.append(&all);
    until("the outage is noticed", || !worker.handle.state().database).await;
    let asked = Instant::now();
    worker.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(1), "virtual time");
    assert_eq!(scene.stream.count_held(), 10);

    scene.clicks.is_down.store(false, Ordering::SeqCst);
    let worker = scene.start().await;
    scene.until_settled().await;
    worker.stop().await;
    assert_eq!(scene.clicks.ids(), ids(&all));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_waits_for_the_database_at_its_start_stops_at_once() {
    let scene = Scene::new();
    scene.clicks.is_down.store(true, Ordering::SeqCst);
    let worker = scene.start().await;
    until("the database was asked", || scene.clicks.calls.load(Ordering::SeqCst) > 0).await;
    let asked = Instant::now();
    worker.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(1), "virtual time");
}
