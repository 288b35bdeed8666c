//! Visits that come again within moments.

use std::sync::atomic::Ordering;
use std::time::Duration;

use vayro_core::click::{Click, ClickClass};

use super::doubles::{Scene, click_at, epoch, until};

const WINDOW: Duration = Duration::from_secs(10);

fn scene() -> Scene {
    let mut scene = Scene::new();
    scene.settings.repeat_window = WINDOW;
    scene
}

/// The click number `n` of the one visitor, `millis` after the start.
fn visit(n: u32, millis: u64) -> Click {
    click_at(n, epoch().plus(Duration::from_millis(millis)))
}

fn classes(scene: &Scene, clicks: &[Click]) -> Vec<ClickClass> {
    let rows = scene.clicks.rows.lock();
    clicks.iter().map(|click| rows[&click.id].class).collect()
}

#[tokio::test(start_paused = true)]
async fn the_same_visitor_is_counted_once_in_a_window() {
    use ClickClass::{Bot, Counted, Repeat};
    let scene = scene();
    let mut all =
        vec![visit(0, 0), visit(1, 400), visit(2, 10_000), visit(3, 10_001), visit(4, 20_000), visit(5, 500)];
    // Another visitor, one that nobody can recognize, a robot, and a person behind the robot's address.
    all.extend((6..12).map(|n| visit(n, 600)));
    all[6].ip = Some([192, 0, 2, 8].into());
    all[7].ip = None;
    all[8].ip = None;
    all[9].user_agent = "Googlebot/2.1".into();
    all[10].user_agent = "Googlebot/2.1".into();
    all[11].language = "fr".into();
    scene.stream.append(&all);
    let worker = scene.start().await;
    scene.until_settled().await;
    worker.stop().await;
    assert_eq!(
        classes(&scene, &all),
        [Counted, Repeat, Repeat, Counted, Repeat, Repeat, Counted, Counted, Counted, Bot, Bot, Repeat]
    );
    let rows = scene.clicks.rows.lock();
    assert_eq!(rows[&all[0].id].visitor_id, rows[&all[1].id].visitor_id, "a repeat keeps its visitor");
}

#[tokio::test(start_paused = true)]
async fn without_a_window_nobody_is_asked() {
    let mut scene = scene();
    scene.settings.repeat_window = Duration::ZERO;
    let all = [visit(0, 0), visit(1, 1)];
    scene.stream.append(&all);
    let worker = scene.start().await;
    scene.until_settled().await;
    worker.stop().await;
    assert_eq!(classes(&scene, &all), [ClickClass::Counted; 2]);
    assert_eq!(scene.visits.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn batches_without_people_ask_nobody() {
    let scene = scene();
    let mut robot = visit(0, 0);
    robot.user_agent = "Googlebot/2.1".into();
    scene.stream.append(&[robot]);
    let worker = scene.start().await;
    scene.until_settled().await;
    worker.stop().await;
    assert_eq!(scene.visits.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn while_nobody_remembers_visits_clicks_wait() {
    let scene = scene();
    let worker = scene.start().await;
    until("the worker is ready", || worker.handle.state().is_ready()).await;
    scene.visits.is_down.store(true, Ordering::SeqCst);
    let all = [visit(0, 0), visit(1, 1)];
    scene.stream.append(&all);
    tokio::time::sleep(Duration::from_secs(1800)).await;
    assert_eq!(scene.stream.count_held(), 2);
    assert_eq!(scene.stream.attempts_max(), 1);
    assert_eq!(scene.stream.dead_reasons(), []);
    assert_eq!(scene.clicks.ids().len(), 0);
    let asked = scene.visits.calls.load(Ordering::SeqCst);
    assert!((2..1800).contains(&asked), "{asked} calls in half an hour");

    scene.visits.is_down.store(false, Ordering::SeqCst);
    scene.until_settled().await;
    worker.stop().await;
    assert_eq!(classes(&scene, &all), [ClickClass::Counted, ClickClass::Repeat]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_waits_for_it_stops_when_told() {
    let scene = scene();
    scene.visits.is_down.store(true, Ordering::SeqCst);
    scene.stream.append(&[visit(0, 0)]);
    let worker = scene.start().await;
    until("it was asked", || scene.visits.calls.load(Ordering::SeqCst) > 0).await;
    worker.stop().await;
    assert_eq!(scene.stream.count_held(), 1, "left to be handed out again");
}

#[tokio::test(start_paused = true)]
async fn clicks_of_a_dead_worker_keep_their_classes() {
    let scene = scene();
    let all = [visit(0, 0), visit(1, 400)];
    scene.clicks.is_stuck.store(true, Ordering::SeqCst);
    scene.stream.append(&all);
    let worker = scene.start().await;
    until("they are marked and being written", || scene.clicks.writing_now.load(Ordering::SeqCst) == 1).await;
    worker.kill().await;
    scene.clicks.is_stuck.store(false, Ordering::SeqCst);
    let worker = scene.start().await;
    scene.until_settled().await;
    worker.stop().await;
    assert_eq!(classes(&scene, &all), [ClickClass::Counted, ClickClass::Repeat]);
    assert_eq!(scene.stream.attempts_max(), 2);
}
