//! A worker when nothing is wrong.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use vayro_core::click::{ClickClass, ClickMethod};
use vayro_core::stream::DeadReason;
use vayro_worker::enrich::Network;

use super::doubles::{Event, Scene, click, clicks, ids, until};

#[tokio::test(start_paused = true)]
async fn every_click_is_stored_once_and_settled_after_that() {
    let scene = Scene::new();
    let all = clicks(4_321);
    scene.stream.append(&all);
    let worker = scene.start().await;
    scene.until_settled().await;
    worker.stop().await;

    assert_eq!(scene.clicks.ids(), ids(&all));
    assert_eq!(scene.clicks.duplicates.load(Ordering::SeqCst), 0);
    assert_eq!(scene.stream.dead_reasons(), []);
    let mut written = BTreeSet::new();
    let mut batches = 0;
    for event in scene.events() {
        match event {
            Event::Written(ids) => {
                assert!(ids.len() <= 1000);
                batches += 1;
                written.extend(ids);
            }
            Event::Acknowledged(ids) => assert!(ids.is_subset(&written), "acknowledged before written"),
        }
    }
    assert_eq!(batches, 5, "full batches while there is enough");
}

#[tokio::test(start_paused = true)]
async fn the_next_batch_is_worked_on_while_one_is_written() {
    let mut scene = Scene::new();
    scene.settings.writers = 2;
    scene.clicks.is_stuck.store(true, Ordering::SeqCst);
    scene.stream.append(&clicks(10_000));
    let worker = scene.start().await;
    until("two writes are under way", || scene.clicks.writing_now.load(Ordering::SeqCst) == 2).await;
    let held_max = scene.settings.batches_in_flight * scene.settings.batch_max.get();
    until("the slots are full", || scene.stream.count_held() == held_max).await;
    // More is not read, however long it takes.
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(scene.stream.count_held(), held_max);
    assert_eq!(scene.clicks.writing_max.load(Ordering::SeqCst), 2);
    worker.kill().await;
}

#[tokio::test(start_paused = true)]
async fn a_single_click_is_stored_at_once() {
    let scene = Scene::new();
    let worker = scene.start().await;
    until("the worker is ready", || worker.handle.state().is_ready()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = Instant::now();
    scene.stream.append(&[click(1)]);
    scene.until_settled().await;
    assert!(before.elapsed() < Duration::from_secs(1), "virtual time, so this is the worker's own delay");
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_trickle_of_clicks_shares_transactions() {
    let scene = Scene::new();
    let worker = scene.start().await;
    for n in 0..500 {
        scene.stream.append(&[click(n)]);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    scene.until_settled().await;
    worker.stop().await;
    let writes = scene.events().iter().filter(|event| matches!(event, Event::Written(_))).count();
    assert!((5..=20).contains(&writes), "{writes} transactions for 500 ms of clicks at a linger of 50 ms");
}

#[tokio::test(start_paused = true)]
async fn rows_carry_what_was_found_out() {
    let mut scene = Scene::new();
    scene.settings.enrich.excluded =
        ["203.0.113.77".parse::<Network>().expect("an address")].into_iter().collect();
    let mut all = clicks(7);
    all[1].method = ClickMethod::Head;
    all[1].is_prefetch = true;
    all[2].is_prefetch = true;
    all[2].user_agent = "Googlebot/2.1".into();
    all[3].user_agent = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)".into();
    all[4].query = "utm_source=mail&qr=1".into();
    all[4].ip = None;
    // Every other thing about them does not matter.
    all[5].ip = Some([203, 0, 113, 77].into());
    all[5].user_agent = "Googlebot/2.1".into();
    all[5].method = ClickMethod::Head;
    all[6].ip = Some([203, 0, 113, 78].into());
    scene.stream.append(&all);
    let worker = scene.start().await;
    scene.until_settled().await;
    worker.stop().await;

    let rows = scene.clicks.rows.lock();
    let classes: Vec<_> = all.iter().map(|click| rows[&click.id].class).collect();
    assert_eq!(
        classes,
        [
            ClickClass::Counted,
            ClickClass::Head,
            ClickClass::Prefetch,
            ClickClass::Bot,
            ClickClass::Counted,
            ClickClass::Excluded,
            ClickClass::Counted,
        ]
    );
    assert_eq!([&*rows[&all[2].id].bot, &*rows[&all[3].id].bot], ["Googlebot", "Googlebot"]);
    let row = &rows[&all[0].id];
    assert_eq!(row.timestamp, all[0].timestamp());
    assert_eq!((&*row.browser, &*row.os, &*row.device_type), ("Firefox", "Linux", "desktop"));
    assert_eq!((&*row.referer_host, &*row.referer), ("example.com", "https://www.example.com/page"));
    assert_eq!((&*row.language, &*row.ip_address, &*row.trigger), ("de-CH", "192.0.2.0", "link"));
    assert_eq!((&*row.domain, &*row.user_agent), ("go.example", &*all[0].user_agent));
    assert!(row.visitor_id.is_some());
    let row = &rows[&all[4].id];
    assert_eq!((&*row.utm_source, &*row.trigger, &*row.ip_address), ("mail", "qr", ""));
    assert_eq!(row.visitor_id, None, "without an address nobody can be told apart");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_click_is_put_aside_at_once() {
    let scene = Scene::new();
    scene.stream.append(&clicks(10));
    scene.stream.append_raw(None, vec![("link_id".into(), b"nonsense".to_vec())]);
    scene.stream.append_raw(None, Vec::new());
    let worker = scene.start().await;
    scene.until_settled().await;
    let metrics = worker.handle.metrics();
    worker.stop().await;
    assert_eq!(scene.clicks.ids(), ids(&clicks(10)));
    assert_eq!(scene.stream.dead_reasons(), [DeadReason::Undecodable; 2]);
    let dead = scene.stream.dead.lock();
    assert_eq!(dead[0].error, "field `id` is missing");
    assert_eq!(dead[0].delivery.fields[0].1, b"nonsense", "the entry is kept as it was");
    for line in [
        "vayro_worker_clicks_read_total 12",
        "vayro_worker_clicks_written_total{class=\"counted\"} 10",
        "vayro_worker_clicks_written_total{class=\"bot\"} 0",
        "vayro_worker_dead_letters_total{reason=\"undecodable\"} 2",
        "vayro_worker_database_up 1",
        "vayro_worker_geoip_loaded 0",
    ] {
        assert!(metrics.lines().any(|l| l == line), "no `{line}` in\n{metrics}");
    }
}

/// NUL above all: PostgreSQL takes no text with one, and anyone can send one.
#[tokio::test(start_paused = true)]
async fn bytes_that_no_database_takes_are_cleaned_out() {
    let scene = Scene::new();
    let click = click(1);
    let mut fields = click.to_fields();
    for (name, value) in &mut fields {
        if matches!(&**name, "user_agent" | "referer") {
            value.extend_from_slice(b"\0\xFF\xFE\x1B");
        }
    }
    fields.push(("language".into(), b"d\0e\xFF".to_vec()));
    fields.push(("query".into(), b"utm_source=a%00b%FFc&utm_term=\0".to_vec()));
    scene.stream.append_raw(Some(click.id), fields);
    let worker = scene.start().await;
    scene.until_settled().await;
    worker.stop().await;
    assert_eq!(scene.stream.dead_reasons(), []);
    let rows = scene.clicks.rows.lock();
    let row = &rows[&click.id];
    let texts = [&row.browser, &row.referer, &row.language, &row.utm_source, &row.utm_term, &row.bot];
    for text in texts {
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
    assert_eq!(row.utm_source, "ab\u{FFFD}c");
}

#[tokio::test(start_paused = true)]
async fn batches_are_as_small_as_asked_for() {
    let mut scene = Scene::new();
    scene.settings.batch_max = NonZeroUsize::new(7).expect("not zero");
    scene.stream.append(&clicks(50));
    let worker = scene.start().await;
    scene.until_settled().await;
    worker.stop().await;
    for event in scene.events() {
        if let Event::Written(ids) = event {
            assert!(ids.len() <= 7);
        }
    }
    assert_eq!(scene.clicks.ids().len(), 50);
}
