//! Clicks that somebody asked to have removed are not stored, whenever they come.

use std::sync::atomic::Ordering;
use std::time::Duration;

use vayro_core::purge::{ClickSelector, PurgeState, SETTLE_TIME};

use super::doubles::{Scene, click, click_at, epoch, letter, until};

const HOUR: Duration = Duration::from_secs(3600);

/// Everything from before noon, when every test starts.
fn before_noon() -> ClickSelector {
    ClickSelector::new(None, Some(epoch().minus(10 * HOUR)), Some(epoch()), None).expect("valid")
}

#[tokio::test(start_paused = true)]
async fn clicks_that_come_late_are_left_out_and_noted() {
    let scene = Scene::new();
    scene.purges.ask(before_noon(), epoch());
    let (late, wanted) = (click_at(1, epoch().minus(HOUR)), click_at(2, epoch()));
    scene.stream.append(&[late.clone(), wanted.clone()]);
    let worker = scene.start().await;
    scene.until_settled().await;
    worker.stop().await;
    assert_eq!(scene.clicks.ids(), [wanted.id].into());
    assert_eq!(*scene.purges.noted.lock(), [late.id].into());
    assert!(scene.stream.dead_reasons().is_empty());
}

/// They were compared before, and the purge came meanwhile.
#[tokio::test(start_paused = true)]
async fn rows_that_waited_through_an_outage_are_compared_again() {
    let scene = Scene::new();
    let worker = scene.start().await;
    until("the worker is ready", || worker.handle.state().is_ready()).await;
    scene.clicks.is_down.store(true, Ordering::SeqCst);
    let (unwanted, wanted) = (click_at(1, epoch().minus(HOUR)), click_at(2, epoch().plus(HOUR)));
    scene.stream.append(&[unwanted.clone(), wanted.clone()]);
    until("the clicks wait to be written", || scene.stream.count_held() == 2).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let purge = scene.purges.ask(before_noon(), epoch());
    until("the purge is carried out", || scene.purges.state(purge) == Some(PurgeState::Removed)).await;
    scene.clicks.is_down.store(false, Ordering::SeqCst);
    until("the rest is stored", || scene.clicks.ids() == [wanted.id].into()).await;
    worker.stop().await;
    assert_eq!(scene.clicks.ids(), [wanted.id].into());
    assert!(scene.purges.noted.lock().contains(&unwanted.id));
}

#[tokio::test(start_paused = true)]
async fn a_purge_reaches_stream_and_dead_letters_and_days_again_and_again() {
    let scene = Scene::new();
    let (old, new) = (click_at(1, epoch().minus(HOUR)), click(2));
    *scene.letters.0.lock() = vec![letter("old", &old), letter("new", &new)];
    let worker = scene.start().await;
    let settled = click_at(3, epoch().minus(2 * HOUR));
    scene.stream.append(std::slice::from_ref(&settled));
    scene.until_settled().await;
    let purge = scene.purges.ask(before_noon(), epoch());
    until("it is carried out", || scene.purges.state(purge) == Some(PurgeState::Removed)).await;
    assert_eq!(*scene.purges.noted.lock(), [old.id, settled.id].into());
    let letters: Vec<String> = scene.letters.0.lock().iter().map(|letter| letter.id.clone()).collect();
    assert_eq!(letters, ["new"]);
    assert_eq!(*scene.purges.spans.lock(), [(epoch().minus(10 * HOUR), epoch())], "one day of it");

    tokio::time::sleep(SETTLE_TIME / 2).await;
    assert_eq!(scene.purges.spans.lock().len(), 1, "not before every worker knows of it");
    tokio::time::sleep(SETTLE_TIME / 2).await;
    until("it is carried out again", || scene.purges.state(purge) == Some(PurgeState::Settled)).await;
    assert_eq!(scene.purges.spans.lock().len(), 2);
    for purge in scene.purges.purges.lock().iter_mut() {
        purge.forget_at = epoch();
    }
    until("it is forgotten", || scene.purges.state(purge).is_none()).await;
    assert_eq!(scene.purges.spans.lock().len(), 3);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_before_every_purge_is_known() {
    let scene = Scene::new();
    scene.purges.ask(before_noon(), epoch());
    scene.purges.is_down.store(true, Ordering::SeqCst);
    scene.stream.append(&[click_at(1, epoch().minus(HOUR))]);
    let worker = scene.start().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(scene.stream.count_held(), 0);
    scene.purges.is_down.store(false, Ordering::SeqCst);
    scene.until_settled().await;
    worker.stop().await;
    assert!(scene.clicks.ids().is_empty());
}
