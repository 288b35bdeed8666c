//! What is counted, and that it arrives.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use ipnet::IpNet;
use vayro_core::click::ClickMethod;
use vayro_core::ledger::{DayCounts, EdgeLedger};
use vayro_edge::{ClickAddress, PrivacySignal};

use crate::client::Client;
use crate::world::{Mood, PATIENCE, TestEdge, World, until};

fn loopback() -> Vec<IpNet> {
    vec!["127.0.0.0/8".parse().expect("valid")]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_carries_what_the_visitor_sent() {
    let edge = TestEdge::start().await;
    let link = edge.world.put("launch", |_| {});
    let mut client = Client::connect(edge.http()).await;
    let headers = "User-Agent: Mozilla/5.0 (X11)\r\nReferer: https://t.co/\r\nAccept-Language: de-CH,de\r\n\
                   Sec-Purpose: prefetch\r\nX-Forwarded-For: 6.6.6.6\r\n";
    client.get_with("/launch?utm_source=news&qr=1", headers).await;
    let clicks = edge.world.until_clicks(1).await;
    let click = &clicks[0];
    assert_eq!((click.link_id, click.workspace_id), (link.id, link.workspace_id));
    assert_eq!(click.timestamp(), edge.world.now());
    assert_eq!(&*click.user_agent, "Mozilla/5.0 (X11)");
    assert_eq!(&*click.referer, "https://t.co/");
    assert_eq!(&*click.language, "de-CH,de");
    assert_eq!(&*click.query, "utm_source=news&qr=1");
    assert_eq!(click.method, ClickMethod::Get);
    assert!(click.is_prefetch);
    // Nobody trusts a stranger's word about where it comes from.
    assert_eq!(click.ip, Some([127, 0, 0, 1].into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_configured_of_an_address_leaves_the_edge() {
    for (click_address, expected) in [
        (ClickAddress::Full, Some("198.51.100.7")),
        (ClickAddress::Truncated, Some("198.51.100.0")),
        (ClickAddress::None, None),
    ] {
        let edge = TestEdge::start_with(World::new(), |settings| {
            settings.trusted_proxies = loopback();
            settings.click_address = click_address;
        })
        .await;
        edge.world.put("launch", |_| {});
        Client::connect(edge.http()).await.get_with("/launch", "X-Forwarded-For: 198.51.100.7\r\n").await;
        let click = &edge.world.until_clicks(1).await[0];
        assert_eq!(click.ip.map(|ip| ip.to_string()).as_deref(), expected, "{click_address:?}");
        assert!(!click.is_private);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_privacy_is_counted_and_not_described() {
    use PrivacySignal::{Ignore, Respect};
    for (signal, gpc, dnt, is_private) in [
        ("Sec-GPC: 1", Respect, Ignore, true),
        ("Sec-GPC: 1", Ignore, Respect, false),
        ("Sec-GPC: 0", Respect, Respect, false),
        ("DNT: 1", Ignore, Respect, true),
        ("DNT: 1", Respect, Ignore, false),
    ] {
        let edge = TestEdge::start_with(World::new(), |settings| {
            settings.global_privacy_control = gpc;
            settings.do_not_track = dnt;
        })
        .await;
        edge.world.put("launch", |_| {});
        let headers = format!(
            "{signal}\r\nUser-Agent: Mozilla/5.0 (X11)\r\nReferer: https://t.co/secret\r\nAccept-Language: de\r\n"
        );
        Client::connect(edge.http()).await.get_with("/launch?utm_source=news&fbclid=abc", &headers).await;
        let click = &edge.world.until_clicks(1).await[0];
        assert_eq!(click.is_private, is_private, "{signal} {gpc:?} {dnt:?}");
        assert_eq!(click.ip.is_none(), is_private);
        let (referer, language, query) = if is_private {
            ("https://t.co", "", "utm_source=news")
        } else {
            ("https://t.co/secret", "de", "utm_source=news&fbclid=abc")
        };
        assert_eq!((&*click.referer, &*click.language, &*click.query), (referer, language, query));
        // Robots are told by it.
        assert_eq!(&*click.user_agent, "Mozilla/5.0 (X11)");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_answered_redirects_are_clicks() {
    let edge = TestEdge::start().await;
    edge.world.put("launch", |_| {});
    edge.world.put("off", |link| link.active = false);
    let mut client = Client::connect(edge.http()).await;
    for path in ["/nothing", "/off", "/", "/robots.txt", "/.env"] {
        client.get(path).await;
    }
    client.ask("HEAD", "/launch", "").await;
    client.answer_to_head().await;
    client.get("/launch").await;
    let world = edge.stop().await;
    // Either may be in the ring of another thread.
    let methods: Vec<_> = world.clicks().iter().map(|click| click.method).collect();
    assert!(
        matches!(methods[..], [ClickMethod::Head, ClickMethod::Get] | [ClickMethod::Get, ClickMethod::Head]),
        "{methods:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_the_visitor_is_the_right_most_stranger() {
    let edge = TestEdge::start_with(World::new(), |settings| settings.trusted_proxies = loopback()).await;
    edge.world.put("launch", |_| {});
    let mut client = Client::connect(edge.http()).await;
    client.get_with("/launch", "X-Forwarded-For: 6.6.6.6, 198.51.100.7\r\n").await;
    client.get_with("/launch", "X-Forwarded-For: 2001:db8::7\r\n").await;
    let clicks = edge.world.until_clicks(2).await;
    // Either may be in the ring of another thread.
    let ips: BTreeSet<_> = clicks.iter().map(|click| click.ip.expect("known").to_string()).collect();
    assert_eq!(ips, BTreeSet::from(["198.51.100.7", "2001:db8::7"].map(str::to_owned)));
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_visits_may_lie_in_the_past_only_where_allowed() {
    let world = World::new();
    let day_ago = world.now().minus(Duration::from_secs(86_400));
    let header = format!("X-Vayro-Demo-At: {}\r\n", day_ago.as_millis());
    let now = world.now();
    for (demo_import, trusted, expected) in
        [(true, loopback(), day_ago), (false, loopback(), now), (true, Vec::new(), now)]
    {
        let edge = TestEdge::start_with(World::new(), |settings| {
            settings.demo_import = demo_import;
            settings.trusted_proxies = trusted;
        })
        .await;
        edge.world.put("launch", |_| {});
        Client::connect(edge.http()).await.get_with("/launch", &header).await;
        assert_eq!(edge.world.until_clicks(1).await[0].timestamp(), expected, "{demo_import}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_ring_drops_and_counts_and_redirects_go_on() {
    let edge = TestEdge::start_with(World::new(), |settings| {
        settings.threads = 1;
        settings.click_ring_len = 10;
    })
    .await;
    edge.world.put("launch", |_| {});
    *edge.world.sink_mood.lock() = Mood::Hanging;
    let mut client = Client::connect(edge.http()).await;
    client.get("/launch").await;
    until("the first batch is on its way", || !edge.world.batches.lock().is_empty()).await;
    for _ in 0..25 {
        assert_eq!(client.get("/launch").await.status(), 302);
    }
    // A click is counted behind its answer.
    edge.until_metric("vayro_edge_clicks_dropped_total{reason=\"ring_full\"}", 15.0).await;
    assert!((edge.metric("vayro_edge_clicks_dropped_total{reason=\"ring_full\"}") - 15.0).abs() < 0.5);
    assert!((edge.metric("vayro_edge_clicks_accepted_total") - 11.0).abs() < 0.5);
    assert!((edge.metric("vayro_edge_clicks_queued") - 10.0).abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_was_not_taken_is_offered_again_in_order_and_alone() {
    let edge = TestEdge::start_with(World::new(), |settings| {
        settings.threads = 1;
        settings.click_timeout = Duration::from_millis(50);
    })
    .await;
    edge.world.put("launch", |_| {});
    let mut client = Client::connect(edge.http()).await;
    for mood in [Mood::Failing, Mood::Hanging] {
        *edge.world.sink_mood.lock() = mood;
        for _ in 0..300 {
            client.get("/launch").await;
        }
        let failed = edge.metric("vayro_edge_click_appends_failed_total");
        edge.until_metric("vayro_edge_click_appends_failed_total", failed + 1.0).await;
    }
    *edge.world.sink_mood.lock() = Mood::Well;
    let clicks = edge.world.until_clicks(600).await;
    assert_eq!(clicks.len(), 600);
    let ids: HashSet<_> = clicks.iter().map(|click| click.id).collect();
    assert_eq!(ids.len(), 600);
    assert!(edge.world.batches.lock().iter().all(|len| *len <= 512));
    // The hanging call was given up before the next one began.
    edge.until_metric("vayro_edge_clicks_shipped_total", 600.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_batch_is_on_its_way_at_a_time() {
    let edge = TestEdge::start().await;
    edge.world.put("launch", |_| {});
    let visits: Vec<_> = (0..8)
        .map(|_| {
            let address = edge.http();
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                for _ in 0..200 {
                    client.get("/launch").await;
                }
            })
        })
        .collect();
    for visit in visits {
        visit.await.expect("no panic");
    }
    edge.world.until_clicks(1600).await;
    assert_eq!(edge.world.appending_most.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edge_reports_what_it_counted() {
    let edge = TestEdge::start().await;
    edge.world.put("launch", |_| {});
    let mut client = Client::connect(edge.http()).await;
    for _ in 0..7 {
        client.get("/launch").await;
    }
    let world = edge.stop().await;
    let last = world.reports.lock().last().cloned().expect("a report");
    assert_eq!((last.edge.as_str(), last.clicks_accepted, last.clicks_shipped), ("test:1", 7, 7));
    assert_eq!(last.clicks_dropped, 0);
}

/// Sums of the figures over all days: accepted, shipped, dropped at shutdown.
fn sums(ledger: &EdgeLedger) -> (u64, u64, u64) {
    let mut sum = DayCounts::default();
    ledger.days.iter().for_each(|(_, counts)| sum.add(counts));
    (sum.accepted, sum.shipped, sum.shutdown)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_is_counted_on_the_disk_before_the_sink_sees_it() {
    let world = World::new();
    *world.sink_mood.lock() = Mood::Hanging;
    let edge = TestEdge::start_with(world, |settings| settings.click_timeout = PATIENCE).await;
    edge.world.put("launch", |_| {});
    Client::connect(edge.http()).await.get("/launch").await;
    until("the click is offered", || !edge.world.batches.lock().is_empty()).await;
    let saved = edge.world.saved.lock().last().cloned().expect("saved");
    assert_eq!(sums(&saved), (1, 0, 0), "nobody knows yet whether it was taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_count_is_recorded_to_the_last_click_and_so_is_that_of_an_earlier_start() {
    let world = World::new();
    let earlier = EdgeLedger { edge: "test:0".to_owned(), is_over: true, at: world.now(), days: Vec::new() };
    world.earlier.lock().push(earlier.clone());
    let edge = TestEdge::start_with(world, |_| {}).await;
    edge.world.put("launch", |_| {});
    let mut client = Client::connect(edge.http()).await;
    for _ in 0..3 {
        client.get("/launch").await;
    }
    let world = edge.stop().await;
    let recorded = world.recorded.lock();
    assert!(recorded.contains(&earlier) && world.earlier.lock().is_empty());
    let last = recorded.last().expect("recorded");
    assert!(last.is_over);
    assert_eq!((last.edge.as_str(), sums(last)), ("test:1", (3, 3, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_at_shutdown_is_counted_as_that() {
    let world = World::new();
    *world.sink_mood.lock() = Mood::Failing;
    let edge =
        TestEdge::start_with(world, |settings| settings.flush_timeout = Duration::from_millis(50)).await;
    edge.world.put("launch", |_| {});
    let mut client = Client::connect(edge.http()).await;
    for _ in 0..2 {
        client.get("/launch").await;
    }
    let world = edge.stop().await;
    assert_eq!(sums(world.recorded.lock().last().expect("recorded")), (2, 0, 2));
}
