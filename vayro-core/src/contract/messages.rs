//! Rules of [`LinkPublisher`] with [`InvalidationFeed`], of [`EdgeReports`] and of [`RateLimiter`].
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::concurrent::{First, join, race};
use crate::change::{Invalidation, LinkChange};
use crate::ids::{LinkId, WorkspaceId};
use crate::link::{LinkKey, RedirectStatus};
use crate::outbox::BATCH_MAX;
use crate::ports::{EdgeReports, InvalidationFeed, LinkPublisher, RateLimiter};
use crate::resolve::CachedLink;
use crate::stream::EdgeReport;
use crate::target::TargetUrl;
use crate::timestamp::Timestamp;

/// A fresh way from publisher to feeds.
#[async_trait]
pub trait InvalidationFixture: Send + Sync {
    /// The end changes go in at.
    fn publisher(&self) -> Arc<dyn LinkPublisher>;

    /// A new feed, as an edge makes one when it starts.
    async fn feed(&self) -> Box<dyn InvalidationFeed>;
}

/// Fresh edge reports and rate limits.
pub trait BoardFixture: Send + Sync {
    /// Where edges report.
    fn reports(&self) -> Arc<dyn EdgeReports>;

    /// Where hits are counted.
    fn limits(&self) -> Arc<dyn RateLimiter>;

    /// The clock that `hit` is given: real time.
    fn now(&self) -> Timestamp;
}

/// Generates one test per rule of invalidations; `$make` is a future of an [`InvalidationFixture`].
#[macro_export]
macro_rules! invalidation_contract {
    ($make:expr) => {
        $crate::invalidation_contract! { contract_rules, $make }
    };
    ($each:ident, $make:expr) => {
        $crate::$each! { messages, $make,
            a_change_reaches_every_feed
            changes_arrive_in_order
            a_deletion_is_a_change_too
            a_whole_outbox_batch_arrives
            changed_domains_are_told
            publishing_nothing_is_no_error
            a_dropped_wait_loses_no_message
            a_feed_knows_that_it_is_connected
        }
    };
}

/// Generates one test per rule of edge reports and rate limits; `$make` is a future of a [`BoardFixture`].
#[macro_export]
macro_rules! board_contract {
    ($make:expr) => {
        $crate::board_contract! { contract_rules, $make }
    };
    ($each:ident, $make:expr) => {
        $crate::$each! { messages, $make,
            the_newest_report_of_each_edge_is_listed
            silent_edges_drop_out_of_the_list
            hits_are_allowed_up_to_the_limit
            a_window_ends_although_hits_go_on
            keys_are_counted_apart
            a_reset_key_starts_over
            hits_at_once_are_all_counted
        }
    };
}

fn key(code: &str, domain: Option<&str>) -> LinkKey {
    LinkKey {
        domain: domain.map(|host| host.parse().expect("a host")),
        short_code: code.parse().expect("a short code"),
    }
}

fn change(code: &str, revision: i64) -> LinkChange {
    let link = CachedLink {
        target: TargetUrl::parse("https://example.com/", &[]).expect("a target"),
        active: true,
        id: LinkId::from_uuid(uuid::Uuid::from_u128(1)),
        workspace_id: WorkspaceId::from_uuid(uuid::Uuid::from_u128(2)),
        status: RedirectStatus::Found,
        expires_at: None,
        revision,
    };
    LinkChange { key: key(code, None), link: Some(link), revision }
}

async fn publish(fixture: &dyn InvalidationFixture, changes: &[LinkChange]) {
    fixture.publisher().publish(changes).await.expect("published");
}

/// Makes a feed and brings it to where it hears every message, whatever it says at first.
async fn connected(fixture: &dyn InvalidationFixture) -> Box<dyn InvalidationFeed> {
    let marker = change("marker", 1);
    let mut feed = fixture.feed().await;
    publish(fixture, std::slice::from_ref(&marker)).await;
    loop {
        match feed.next().await {
            Invalidation::Links(links) if links.contains(&(marker.key.clone(), 1)) => return feed,
            Invalidation::Everything => publish(fixture, std::slice::from_ref(&marker)).await,
            Invalidation::Links(_) | Invalidation::Domains => {}
        }
    }
}

/// Waits for the next message, leaving out the markers of [`connected`].
async fn listen(feed: &mut dyn InvalidationFeed) -> Invalidation {
    let marker = key("marker", None);
    loop {
        match feed.next().await {
            Invalidation::Links(mut links) => {
                links.retain(|(key, _)| *key != marker);
                if !links.is_empty() {
                    return Invalidation::Links(links);
                }
            }
            other => return other,
        }
    }
}

/// Listens until `count` links were named, in order.
async fn hear(feed: &mut dyn InvalidationFeed, count: usize) -> Vec<(LinkKey, i64)> {
    let mut heard = Vec::new();
    while heard.len() < count {
        match listen(feed).await {
            Invalidation::Links(links) => heard.extend(links),
            other => panic!("{other:?} was never said"),
        }
    }
    heard
}

/// Every feed hears every change, with key and revision.
pub async fn a_change_reaches_every_feed(fixture: &dyn InvalidationFixture) {
    let (mut left, mut right) = (connected(fixture).await, connected(fixture).await);
    let other = LinkChange { key: key("launch", Some("go.example.com")), ..change("launch", 8) };
    publish(fixture, &[change("launch", 7), other]).await;
    let expected = [(key("launch", None), 7), (key("launch", Some("go.example.com")), 8)];
    assert_eq!(hear(&mut *left, 2).await, expected);
    assert_eq!(hear(&mut *right, 2).await, expected);
}

/// Order is kept over calls, and a waiting feed is woken.
pub async fn changes_arrive_in_order(fixture: &dyn InvalidationFixture) {
    let mut feed = connected(fixture).await;
    let send = async {
        for revision in 1..=20 {
            publish(fixture, &[change("launch", revision)]).await;
        }
    };
    let (heard, ()) = join(hear(&mut *feed, 20), send).await;
    assert!(heard.iter().map(|(_, revision)| *revision).eq(1..=20), "{heard:?}");
}

/// A link that is gone is told like one that changed.
pub async fn a_deletion_is_a_change_too(fixture: &dyn InvalidationFixture) {
    let mut feed = connected(fixture).await;
    publish(fixture, &[LinkChange { link: None, ..change("launch", 3) }]).await;
    assert_eq!(hear(&mut *feed, 1).await, [(key("launch", None), 3)]);
}

/// The largest batch the outbox hands over arrives whole.
pub async fn a_whole_outbox_batch_arrives(fixture: &dyn InvalidationFixture) {
    let mut feed = connected(fixture).await;
    let changes: Vec<_> = (0..BATCH_MAX).map(|n| change(&format!("code-{n}"), i64::from(n))).collect();
    publish(fixture, &changes).await;
    let expected: Vec<_> = changes.into_iter().map(|change| (change.key, change.revision)).collect();
    assert_eq!(hear(&mut *feed, expected.len()).await, expected);
}

/// A change of the set of domains is a message of its own.
pub async fn changed_domains_are_told(fixture: &dyn InvalidationFixture) {
    let mut feed = connected(fixture).await;
    fixture.publisher().publish_domains().await.expect("published");
    assert_eq!(listen(&mut *feed).await, Invalidation::Domains);
}

/// Empty slices are fine and tell nobody anything.
pub async fn publishing_nothing_is_no_error(fixture: &dyn InvalidationFixture) {
    let mut feed = connected(fixture).await;
    publish(fixture, &[]).await;
    publish(fixture, &[change("launch", 2)]).await;
    assert_eq!(hear(&mut *feed, 1).await, [(key("launch", None), 2)]);
}

/// A feed that is polled and dropped again and again, as `select!` does, still hears everything.
pub async fn a_dropped_wait_loses_no_message(fixture: &dyn InvalidationFixture) {
    let mut feed = connected(fixture).await;
    let mut heard = Vec::new();
    for revision in 1..=10 {
        let changes = [change("launch", revision)];
        match race(listen(&mut *feed), publish(fixture, &changes)).await {
            First::Left(Invalidation::Links(links)) => {
                heard.extend(links);
                // The dropped half may not have reached anybody: told twice does no harm.
                publish(fixture, &changes).await;
            }
            First::Left(other) => panic!("{other:?} was never said"),
            First::Right(()) => {}
        }
    }
    let is_whole = |heard: &[(LinkKey, i64)]| {
        heard.iter().map(|(_, revision)| *revision).collect::<BTreeSet<_>>() == (1..=10).collect()
    };
    while !is_whole(&heard) {
        heard.extend(hear(&mut *feed, 1).await);
    }
}

/// After a message was heard the feed is connected.
pub async fn a_feed_knows_that_it_is_connected(fixture: &dyn InvalidationFixture) {
    assert!(connected(fixture).await.is_connected());
}

fn report(edge: &str, clicks_accepted: u64, at: Timestamp) -> EdgeReport {
    EdgeReport {
        edge: edge.to_owned(),
        clicks_accepted,
        clicks_shipped: clicks_accepted,
        clicks_dropped: 0,
        spool_bytes: 7,
        spool_clicks: 1,
        spool_oldest_ms: Some(8),
        at,
    }
}

async fn list_sorted(reports: &dyn EdgeReports, since: Timestamp) -> Vec<EdgeReport> {
    let mut list = reports.list(since).await.expect("a list");
    list.sort_by(|a, b| a.edge.cmp(&b.edge));
    list
}

/// One line per edge: its newest.
pub async fn the_newest_report_of_each_edge_is_listed(fixture: &dyn BoardFixture) {
    let (reports, now) = (fixture.reports(), fixture.now());
    let later = now.plus(Duration::from_secs(5));
    for report in [report("a:1", 1, now), report("b:2", 2, now), report("a:1", 3, later)] {
        reports.report(&report).await.expect("stored");
    }
    assert_eq!(list_sorted(&*reports, now).await, [report("a:1", 3, later), report("b:2", 2, now)]);
}

/// The limit is inclusive.
pub async fn silent_edges_drop_out_of_the_list(fixture: &dyn BoardFixture) {
    let (reports, now) = (fixture.reports(), fixture.now());
    assert_eq!(list_sorted(&*reports, now).await, []);
    let old = report("old:1", 1, now.minus(Duration::from_mins(1)));
    let new = report("new:2", 2, now);
    reports.report(&old).await.expect("stored");
    reports.report(&new).await.expect("stored");
    assert_eq!(list_sorted(&*reports, old.at).await, [new.clone(), old]);
    assert_eq!(list_sorted(&*reports, new.at).await, std::slice::from_ref(&new));
    assert_eq!(list_sorted(&*reports, new.at.plus(Duration::from_micros(1))).await, []);
}

const MINUTE: Duration = Duration::from_mins(1);

/// Hits count down to zero and are then refused.
pub async fn hits_are_allowed_up_to_the_limit(fixture: &dyn BoardFixture) {
    let limits = fixture.limits();
    for remaining in [2, 1, 0] {
        let decision = limits.hit("login:a b@example.com", 3, MINUTE, fixture.now()).await.expect("counted");
        assert!(decision.is_allowed);
        assert_eq!(decision.remaining, remaining);
        assert!(decision.resets_in <= MINUTE && !decision.resets_in.is_zero(), "{decision:?}");
    }
    for _ in 0..2 {
        let decision = limits.hit("login:a b@example.com", 3, MINUTE, fixture.now()).await.expect("counted");
        assert!(!decision.is_allowed);
        assert_eq!(decision.remaining, 0);
        assert!(decision.resets_in <= MINUTE && !decision.resets_in.is_zero(), "{decision:?}");
    }
}

/// Refused hits do not move the end of the window, so that it comes while they go on.
pub async fn a_window_ends_although_hits_go_on(fixture: &dyn BoardFixture) {
    let limits = fixture.limits();
    let window = Duration::from_millis(50);
    let mut refused = 0_u32;
    assert!(limits.hit("key", 1, window, fixture.now()).await.expect("counted").is_allowed);
    while !limits.hit("key", 1, window, fixture.now()).await.expect("counted").is_allowed {
        refused += 1;
    }
    assert!(refused > 0, "the limit was never felt");
}

/// One key's hits are none of another's.
pub async fn keys_are_counted_apart(fixture: &dyn BoardFixture) {
    let limits = fixture.limits();
    for key in ["a", "b", "a:b", ""] {
        assert!(limits.hit(key, 1, MINUTE, fixture.now()).await.expect("counted").is_allowed, "{key}");
    }
    assert!(!limits.hit("a", 1, MINUTE, fixture.now()).await.expect("counted").is_allowed);
}

/// After a reset a key has its whole limit again; resetting an unknown key is fine.
pub async fn a_reset_key_starts_over(fixture: &dyn BoardFixture) {
    let limits = fixture.limits();
    limits.reset("key").await.expect("reset");
    for _ in 0..3 {
        limits.hit("key", 2, MINUTE, fixture.now()).await.expect("counted");
    }
    limits.reset("key").await.expect("reset");
    let decision = limits.hit("key", 2, MINUTE, fixture.now()).await.expect("counted");
    assert!(decision.is_allowed);
    assert_eq!(decision.remaining, 1);
}

/// No two hits share a place below the limit.
pub async fn hits_at_once_are_all_counted(fixture: &dyn BoardFixture) {
    let (limits, now) = (fixture.limits(), fixture.now());
    let mut left = BTreeSet::new();
    for _ in 0..10 {
        let (one, two) = join(limits.hit("key", 100, MINUTE, now), limits.hit("key", 100, MINUTE, now)).await;
        left.extend([one.expect("counted").remaining, two.expect("counted").remaining]);
    }
    assert_eq!(left.len(), 20, "{left:?}");
}
