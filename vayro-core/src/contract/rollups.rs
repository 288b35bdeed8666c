//! Rules of [`RollupStore`](crate::ports::RollupStore): rollups say what the rows say, whatever happens.
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::stores::{Owner, Stores, at, click, join_all};
use crate::analytics::{BucketSize, ClickScope, Dimension, bucket_edges, time_zone};
use crate::click::{ClickClass, ClickRow};
use crate::day::Day;
use crate::link::Link;
use crate::rollup::RollupCheck;
use crate::timestamp::Timestamp;

/// Generates one test per rule; `$fixture` is a future of a value with a field `stores`.
#[macro_export]
macro_rules! rollup_store_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            rollups,
            [
                any_question_has_the_same_answer_from_rows_and_rollups,
                days_of_a_zone_between_hours_are_exact,
                a_replay_changes_no_rollup,
                a_batch_stored_in_part_adds_the_rest,
                writers_at_once_add_up,
                a_purged_link_leaves_the_workspace_once_its_days_are_recounted,
                a_recount_finds_nothing_wrong_with_what_writers_left,
                a_recount_beside_a_writer_loses_nothing,
                many_visitors_of_a_day_are_counted_once,
                days_are_those_with_clicks,
                other_workspaces_rollups_are_out_of_reach,
            ]
        );
    };
}

pub(super) const DAY: i64 = 86_400;

pub(super) async fn cast(stores: &Stores) -> (Owner, Link) {
    let owner = stores.owner("ada").await;
    stores.prepare_months().await;
    let link = stores.link(&owner, "launch").await;
    (owner, link)
}

pub(super) fn scope(owner: &Owner, link: Option<&Link>, start: Timestamp, end: Timestamp) -> ClickScope {
    ClickScope {
        workspace_id: owner.workspace_id,
        link_id: link.map(|link| link.id),
        start,
        end,
        classes: vec![ClickClass::Counted],
        filters: Vec::new(),
    }
}

pub(super) fn pick<'a>(rng: &mut StdRng, values: &[&'a str]) -> &'a str {
    values[rng.random_range(0..values.len())]
}

/// Clicks of four days around noon, of few visitors who come again.
pub(super) fn some_clicks(rng: &mut StdRng, links: &[Link], count: usize) -> Vec<ClickRow> {
    let one = |rng: &mut StdRng| {
        let link = &links[rng.random_range(0..links.len())];
        let micros = rng.random_range(-2 * DAY * 1_000_000..2 * DAY * 1_000_000);
        let when = Timestamp::from_micros(at(0).as_micros() + micros).expect("in range");
        ClickRow {
            class: ClickClass::ALL[rng.random_range(0..9_usize) % ClickClass::ALL.len()],
            country_code: pick(rng, &["", "DE", "FR", "NP"]).to_owned(),
            domain: pick(rng, &["", "go.example", "vay.ro"]).to_owned(),
            browser: pick(rng, &["", "Firefox", "Chrome"]).to_owned(),
            referer_host: pick(rng, &["", "", "news.example"]).to_owned(),
            visitor_id: rng.random_bool(0.9).then(|| rng.random_range(0..20)),
            ..click(link, when)
        }
    };
    (0..count).map(|_| one(rng)).collect()
}

pub(super) async fn assert_same_answers(stores: &Stores, scope: &ClickScope, edges: &[Timestamp]) {
    let (rows, rolled_up) = (&stores.analytics, &stores.rolled_up);
    let totals = rows.totals(scope).await.expect("the database answers");
    assert_eq!(rolled_up.totals(scope).await.expect("the database answers"), totals, "{scope:?}");
    let series = rows.series(scope, edges).await.expect("the database answers");
    let found = rolled_up.series(scope, edges).await.expect("the database answers");
    // Visitors of an hour that a bucket edge cuts belong to one bucket.
    let clicks =
        |series: &[crate::analytics::ClickCount]| series.iter().map(|c| c.clicks).collect::<Vec<_>>();
    assert_eq!(clicks(&found), clicks(&series), "{scope:?} {edges:?}");
    let overview = rolled_up.overview(scope, edges).await.expect("the database answers");
    assert_eq!(overview, (totals, found), "{scope:?} {edges:?}");
    for dimension in
        [Dimension::Country, Dimension::Browser, Dimension::Referrer, Dimension::Link, Dimension::Domain]
    {
        let expected = rows.breakdown(scope, dimension, 2).await.expect("the database answers");
        let found = rolled_up.breakdown(scope, dimension, 2).await.expect("the database answers");
        assert_eq!(found, expected, "{dimension:?} of {scope:?}");
    }
}

pub(super) async fn recount(stores: &Stores, owner: &Owner, at: Timestamp, is_repair: bool) -> RollupCheck {
    stores.rollups.recount(owner.workspace_id, Day::of(at), is_repair).await.expect("the database answers")
}

pub(super) async fn write(stores: &Stores, rows: &[ClickRow]) {
    stores.clicks.write(rows).await.expect("clicks are stored");
}

/// Random clicks and random questions, about links and the workspace, cut anywhere.
pub async fn any_question_has_the_same_answer_from_rows_and_rollups(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let links = [link, stores.link(&owner, "second").await, stores.link(&owner, "third").await];
    let mut rng = StdRng::seed_from_u64(11);
    for _ in 0..4 {
        write(stores, &some_clicks(&mut rng, &links, 100)).await;
    }
    for _ in 0..25 {
        let mut instant = || at(rng.random_range(-3 * DAY..3 * DAY));
        let (a, b) = (instant(), instant());
        let (start, end) = (a.min(b), a.max(b).plus(Duration::from_secs(1)));
        let zone = time_zone(pick(&mut rng, &["UTC", "Asia/Kathmandu", "America/New_York"])).expect("a zone");
        let size = if rng.random_bool(0.5) { BucketSize::Day } else { BucketSize::Hour };
        let edges = bucket_edges(start, end, size, &zone).expect("few buckets");
        let link = rng.random_bool(0.5).then(|| &links[0]);
        let mut scope = scope(&owner, link, start, end);
        if rng.random_bool(0.3) {
            scope.classes = ClickClass::ALL.to_vec();
        }
        assert_same_answers(stores, &scope, &edges).await;
    }
}

/// Days in Nepal begin at 18:15 UTC.
pub async fn days_of_a_zone_between_hours_are_exact(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let midnight = 6 * 3600 + 900;
    let rows: Vec<ClickRow> =
        [-1, 0, 1, DAY - 1, DAY].map(|seconds| click(&link, at(midnight + seconds))).to_vec();
    write(stores, &rows).await;
    let zone = time_zone("Asia/Kathmandu").expect("a zone");
    let (start, end) = (at(midnight - DAY), at(midnight + 2 * DAY));
    let edges = bucket_edges(start, end, BucketSize::Day, &zone).expect("few buckets");
    let found = stores.rolled_up.series(&scope(&owner, Some(&link), start, end), &edges).await;
    let clicks: Vec<i64> = found.expect("the database answers").iter().map(|count| count.clicks).collect();
    assert_eq!(clicks, [1, 3, 1]);
}

/// Rows that were there add nothing.
pub async fn a_replay_changes_no_rollup(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows = some_clicks(&mut StdRng::seed_from_u64(12), &[link], 200);
    write(stores, &rows).await;
    write(stores, &rows).await;
    let scope = scope(&owner, None, at(-3 * DAY), at(3 * DAY));
    assert_same_answers(stores, &scope, &[scope.start, scope.end]).await;
}

/// Only rows that were new add something.
pub async fn a_batch_stored_in_part_adds_the_rest(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows = some_clicks(&mut StdRng::seed_from_u64(13), &[link], 300);
    write(stores, &rows[..200]).await;
    write(stores, &rows[100..]).await;
    let scope = scope(&owner, None, at(-3 * DAY), at(3 * DAY));
    assert_same_answers(stores, &scope, &[scope.start, scope.end]).await;
}

/// Several writers meet at the same rollups, new and old, and at the same rows.
pub async fn writers_at_once_add_up(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let links = [link, stores.link(&owner, "second").await];
    let mut rng = StdRng::seed_from_u64(14);
    for _ in 0..3 {
        let rows = some_clicks(&mut rng, &links, 300);
        let batches = [&rows[..120], &rows[80..200], &rows[150..], &rows[..300]];
        join_all(batches.into_iter().map(|batch| async move {
            // Two that wait for each other are told apart by the database, and try again.
            while stores.clicks.write(batch).await.is_err() {}
        }))
        .await;
    }
    let scope = scope(&owner, None, at(-3 * DAY), at(3 * DAY));
    assert_same_answers(stores, &scope, &[scope.start, scope.end]).await;
    for day in -3..=3 {
        assert_eq!(recount(stores, &owner, at(day * DAY), false).await.different, 0);
    }
}

/// Until then the workspace's rollups still count it, and the days are due.
pub async fn a_purged_link_leaves_the_workspace_once_its_days_are_recounted(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let kept = stores.link(&owner, "kept").await;
    write(stores, &some_clicks(&mut StdRng::seed_from_u64(15), &[link.clone(), kept], 200)).await;
    let deleted = stores.links.delete(owner.workspace_id, link.id, None, &owner.context(at(1))).await;
    deleted.expect("the database answers");
    assert_eq!(stores.links.purge_deleted(at(2), 10).await.expect("the database answers"), 1);

    let due = stores.rollups.due(100).await.expect("the database answers");
    assert!(!due.is_empty() && due.iter().all(|(workspace, _)| *workspace == owner.workspace_id), "{due:?}");
    for (workspace_id, day) in due {
        let check = stores.rollups.recount(workspace_id, day, true).await.expect("the database answers");
        assert!(check.different > 0);
    }
    assert_eq!(stores.rollups.due(100).await.expect("the database answers"), []);
    let scope = scope(&owner, None, at(-3 * DAY), at(3 * DAY));
    assert_same_answers(stores, &scope, &[scope.start, scope.end]).await;
}

/// And repairing what is right changes nothing.
pub async fn a_recount_finds_nothing_wrong_with_what_writers_left(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows: Vec<ClickRow> = (0..150).map(|n| click(&link, at(n))).collect();
    write(stores, &rows).await;
    // The link's day, the workspace's day and its hour.
    let sound = RollupCheck { clicks: 150, rollups: 3, different: 0, is_expired: false };
    assert_eq!(recount(stores, &owner, at(0), false).await, sound);
    assert_eq!(recount(stores, &owner, at(0), true).await, sound);
    assert_eq!(recount(stores, &owner, at(0), false).await, sound);
    assert_eq!(recount(stores, &owner, at(5 * DAY), true).await, RollupCheck::default());
}

/// Clicks that are stored while a day is counted again are counted once.
pub async fn a_recount_beside_a_writer_loses_nothing(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    for round in 0..8 {
        let rows: Vec<ClickRow> = (0..50).map(|n| click(&link, at(round * 100 + n))).collect();
        let writing = Box::pin(async { while stores.clicks.write(&rows).await.is_err() {} });
        let recounting = Box::pin(async {
            while stores.rollups.recount(owner.workspace_id, Day::of(at(0)), true).await.is_err() {}
        });
        let both: [std::pin::Pin<Box<dyn Future<Output = ()> + Send>>; 2] = [writing, recounting];
        join_all(both).await;
    }
    let check = recount(stores, &owner, at(0), false).await;
    assert_eq!((check.clicks, check.different), (400, 0));
}

/// Whoever comes in several hours of a day is one visitor of that day, however many there are.
pub async fn many_visitors_of_a_day_are_counted_once(stores: &Stores) {
    const VISITORS: i64 = 2_000;
    let (owner, link) = cast(stores).await;
    let visit = |hour: i64, visitor: i64| ClickRow {
        visitor_id: Some(visitor.wrapping_mul(0x1E37_79B9_7F4A_7C15)),
        ..click(&link, at(hour * 3_600 + visitor))
    };
    let is_about = |visitors: i64, expected: i64| (visitors - expected).abs() * 100 <= 7 * expected;
    for hour in [-3, -2, 1] {
        let rows: Vec<ClickRow> = (0..VISITORS).map(|visitor| visit(hour, visitor)).collect();
        write(stores, &rows).await;
    }
    // Those of the last hour are others, and come after the day was put together.
    let rows: Vec<ClickRow> = (VISITORS..VISITORS + VISITORS / 2).map(|visitor| visit(1, visitor)).collect();
    write(stores, &rows).await;

    let day = Day::of(at(0));
    let scope = scope(&owner, Some(&link), day.start(), day.end());
    let (totals, series) =
        stores.rolled_up.overview(&scope, &[day.start(), day.end()]).await.expect("the database answers");
    assert_eq!(totals.clicks, 3 * VISITORS + VISITORS / 2);
    assert!(is_about(totals.visitors, VISITORS * 3 / 2), "{totals:?}");
    assert_eq!(series, [totals]);
    let (_, halves) = stores
        .rolled_up
        .overview(&scope, &[day.start(), at(0), day.end()])
        .await
        .expect("the database answers");
    assert!(is_about(halves[0].visitors, VISITORS), "{halves:?}");
    assert!(is_about(halves[1].visitors, VISITORS * 3 / 2), "{halves:?}");
    assert_eq!(recount(stores, &owner, at(0), false).await.different, 0);
    recount(stores, &owner, at(0), true).await;
    let again = stores.rolled_up.totals(&scope).await.expect("the database answers");
    assert!(is_about(again.visitors, VISITORS * 3 / 2), "{again:?}");
}

/// Of one workspace or of all.
pub async fn days_are_those_with_clicks(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let other = stores.owner("bob").await;
    let theirs = stores.link(&other, "theirs").await;
    write(stores, &[click(&link, at(0)), click(&link, at(2 * DAY)), click(&theirs, at(DAY))]).await;
    let day = |days: i64| Day::of(at(days * DAY));
    let (from, to) = (day(-5), day(5));
    let mine = [(owner.workspace_id, day(0)), (owner.workspace_id, day(2))];
    let found = stores.rollups.days(Some(owner.workspace_id), from, to).await;
    assert_eq!(found.expect("the database answers"), mine);
    let all = stores.rollups.days(None, from, to).await.expect("the database answers");
    assert_eq!(all.len(), 3);
    assert!(all.contains(&(other.workspace_id, day(1))));
    let none = stores.rollups.days(None, day(3), to).await.expect("the database answers");
    assert_eq!(none, []);
}

/// Not even with the id of a link of theirs.
pub async fn other_workspaces_rollups_are_out_of_reach(stores: &Stores) {
    let (_, link) = cast(stores).await;
    write(stores, &[click(&link, at(0))]).await;
    let stranger = stores.owner("eve").await;
    let scope = scope(&stranger, Some(&link), at(-DAY), at(2 * DAY));
    let totals = stores.rolled_up.totals(&scope).await.expect("the database answers");
    assert_eq!(totals.clicks, 0);
    let countries = stores.rolled_up.breakdown(&scope, Dimension::Country, 5).await;
    assert_eq!(countries.expect("the database answers").total, 0);
}
