//! Work that comes around, and the admin listener.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vayro_core::account::Plan;
use vayro_core::click::Click;
use vayro_core::day::Day;
use vayro_core::ids::{LinkId, WorkspaceId};
use vayro_core::retention::Keep;

use super::doubles::{Scene, click, epoch, letter, until};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test(start_paused = true)]
async fn partitions_reach_two_months_both_ways_and_follow_the_time() {
    let scene = Scene::new();
    let worker = scene.start().await;
    tokio::time::sleep(DAY).await;
    worker.stop().await;
    let partitions = scene.clicks.partitions.lock();
    let (from, to) = partitions[0];
    assert!(from <= "2026-03-31T23:59:59Z".parse().expect("valid"), "{from}");
    assert!(to >= "2026-07-01T00:00:00Z".parse().expect("valid"), "{to}");
    assert!((24..=27).contains(&partitions.len()), "hourly, but {} times a day", partitions.len());
    let (_, last) = partitions[partitions.len() - 1];
    assert!(last >= to.plus(Duration::from_secs(23 * 3600)));
}

#[tokio::test(start_paused = true)]
async fn old_data_is_removed_after_its_time() {
    let scene = Scene::new();
    scene.accounts.purgeable.store(250, Ordering::SeqCst);
    scene.accounts.expired_keys.store(1500, Ordering::SeqCst);
    let day = |number: u128| (WorkspaceId::from_uuid(uuid::Uuid::from_u128(number)), Day::of(epoch()));
    *scene.rollups.due.lock() = (0..250).map(day).collect();
    let worker = scene.start().await;
    until("days are counted again", || scene.rollups.due.lock().is_empty()).await;
    until("links are gone", || scene.accounts.purgeable.load(Ordering::SeqCst) == 0).await;
    until("weeks are put together", || !scene.rollups.rolled_up.lock().is_empty()).await;
    worker.stop().await;
    let (from, to) = scene.rollups.rolled_up.lock()[0];
    assert_eq!(from, vayro_core::timestamp::Timestamp::EPOCH);
    assert!(to <= epoch().minus(DAY).plus(Duration::from_secs(60)), "{to}");
    let (from, to) = scene.rollups.parts.lock()[0];
    assert!(to.since(from) > DAY * 9 && to < epoch(), "of some days past: {from} to {to}");
    let is_about = |at: vayro_core::timestamp::Timestamp, back: Duration| {
        at.since(epoch().minus(back)) < Duration::from_secs(60) && at >= epoch().minus(back)
    };
    let deadlines = scene.accounts.purge_deadlines.lock();
    assert!(is_about(deadlines[0], DAY * 30), "{}", deadlines[0]);
    assert_eq!(deadlines.len(), 3, "in steps of a hundred");
    let salts = scene.clicks.salts_deleted_before.lock().expect("salts are deleted");
    assert!(is_about(salts, DAY * 3), "{salts}");
    assert!(is_about(scene.accounts.sessions_expired_at.lock()[0], Duration::ZERO));
    assert_eq!(scene.accounts.expired_keys.load(Ordering::SeqCst), 0);
    let keys = scene.accounts.keys_expired_at.lock();
    assert!(is_about(keys[0], Duration::ZERO), "{}", keys[0]);
    assert_eq!(keys.len(), 2, "in steps of a thousand");
}

#[tokio::test(start_paused = true)]
async fn dead_letters_go_with_the_link_that_is_removed() {
    let scene = Scene::new();
    scene.accounts.purgeable.store(7, Ordering::SeqCst);
    let of_link = |number: u32, link: u128| Click {
        link_id: LinkId::from_uuid(uuid::Uuid::from_u128(link)),
        ..click(number)
    };
    let gone = of_link(1, 6);
    *scene.letters.0.lock() = vec![letter("gone", &gone), letter("kept", &of_link(2, 7))];
    let worker = scene.start().await;
    until("links are gone", || scene.accounts.purgeable.load(Ordering::SeqCst) == 0).await;
    worker.stop().await;
    let left: Vec<String> = scene.letters.0.lock().iter().map(|letter| letter.id.clone()).collect();
    assert_eq!(left, ["kept"]);
    let day = Day::of(gone.id.timestamp().expect("of a time"));
    assert_eq!(*scene.ledger.removed.lock(), [(day, 1)], "the account knows of them");
}

#[tokio::test(start_paused = true)]
async fn clicks_and_sums_go_by_age_as_configured() {
    let mut scene = Scene::new();
    scene.settings.housekeeping_every = Duration::from_secs(10);
    let keep = |days| Keep::For(DAY * days);
    let retention = &mut scene.settings.retention;
    (retention.free, retention.pro, retention.rollups) = (keep(30), keep(90), keep(400));
    scene.retention.clicks.store(25_000, Ordering::SeqCst);
    // A month that cannot go now keeps nothing else from going.
    scene.retention.is_month_busy.store(true, Ordering::SeqCst);
    let worker = scene.start().await;
    until("the second round", || scene.retention.cuts.lock().len() == 2).await;
    worker.stop().await;
    assert_eq!(scene.retention.clicks.load(Ordering::SeqCst), 0);
    let first: Vec<&str> = scene.retention.calls.lock().iter().take(8).copied().collect();
    let expected = ["raise_horizons", "remove_months", "remove_clicks", "remove_clicks", "remove_clicks"];
    assert_eq!(first[..5], expected, "horizons rise before anything goes");
    assert_eq!(first[5..], ["remove_clicks", "remove_rollups", "remove_rollups"]);
    let cut = scene.retention.cuts.lock()[0];
    assert_eq!(cut.clicks(Plan::Free), Some(Day::of(epoch().minus(DAY * 30))));
    assert_eq!((cut.clicks(Plan::Enterprise), cut.month()), (None, None));
    assert_eq!(*scene.retention.rollups_before.lock(), Some(Day::of(epoch().minus(DAY * 400))));
}

#[tokio::test(start_paused = true)]
async fn as_shipped_nothing_goes_by_age() {
    let mut scene = Scene::new();
    scene.settings.housekeeping_every = Duration::from_secs(10);
    let worker = scene.start().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    worker.stop().await;
    assert!(scene.retention.calls.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_stream_is_trimmed_with_the_window() {
    let mut scene = Scene::new();
    scene.settings.trim_window = Duration::from_secs(77);
    let worker = scene.start().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    worker.ask_to_stop();
    until("the worker has stopped", || scene.stream.leaves.load(Ordering::SeqCst) == 1).await;
    let metrics = worker.handle.metrics();
    worker.stop().await;
    let trims = scene.stream.trims.lock();
    assert!((10..=12).contains(&trims.len()), "{} times a minute", trims.len());
    assert!(trims.iter().all(|(window, _)| *window == Duration::from_secs(77)));
    let trimmed = 3 * trims.len();
    assert!(metrics.contains(&format!("vayro_worker_clicks_trimmed_total {trimmed}")), "{metrics}");
}

async fn get(address: std::net::SocketAddr, request: &str) -> String {
    let mut connection = TcpStream::connect(address).await.expect("it listens");
    connection.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("received");
    answer
}

fn path(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")
}

#[tokio::test]
async fn health_readiness_and_metrics_are_served() {
    let mut scene = Scene::new();
    scene.settings.admin = Some(([127, 0, 0, 1], 0).into());
    scene.clicks.is_down.store(true, Ordering::SeqCst);
    let worker = scene.start().await;
    let address = worker.admin.expect("an admin listener");
    assert!(get(address, &path("/health")).await.starts_with("HTTP/1.1 200"));
    let answer = get(address, &path("/ready")).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains(r#""parts":{"database":false,"stream":false}"#), "{answer}");

    scene.clicks.is_down.store(false, Ordering::SeqCst);
    until("the worker is ready", || worker.handle.state().is_ready()).await;
    let answer = get(address, &path("/ready")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(r#""geoip":{"state":"off"}"#), "{answer}");
    let answer = get(address, &path("/metrics")).await;
    assert!(answer.contains("\nvayro_worker_database_up 1\n"), "{answer}");
    assert!(get(address, &path("/other")).await.starts_with("HTTP/1.1 404"));
    let post = path("/metrics").replace("GET", "POST");
    assert!(get(address, &post).await.starts_with("HTTP/1.1 405"));
    worker.stop().await;
    assert!(TcpStream::connect(address).await.is_err(), "it no longer listens");
}

#[tokio::test]
async fn an_address_in_use_is_an_error() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut scene = Scene::new();
    scene.settings.admin = Some(taken.local_addr().expect("an address"));
    let error = scene.make().await.err().expect("refused");
    assert!(error.to_string().starts_with("cannot listen on 127.0.0.1:"), "{error}");
}
