//! Clicks the database refuses, and clicks that workers die over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use vayro_core::click::Click;
use vayro_core::ids::ClickId;
use vayro_core::stream::DeadReason;
use vayro_worker::{ALONE_ATTEMPTS, CRASH_ATTEMPTS, SUSPECT_ATTEMPTS};

use super::doubles::{Event, Scene, click, clicks, ids, until};

/// Ids of the clicks that were put aside for `reason`.
fn put_aside(scene: &Scene, reason: DeadReason) -> BTreeSet<ClickId> {
    let dead = scene.stream.dead.lock();
    dead.iter()
        .filter(|letter| letter.reason == reason)
        .map(|letter| Click::decode(&letter.delivery.fields).expect("a click").id)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn one_refused_row_of_a_thousand_is_put_aside_alone() {
    let scene = Scene::new();
    let all = clicks(1_000);
    scene.clicks.refused.lock().insert(all[617].id, DeadReason::UnknownLink);
    scene.stream.append(&all);
    let worker = scene.start().await;
    scene.until_settled().await;
    worker.stop().await;
    assert_eq!(scene.stream.dead_reasons(), [DeadReason::UnknownLink]);
    assert_eq!(put_aside(&scene, DeadReason::UnknownLink), BTreeSet::from([all[617].id]));
    assert_eq!(scene.stream.dead.lock()[0].error, "row is refused");
    let mut good = ids(&all);
    good.remove(&all[617].id);
    assert_eq!(scene.clicks.ids(), good);
    let calls = scene.clicks.calls.load(Ordering::SeqCst);
    assert!(calls < 40, "{calls} calls to find one of a thousand");
}

#[test]
fn any_refused_rows_are_put_aside_and_only_these() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let (scene, worker) = runtime.block_on(async {
        let scene = Scene::new();
        let worker = scene.start().await;
        (scene, worker)
    });
    let next = AtomicU32::new(0);
    let strategy = (prop::collection::vec(any::<bool>(), 1..80), 0_usize..6);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(100));
    let outcome = runner.run(&strategy, |(fates, flakiness)| {
        let first = next.fetch_add(100, Ordering::SeqCst);
        let batch: Vec<Click> = (0..).zip(&fates).map(|(n, _)| click(first + n)).collect();
        let refused: BTreeMap<ClickId, DeadReason> = batch
            .iter()
            .zip(&fates)
            .filter(|(_, is_refused)| **is_refused)
            .map(|(click, _)| (click.id, DeadReason::Rejected))
            .collect();
        scene.stream.dead.lock().clear();
        scene.clicks.rows.lock().clear();
        *scene.clicks.refused.lock() = refused.clone();
        // One would fail every call.
        scene.clicks.flakiness.store(if flakiness == 1 { 0 } else { flakiness }, Ordering::SeqCst);
        scene.stream.append(&batch);
        runtime.block_on(scene.until_settled());

        let refused: BTreeSet<ClickId> = refused.into_keys().collect();
        let good: BTreeSet<ClickId> = ids(&batch).difference(&refused).copied().collect();
        prop_assert_eq!(put_aside(&scene, DeadReason::Rejected), refused);
        prop_assert_eq!(scene.stream.dead.lock().len(), scene.clicks.refused.lock().len());
        prop_assert_eq!(scene.clicks.ids(), good);
        Ok(())
    });
    runtime.block_on(worker.stop());
    outcome.expect("the property holds");
}

#[tokio::test(start_paused = true)]
async fn a_click_that_kills_workers_is_put_aside_and_no_other() {
    let scene = Scene::new();
    let all = clicks(300);
    let deadly = all[123].id;
    scene.clicks.deadly.lock().insert(deadly);
    scene.stream.append(&all);
    let mut deaths = 0;
    while scene.stream.count_unsettled() > 0 {
        let worker = scene.start().await;
        let died_before = scene.clicks.died.load(Ordering::SeqCst);
        until("it is done or dead", || {
            scene.stream.count_unsettled() == 0 || scene.clicks.died.load(Ordering::SeqCst) > died_before
        })
        .await;
        worker.kill().await;
        deaths += 1;
        assert!(deaths < 10, "attempts {}", scene.stream.attempts_max());
        // Until what the dead worker held is old enough.
        tokio::time::sleep(scene.settings.reclaim_idle).await;
    }
    assert_eq!(put_aside(&scene, DeadReason::Crashed), BTreeSet::from([deadly]));
    assert_eq!(scene.stream.dead_reasons(), [DeadReason::Crashed]);
    assert_eq!(scene.stream.dead.lock()[0].delivery.attempts, CRASH_ATTEMPTS);
    let mut good = ids(&all);
    good.remove(&deadly);
    assert_eq!(scene.clicks.ids(), good);
}

#[tokio::test(start_paused = true)]
async fn the_more_suspicious_clicks_are_the_fewer_are_worked_on_together() {
    let batch = Scene::new().settings.batch_max.get();
    for (attempts, together) in
        [(SUSPECT_ATTEMPTS, batch / 16), (SUSPECT_ATTEMPTS + 1, batch / 256), (ALONE_ATTEMPTS, 1)]
    {
        let scene = Scene::new();
        let all = clicks(400);
        scene.stream.append(&all);
        scene.stream.hand_to_a_dead_worker(attempts - 1);
        tokio::time::sleep(scene.settings.reclaim_idle).await;
        let worker = scene.start().await;
        scene.until_settled().await;
        worker.stop().await;
        assert_eq!(scene.clicks.ids(), ids(&all));
        let largest = scene.events().iter().map(Event::len).max();
        assert_eq!(largest, Some(together.clamp(1, 400)), "{attempts} attempts");
    }
}

#[tokio::test(start_paused = true)]
async fn clicks_of_a_dead_worker_come_in_batches_if_nobody_is_suspected() {
    let scene = Scene::new();
    let all = clicks(400);
    scene.stream.append(&all);
    scene.stream.hand_to_a_dead_worker(1);
    let worker = scene.start().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(scene.clicks.ids().len(), 0, "a worker that is merely slow keeps its clicks");
    scene.until_settled().await;
    worker.stop().await;
    assert_eq!(scene.clicks.ids(), ids(&all));
    assert_eq!(scene.stream.dead_reasons(), []);
    let largest = scene.events().iter().map(Event::len).max();
    assert_eq!(largest, Some(400));
}

#[tokio::test(start_paused = true)]
async fn a_worker_killed_between_write_and_acknowledgement_counts_nothing_twice() {
    let scene = Scene::new();
    let all = clicks(2_500);
    scene.stream.append(&all);
    scene.stream.is_ack_stuck.store(true, Ordering::SeqCst);
    let worker = scene.start().await;
    until("everything is written", || scene.clicks.ids().len() == 2_500).await;
    worker.kill().await;
    assert_eq!(scene.stream.count_held(), 2_500);
    scene.stream.is_ack_stuck.store(false, Ordering::SeqCst);
    let worker = scene.start().await;
    scene.until_settled().await;
    let metrics = worker.handle.metrics();
    worker.stop().await;
    assert_eq!(scene.clicks.ids(), ids(&all));
    assert_eq!(scene.clicks.duplicates.load(Ordering::SeqCst), 2_500);
    assert!(metrics.contains("vayro_worker_clicks_duplicate_total 2500"), "{metrics}");
    assert!(metrics.contains("vayro_worker_clicks_reclaimed_total 2500"), "{metrics}");
}
