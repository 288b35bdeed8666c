//! Rules of [`RollupStore`](crate::ports::RollupStore) about weeks that are over: they answer as their days do.
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::rollups::{DAY, assert_same_answers, cast, pick, recount, scope, some_clicks, write};
use super::stores::{Owner, Stores, at, click, join_all};
use crate::analytics::{BucketSize, ClickCount, ClickScope, bucket_edges, time_zone};
use crate::click::{ClickClass, ClickRow};
use crate::link::Link;
use crate::timestamp::Timestamp;

/// Generates one test per rule; `$fixture` is a future of a value with a field `stores`.
#[macro_export]
macro_rules! week_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            weeks,
            [
                any_question_has_the_same_answer_once_weeks_are_put_together,
                many_visitors_are_as_many_from_weeks_as_from_days,
                only_weeks_that_are_over_are_put_together,
                a_late_click_is_counted,
                a_day_counted_again_takes_its_week_along,
                a_purged_link_leaves_its_weeks,
                weeks_put_together_beside_writers_lose_nothing,
                weeks_go_by_age_with_their_days,
            ]
        );
    };
}

/// Begin of the suites' week: Thursday, 2026-05-07.
const WEEK: i64 = -3 * DAY - DAY / 2;

/// Clicks of five weeks, most of them in the third.
fn clicks_of_weeks(rng: &mut StdRng, links: &[Link], count: usize) -> Vec<ClickRow> {
    let mut rows = some_clicks(rng, links, count);
    for row in &mut rows {
        if rng.random_bool(0.7) {
            let days = rng.random_range(-14..14) * DAY;
            let when =
                Timestamp::from_micros(row.timestamp.as_micros() + days * 1_000_000).expect("in range");
            let link = links.iter().find(|link| link.id == row.link_id).expect("one of them");
            let ClickRow { id, timestamp, .. } = click(link, when);
            (row.id, row.timestamp) = (id, timestamp);
        }
    }
    rows
}

async fn roll_up(stores: &Stores) -> u64 {
    let made = stores.rollups.roll_up_weeks(at(-40 * DAY), at(40 * DAY), 100).await;
    made.expect("the database answers")
}

async fn assert_sound(stores: &Stores, owner: &Owner) {
    for day in -20..=20 {
        assert_eq!(recount(stores, owner, at(day * DAY), false).await.different, 0, "day {day}");
    }
}

/// A question cut anywhere, in any zone.
fn question(rng: &mut StdRng, owner: &Owner, links: &[Link]) -> (ClickScope, Vec<Timestamp>) {
    let mut instant = || at(rng.random_range(-20 * DAY..20 * DAY));
    let (a, b) = (instant(), instant());
    let (start, end) = (a.min(b), a.max(b).plus(Duration::from_secs(1)));
    let zones = ["UTC", "Asia/Kathmandu", "America/New_York", "Pacific/Kiritimati", "Europe/Berlin"];
    let zone = time_zone(pick(rng, &zones)).expect("a zone");
    let sizes = [BucketSize::Hour, BucketSize::Day, BucketSize::Day, BucketSize::Week, BucketSize::Month];
    let size = sizes[rng.random_range(0..sizes.len())];
    let edges = bucket_edges(start, end, size, &zone).expect("few buckets");
    let link = rng.random_bool(0.5).then(|| &links[0]);
    let mut scope = scope(owner, link, start, end);
    match rng.random_range(0..5) {
        0 => scope.classes = ClickClass::ALL.to_vec(),
        1 => scope.classes = vec![ClickClass::Bot],
        _ => {}
    }
    (scope, edges)
}

/// The same numbers as from days, visitors included, and as from the clicks.
pub async fn any_question_has_the_same_answer_once_weeks_are_put_together(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let links = [link, stores.link(&owner, "second").await, stores.link(&owner, "third").await];
    let mut rng = StdRng::seed_from_u64(21);
    for _ in 0..4 {
        write(stores, &clicks_of_weeks(&mut rng, &links, 150)).await;
    }
    let questions: Vec<_> = (0..30).map(|_| question(&mut rng, &owner, &links)).collect();
    let mut before: Vec<(ClickCount, Vec<ClickCount>)> = Vec::new();
    for (scope, edges) in &questions {
        before.push(stores.rolled_up.overview(scope, edges).await.expect("the database answers"));
    }
    let made = roll_up(stores).await;
    assert!(made > 10, "five weeks or more of a workspace and its links: {made}");
    assert_eq!(roll_up(stores).await, 0, "nothing is left to be done");
    for ((scope, edges), before) in questions.iter().zip(before) {
        let after = stores.rolled_up.overview(scope, edges).await.expect("the database answers");
        assert_eq!(after, before, "{scope:?} {edges:?}");
        assert_same_answers(stores, scope, edges).await;
    }
    assert_sound(stores, &owner).await;
}

/// Too many to be counted one by one: both are the same estimates.
pub async fn many_visitors_are_as_many_from_weeks_as_from_days(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    for (hour, count) in [(0, 1_500), (1, 700), (9, 900)] {
        let visit = |visitor: i64| ClickRow {
            visitor_id: Some((visitor + 100 * hour).wrapping_mul(0x1E37_79B9_7F4A_7C15)),
            ..click(&link, at(hour * 3_600 + visitor))
        };
        write(stores, &(0..count).map(visit).collect::<Vec<_>>()).await;
    }
    let scope = scope(&owner, None, at(WEEK - DAY), at(WEEK + 8 * DAY));
    let mut answers = Vec::new();
    for _ in 0..2 {
        for zone in ["UTC", "Asia/Tokyo", "Europe/Berlin"] {
            let zone = time_zone(zone).expect("a zone");
            let edges = bucket_edges(scope.start, scope.end, BucketSize::Day, &zone).expect("few buckets");
            answers.push(stores.rolled_up.overview(&scope, &edges).await.expect("the database answers"));
        }
        roll_up(stores).await;
    }
    let (from_days, from_weeks) = answers.split_at(3);
    for (days, weeks) in from_days.iter().zip(from_weeks) {
        let pairs = days.1.iter().zip(&weeks.1).chain([(&days.0, &weeks.0)]);
        for (day, week) in pairs {
            assert_eq!(day.clicks, week.clicks);
            let apart = (day.visitors - week.visitors).abs();
            assert!(apart * 100 <= 2 * day.visitors, "{days:?} {weeks:?}");
        }
    }
    assert_sound(stores, &owner).await;
}

/// And only those that are asked for.
pub async fn only_weeks_that_are_over_are_put_together(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    write(stores, &[click(&link, at(WEEK - DAY)), click(&link, at(WEEK)), click(&link, at(WEEK + 7 * DAY))])
        .await;
    let end = WEEK + 7 * DAY;
    let roll_up = async |from, to| {
        let made = stores.rollups.roll_up_weeks(at(from), at(to), 100).await;
        made.expect("the database answers")
    };
    assert_eq!(roll_up(WEEK, end - 1).await, 0);
    assert_eq!(roll_up(WEEK + 1, end + DAY).await, 0);
    // The link's and the workspace's.
    assert_eq!(roll_up(WEEK, end).await, 2);
    let one = stores.rollups.roll_up_weeks(at(-30 * DAY), at(30 * DAY), 1).await;
    assert_eq!(one.expect("the database answers"), 2, "the latest first");
    assert_eq!(roll_up(WEEK - 7 * DAY, end).await, 2);
    assert_sound(stores, &owner).await;
}

/// What it makes outdated goes, and comes again.
pub async fn a_late_click_is_counted(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let other = stores.link(&owner, "other").await;
    write(stores, &[click(&link, at(0)), click(&link, at(DAY)), click(&other, at(0))]).await;
    assert_eq!(roll_up(stores).await, 3);
    write(stores, &[click(&link, at(-DAY))]).await;
    let question = scope(&owner, None, at(-10 * DAY), at(10 * DAY));
    let edges = [question.start, question.end];
    assert_same_answers(stores, &question, &edges).await;
    assert_sound(stores, &owner).await;
    assert_eq!(roll_up(stores).await, 2, "the other link's was right");
    assert_same_answers(stores, &question, &edges).await;
    assert_sound(stores, &owner).await;
}

/// Whoever repairs a day may have changed what its week says.
pub async fn a_day_counted_again_takes_its_week_along(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    write(stores, &[click(&link, at(0)), click(&link, at(DAY)), click(&link, at(-8 * DAY))]).await;
    assert_eq!(roll_up(stores).await, 4);
    let sound = recount(stores, &owner, at(DAY), false).await;
    assert_eq!((sound.rollups, sound.different), (5, 0), "link, workspace, hour and two weeks: {sound:?}");
    recount(stores, &owner, at(0), true).await;
    assert_eq!(recount(stores, &owner, at(DAY), false).await.rollups, 3);
    assert_eq!(roll_up(stores).await, 2, "the other week stayed");
}

/// At once, as far as its own go; the workspace's once its days are counted again.
pub async fn a_purged_link_leaves_its_weeks(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let kept = stores.link(&owner, "kept").await;
    let rows = clicks_of_weeks(&mut StdRng::seed_from_u64(22), &[link.clone(), kept], 200);
    write(stores, &rows).await;
    roll_up(stores).await;
    let deleted = stores.links.delete(owner.workspace_id, link.id, None, &owner.context(at(1))).await;
    deleted.expect("the database answers");
    assert_eq!(stores.links.purge_deleted(at(2), 10).await.expect("the database answers"), 1);
    let of_link = scope(&owner, Some(&link), at(-30 * DAY), at(30 * DAY));
    let totals = stores.rolled_up.totals(&of_link).await.expect("the database answers");
    assert_eq!(totals, ClickCount::default());
    for (workspace_id, day) in stores.rollups.due(100).await.expect("the database answers") {
        stores.rollups.recount(workspace_id, day, true).await.expect("the database answers");
    }
    let everything = scope(&owner, None, at(-30 * DAY), at(30 * DAY));
    for _ in 0..2 {
        assert_same_answers(stores, &everything, &[everything.start, everything.end]).await;
        assert_sound(stores, &owner).await;
        roll_up(stores).await;
    }
}

/// Late clicks that come while a week is put together, by two at once.
pub async fn weeks_put_together_beside_writers_lose_nothing(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let links = [link, stores.link(&owner, "second").await];
    let mut rng = StdRng::seed_from_u64(23);
    for _ in 0..6 {
        let rows = clicks_of_weeks(&mut rng, &links, 120);
        let write = |rows| async move { while stores.clicks.write(rows).await.is_err() {} };
        let put_together = || async move {
            while stores.rollups.roll_up_weeks(at(-40 * DAY), at(40 * DAY), 100).await.is_err() {}
        };
        let all: [std::pin::Pin<Box<dyn Future<Output = ()> + Send>>; 4] = [
            Box::pin(put_together()),
            Box::pin(write(&rows[..60])),
            Box::pin(write(&rows[60..])),
            Box::pin(put_together()),
        ];
        join_all(all).await;
        assert_sound(stores, &owner).await;
        let everything = scope(&owner, None, at(-30 * DAY), at(30 * DAY));
        assert_same_answers(stores, &everything, &[everything.start, everything.end]).await;
    }
}

/// A week that is kept in part is no sum of days that are kept.
pub async fn weeks_go_by_age_with_their_days(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    write(stores, &[click(&link, at(WEEK)), click(&link, at(WEEK + 5 * DAY))]).await;
    roll_up(stores).await;
    let first = crate::day::Day::of(at(WEEK + 2 * DAY));
    let mut removed = 0;
    loop {
        match stores.retention.remove_rollups(first, 100).await.expect("the database answers") {
            0 => break,
            more => removed += more,
        }
    }
    // Of link and workspace: a day and the week; of the workspace an hour.
    assert_eq!(removed, 5);
    let question = scope(&owner, None, at(WEEK - 7 * DAY), at(WEEK + 14 * DAY));
    let totals = stores.rolled_up.totals(&question).await.expect("the database answers");
    assert_eq!(totals.clicks, 1);
}

/// A week that says something else than its days, that has no days, or that cannot be read, is found on the
/// last day of it that has clicks, and a repair removes it. `damage` runs a statement in SQL; it is not one of the
/// rules that every adapter gets from the macro, since no port can damage anything.
pub async fn a_week_that_is_wrong_is_found(stores: &Stores, mut damage: impl AsyncFnMut(&'static str)) {
    let (owner, link) = cast(stores).await;
    let from_germany = |seconds| ClickRow { country_code: "DE".to_owned(), ..click(&link, at(seconds)) };
    write(stores, &[from_germany(-DAY), from_germany(0)]).await;
    for statement in [
        "UPDATE click_rollups SET quarters = day.quarters FROM click_rollups AS day
         WHERE click_rollups.span = 'week' AND day.span = 'day' AND day.subject_id = click_rollups.subject_id",
        "UPDATE click_rollups SET country = language WHERE span = 'week'",
        "UPDATE click_rollups SET day_visitors = country WHERE span = 'week'",
        "UPDATE click_rollups SET day_visitors = country, quarters = country WHERE span = 'week'",
    ] {
        assert_eq!(roll_up(stores).await, 2);
        let check = async |seconds| recount(stores, &owner, at(seconds), false).await.different;
        assert_eq!((check(-DAY).await, check(0).await), (0, 0));
        damage(statement).await;
        assert_eq!((check(-DAY).await, check(0).await), (0, 2), "{statement}");
        recount(stores, &owner, at(-DAY), true).await;
        assert_eq!(check(0).await, 0);
    }
}
