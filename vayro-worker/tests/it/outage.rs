//! Outages are waited out: nothing lost, nothing put aside, nobody blamed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use vayro_worker::CRASH_ATTEMPTS;

use super::doubles::{Scene, click, clicks, ids, until};

/// Long enough for every timer of the worker to have fired many times.
const LONG: Duration = Duration::from_secs(1800);

#[tokio::test(start_paused = true)]
async fn while_the_database_is_away_clicks_wait_and_attempts_do_not_rise() {
    let scene = Scene::new();
    let worker = scene.start().await;
    until("the worker is ready", || worker.handle.state().is_ready()).await;
    scene.clicks.is_down.store(true, Ordering::SeqCst);
    let all = clicks(20_000);
    scene.stream.append(&all);
    until("the database was asked", || !worker.handle.state().database).await;
    tokio::time::sleep(LONG).await;

    let held_max = scene.settings.batches_in_flight * scene.settings.batch_max.get();
    assert_eq!(scene.stream.count_held(), held_max, "no more in memory than allowed");
    assert_eq!(scene.stream.attempts_max(), 1);
    assert_eq!(scene.stream.dead_reasons(), []);
    assert_eq!(scene.clicks.ids().len(), 0);
    let asked = scene.clicks.calls.load(Ordering::SeqCst);
    assert!(asked < 2 * 1800, "{asked} calls in half an hour; the pauses do not grow");

    scene.clicks.is_down.store(false, Ordering::SeqCst);
    scene.until_settled().await;
    worker.stop().await;
    assert_eq!(scene.clicks.ids(), ids(&all));
    assert_eq!(scene.stream.dead_reasons(), []);
    assert_eq!(scene.stream.attempts_max(), 1);
}

#[tokio::test(start_paused = true)]
async fn clicks_of_a_dead_worker_are_left_alone_until_the_database_is_back() {
    let scene = Scene::new();
    let all = clicks(50);
    scene.stream.append(&all);
    scene.stream.hand_to_a_dead_worker(4);
    scene.clicks.is_down.store(true, Ordering::SeqCst);
    let worker = scene.start().await;
    tokio::time::sleep(LONG).await;
    assert_eq!(scene.stream.reclaims.load(Ordering::SeqCst), 0);
    assert_eq!(scene.stream.attempts_max(), 4);
    assert!(!worker.handle.state().database);
    worker.kill().await;
    // Workers that restart again and again during an outage change nothing.
    for _ in 0..5 {
        let worker = scene.start().await;
        tokio::time::sleep(Duration::from_secs(120)).await;
        worker.kill().await;
    }
    assert_eq!(scene.stream.attempts_max(), 4);
    assert_eq!(scene.stream.dead_reasons(), []);
}

#[tokio::test(start_paused = true)]
async fn clicks_of_a_dead_worker_are_left_alone_from_the_first_failure_on() {
    let scene = Scene::new();
    let dead_workers = clicks(50);
    scene.stream.append(&dead_workers);
    scene.stream.hand_to_a_dead_worker(CRASH_ATTEMPTS - 1);
    let worker = scene.start().await;
    until("the worker is ready", || worker.handle.state().is_ready()).await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    scene.clicks.is_down.store(true, Ordering::SeqCst);
    scene.stream.append(&[click(50)]);
    until("the outage is noticed", || !worker.handle.state().database).await;
    // Their minute ends during the outage.
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert_eq!(scene.stream.attempts_max(), CRASH_ATTEMPTS - 1);
    assert_eq!(scene.stream.dead_reasons(), []);
    worker.kill().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_before_there_is_a_place_for_it() {
    let scene = Scene::new();
    scene.clicks.is_down.store(true, Ordering::SeqCst);
    let all = clicks(10);
    scene.stream.append(&all);
    let worker = scene.start().await;
    tokio::time::sleep(LONG).await;
    assert_eq!(scene.stream.attempts_max(), 0);
    assert_eq!(scene.clicks.partitions.lock().len(), 0);
    scene.clicks.is_down.store(false, Ordering::SeqCst);
    scene.until_settled().await;
    worker.stop().await;
    assert_eq!(scene.clicks.ids(), ids(&all));
}

#[tokio::test(start_paused = true)]
async fn while_the_stream_is_away_written_clicks_are_settled_later() {
    let scene = Scene::new();
    let worker = scene.start().await;
    until("the worker is ready", || worker.handle.state().is_ready()).await;
    let all = clicks(1_500);
    scene.stream.append(&all);
    // Away between the write and the acknowledgement.
    scene.clicks.is_stuck.store(true, Ordering::SeqCst);
    until("everything is held", || scene.stream.count_held() == 1_500).await;
    scene.stream.is_down.store(true, Ordering::SeqCst);
    scene.clicks.is_stuck.store(false, Ordering::SeqCst);
    until("everything is written", || scene.clicks.ids().len() == 1_500).await;
    tokio::time::sleep(LONG).await;
    assert!(!worker.handle.state().stream);
    assert_eq!(scene.stream.count_held(), 1_500);
    scene.stream.is_down.store(false, Ordering::SeqCst);
    scene.until_settled().await;
    worker.stop().await;
    assert_eq!(scene.clicks.ids(), ids(&all));
    assert_eq!(scene.stream.dead_reasons(), []);
    assert_eq!(scene.stream.attempts_max(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_database_that_never_answers_is_asked_again() {
    let scene = Scene::new();
    scene.clicks.hangs.store(2, Ordering::SeqCst);
    scene.stream.append(&clicks(10));
    let worker = scene.start().await;
    scene.until_settled().await;
    worker.stop().await;
    assert_eq!(scene.clicks.ids().len(), 10);
    assert_eq!(scene.stream.dead_reasons(), []);
}

#[tokio::test(start_paused = true)]
async fn a_flaky_database_loses_nothing() {
    let scene = Scene::new();
    scene.clicks.flakiness.store(3, Ordering::SeqCst);
    let all = clicks(9_000);
    scene.stream.append(&all);
    let worker = scene.start().await;
    scene.until_settled().await;
    worker.stop().await;
    assert_eq!(scene.clicks.ids(), ids(&all));
    assert_eq!(scene.stream.dead_reasons(), []);
}
