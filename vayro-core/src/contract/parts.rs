//! Rules of [`RollupStore`](crate::ports::RollupStore) about hours of busy links and quarters of busy workspaces: they
//! answer as clicks do.
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::rollups::{DAY, assert_same_answers, cast, pick, recount, scope, some_clicks, write};
use super::stores::{Owner, Stores, at, click, join_all};
use crate::analytics::{Breakdown, ClickScope, Dimension};
use crate::click::ClickRow;
use crate::day::Day;
use crate::link::Link;
use crate::retention::{Keep, Retention};
use crate::rollup::BUSY_CLICKS;

/// Generates one test per rule; `$fixture` is a future of a value with a field `stores`.
#[macro_export]
macro_rules! part_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            parts,
            [
                any_question_has_the_same_answer_once_parts_are_counted,
                only_busy_days_that_are_over_have_hours,
                only_workspaces_with_a_busy_hour_have_quarters,
                a_question_across_midnight_counts_both_days,
                a_late_click_is_counted,
                a_late_click_costs_its_workspace_the_quarters,
                a_day_counted_again_keeps_its_parts,
                weeks_count_the_parts_of_their_days,
                parts_counted_beside_writers_lose_nothing,
                expired_days_get_no_parts,
                old_parts_go,
            ]
        );
    };
}

/// Begin of the UTC day in which the suites' clock starts, at noon.
const MIDNIGHT: i64 = -DAY / 2;
const HOUR: i64 = 3_600;
/// [`BUSY_CLICKS`].
const MANY: usize = 2_000;

/// So many clicks that a link is busy with them, spread over the day that begins at `midnight`.
fn busy_day(rng: &mut StdRng, link: &Link, midnight: i64) -> Vec<ClickRow> {
    clicks_within(rng, link, (midnight, midnight + DAY), MANY + 100)
}

/// So many that its workspace is, too, within the hour that begins at `hour`.
fn busy_hour(rng: &mut StdRng, link: &Link, hour: i64) -> Vec<ClickRow> {
    clicks_within(rng, link, (hour, hour + HOUR), MANY)
}

fn clicks_within(rng: &mut StdRng, link: &Link, (from, to): (i64, i64), count: usize) -> Vec<ClickRow> {
    let mut rows = some_clicks(rng, std::slice::from_ref(link), count);
    for row in &mut rows {
        let millis = rng.random_range(0..(to - from).unsigned_abs() * 1_000);
        let when = at(from).plus(Duration::from_millis(millis));
        let ClickRow { id, timestamp, .. } = click(link, when);
        (row.id, row.timestamp) = (id, timestamp);
        pick(rng, &["Bern", "Paris", "Pokhara", ""]).clone_into(&mut row.city);
    }
    rows
}

async fn roll_up(stores: &Stores, from: i64, to: i64) -> u64 {
    stores.rollups.roll_up_parts(at(from), at(to)).await.expect("the database answers")
}

async fn assert_sound(stores: &Stores, owner: &Owner) {
    for day in -2..=2 {
        let check = recount(stores, owner, at(day * DAY), false).await;
        assert_eq!(check.different, 0, "day {day}: {check:?}");
    }
}

/// Some part of the days around the busy one, cut anywhere or at whole quarters.
fn question(rng: &mut StdRng, owner: &Owner, link: Option<&Link>) -> ClickScope {
    let mut instant = || {
        let second = rng.random_range(MIDNIGHT - DAY..MIDNIGHT + 2 * DAY);
        at(if rng.random_bool(0.5) { second - second.rem_euclid(900) } else { second })
    };
    let (a, b) = (instant(), instant());
    scope(owner, link, a.min(b), a.max(b).plus(Duration::from_secs(1)))
}

/// From the clicks, from the day's rollup and from its parts.
pub async fn any_question_has_the_same_answer_once_parts_are_counted(stores: &Stores) {
    assert_eq!(BUSY_CLICKS, MANY as u64);
    let (owner, link) = cast(stores).await;
    let quiet = stores.link(&owner, "quiet").await;
    let mut rng = StdRng::seed_from_u64(31);
    write(stores, &busy_day(&mut rng, &link, MIDNIGHT)).await;
    write(stores, &busy_hour(&mut rng, &link, MIDNIGHT + 5 * HOUR)).await;
    write(stores, &some_clicks(&mut rng, &[link.clone(), quiet.clone()], 300)).await;
    let made = roll_up(stores, -3 * DAY, 3 * DAY).await;
    assert_eq!(made, 24 + 96, "each hour and quarter had some of so many clicks");
    for number in 0..60 {
        let asked = [Some(&link), None, Some(&quiet), None, Some(&link)][number % 5];
        let question = question(&mut rng, &owner, asked);
        assert_same_answers(stores, &question, &[question.start, question.end]).await;
    }
    assert_sound(stores, &owner).await;
}

/// And each once.
pub async fn only_busy_days_that_are_over_have_hours(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let other = stores.link(&owner, "other").await;
    let mut rng = StdRng::seed_from_u64(32);
    write(stores, &busy_day(&mut rng, &link, MIDNIGHT)).await;
    write(stores, &busy_day(&mut rng, &other, MIDNIGHT + DAY)).await;
    // As many over two links, and a busy workspace.
    let quiet = [stores.link(&owner, "quiet").await, stores.link(&owner, "calm").await];
    for link in &quiet {
        write(stores, &busy_day(&mut rng, link, MIDNIGHT)[..MANY - 1]).await;
    }
    assert_eq!(roll_up(stores, MIDNIGHT, MIDNIGHT + DAY - 1).await, 0, "not over");
    assert_eq!(roll_up(stores, MIDNIGHT + 1, MIDNIGHT + DAY).await, 0, "not asked for");
    assert_eq!(roll_up(stores, MIDNIGHT, MIDNIGHT + DAY).await, 24);
    assert_eq!(roll_up(stores, MIDNIGHT, MIDNIGHT + 2 * DAY).await, 24, "of the other link's day");
    assert_eq!(roll_up(stores, MIDNIGHT, MIDNIGHT + 2 * DAY).await, 0);
    assert_sound(stores, &owner).await;
}

/// As many clicks as that, on whatever links.
pub async fn only_workspaces_with_a_busy_hour_have_quarters(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let other = stores.link(&owner, "other").await;
    let mut rng = StdRng::seed_from_u64(39);
    let half = MANY / 2;
    write(stores, &busy_hour(&mut rng, &link, MIDNIGHT)[..half]).await;
    write(stores, &busy_hour(&mut rng, &other, MIDNIGHT)[..half - 1]).await;
    write(stores, &[click(&link, at(MIDNIGHT + 3 * HOUR))]).await;
    assert_eq!(roll_up(stores, MIDNIGHT, MIDNIGHT + DAY).await, 0, "its busiest hour lacks one");
    write(stores, &[click(&other, at(MIDNIGHT + HOUR - 1))]).await;
    assert_eq!(roll_up(stores, MIDNIGHT, MIDNIGHT + DAY - 1).await, 0, "not over");
    assert_eq!(roll_up(stores, MIDNIGHT, MIDNIGHT + DAY).await, 4 + 1, "of the other hour too");
    assert_eq!(roll_up(stores, MIDNIGHT, MIDNIGHT + DAY).await, 0);
    assert_sound(stores, &owner).await;
}

/// One of them has parts.
pub async fn a_question_across_midnight_counts_both_days(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let mut rng = StdRng::seed_from_u64(42);
    write(stores, &busy_hour(&mut rng, &link, MIDNIGHT - HOUR)).await;
    write(stores, &clicks_within(&mut rng, &link, (MIDNIGHT, MIDNIGHT + HOUR), 50)).await;
    assert_eq!(roll_up(stores, MIDNIGHT - DAY, MIDNIGHT + DAY).await, 4 + 1);
    for asked in [Some(&link), None] {
        let question = scope(&owner, asked, at(MIDNIGHT - 1_200), at(MIDNIGHT + 1_200));
        assert_same_answers(stores, &question, &[question.start, at(MIDNIGHT), question.end]).await;
    }
}

/// Whatever link it is on.
pub async fn a_late_click_costs_its_workspace_the_quarters(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let quiet = stores.link(&owner, "quiet").await;
    write(stores, &busy_hour(&mut StdRng::seed_from_u64(40), &link, MIDNIGHT)).await;
    assert_eq!(roll_up(stores, MIDNIGHT, MIDNIGHT + DAY).await, 4 + 1);
    write(stores, &[click(&quiet, at(MIDNIGHT + 2_000))]).await;
    for _ in 0..2 {
        let question = scope(&owner, None, at(MIDNIGHT + 1_000), at(MIDNIGHT + HOUR));
        assert_same_answers(stores, &question, &[question.start, question.end]).await;
        assert_sound(stores, &owner).await;
        roll_up(stores, MIDNIGHT, MIDNIGHT + DAY).await;
    }
}

/// Hours that it makes outdated go, and come again.
pub async fn a_late_click_is_counted(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let other = stores.link(&owner, "other").await;
    let mut rng = StdRng::seed_from_u64(33);
    write(stores, &busy_day(&mut rng, &link, MIDNIGHT)).await;
    write(stores, &busy_day(&mut rng, &other, MIDNIGHT)).await;
    assert_eq!(roll_up(stores, MIDNIGHT, MIDNIGHT + DAY).await, 48);
    let late = ClickRow { country_code: "CH".to_owned(), ..click(&link, at(HOUR)) };
    write(stores, &[late]).await;
    let question = scope(&owner, Some(&link), at(MIDNIGHT + HOUR), at(MIDNIGHT + 20 * HOUR));
    assert_same_answers(stores, &question, &[question.start, question.end]).await;
    assert_sound(stores, &owner).await;
    assert_eq!(roll_up(stores, MIDNIGHT, MIDNIGHT + DAY).await, 24, "the other link's were right");
    assert_same_answers(stores, &question, &[question.start, question.end]).await;
    assert_sound(stores, &owner).await;
}

/// They are counted again with it.
pub async fn a_day_counted_again_keeps_its_parts(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let mut rng = StdRng::seed_from_u64(34);
    write(stores, &busy_day(&mut rng, &link, MIDNIGHT)).await;
    write(stores, &busy_hour(&mut rng, &link, MIDNIGHT + HOUR)).await;
    roll_up(stores, MIDNIGHT, MIDNIGHT + DAY).await;
    let before = recount(stores, &owner, at(0), true).await;
    // Of the link a day and its hours, of the workspace the same and the quarters.
    assert_eq!((before.rollups, before.different), (50 + 96, 0));
    assert_eq!(recount(stores, &owner, at(0), false).await, before);
    assert_eq!(roll_up(stores, MIDNIGHT, MIDNIGHT + DAY).await, 0);
}

/// So whoever has weeks has parts of days too.
pub async fn weeks_count_the_parts_of_their_days(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let mut rng = StdRng::seed_from_u64(35);
    write(stores, &busy_day(&mut rng, &link, MIDNIGHT)).await;
    write(stores, &busy_hour(&mut rng, &link, MIDNIGHT)).await;
    let weeks = async || {
        let made = stores.rollups.roll_up_weeks(at(-20 * DAY), at(20 * DAY), 10).await;
        made.expect("the database answers")
    };
    assert_eq!(weeks().await, 24 + 96 + 2);
    assert_eq!(roll_up(stores, MIDNIGHT, MIDNIGHT + DAY).await, 0);
    write(stores, &[click(&link, at(0))]).await;
    assert_eq!(weeks().await, 24 + 96 + 2, "a late click costs all of them");
    assert_sound(stores, &owner).await;
}

/// Late clicks that come while parts are counted, by two at once.
pub async fn parts_counted_beside_writers_lose_nothing(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let mut rng = StdRng::seed_from_u64(36);
    write(stores, &busy_day(&mut rng, &link, MIDNIGHT)).await;
    write(stores, &busy_hour(&mut rng, &link, MIDNIGHT)).await;
    for _ in 0..4 {
        let rows = &busy_day(&mut rng, &link, MIDNIGHT)[..200];
        let write = |rows| async move { while stores.clicks.write(rows).await.is_err() {} };
        let count =
            || async move { while stores.rollups.roll_up_parts(at(-2 * DAY), at(2 * DAY)).await.is_err() {} };
        let all: [std::pin::Pin<Box<dyn Future<Output = ()> + Send>>; 4] = [
            Box::pin(count()),
            Box::pin(write(&rows[..100])),
            Box::pin(write(&rows[100..])),
            Box::pin(count()),
        ];
        join_all(all).await;
        assert_sound(stores, &owner).await;
        for asked in [Some(&link), None] {
            let question = question(&mut rng, &owner, asked);
            assert_same_answers(stores, &question, &[question.start, question.end]).await;
        }
    }
}

/// Some of their clicks may be gone.
pub async fn expired_days_get_no_parts(stores: &Stores) {
    let (_, link) = cast(stores).await;
    write(stores, &busy_hour(&mut StdRng::seed_from_u64(37), &link, MIDNIGHT)).await;
    let cut = Retention { free: Keep::For(Duration::from_secs(86_400)), ..Retention::default() };
    stores.retention.raise_horizons(&cut.cut(at(3 * DAY))).await.expect("the database answers");
    assert_eq!(roll_up(stores, MIDNIGHT, MIDNIGHT + DAY).await, 0);
}

/// With the days they are parts of.
pub async fn old_parts_go(stores: &Stores) {
    let (_, link) = cast(stores).await;
    write(stores, &busy_hour(&mut StdRng::seed_from_u64(41), &link, MIDNIGHT)).await;
    assert_eq!(roll_up(stores, MIDNIGHT, MIDNIGHT + DAY).await, 1 + 4);
    let removed = stores.retention.remove_rollups(Day::of(at(MIDNIGHT + DAY)), 100).await;
    // The days of both, the workspace's hour, and the parts.
    assert_eq!(removed.expect("the database answers"), 2 + 1 + 1 + 4);
}

async fn by_city(stores: &Stores, scope: &ClickScope) -> Breakdown {
    stores.rolled_up.breakdown(scope, Dimension::City, 10).await.expect("the database answers")
}

/// Whole parts are answered without a click, and parts that say something else than the clicks are found and
/// repaired. `damage` runs a statement in SQL; it is not one of the rules that every adapter gets from the macro,
/// since no port can damage anything.
pub async fn parts_are_read_and_compared(stores: &Stores, mut damage: impl AsyncFnMut(&'static str)) {
    let (owner, link) = cast(stores).await;
    let mut rng = StdRng::seed_from_u64(38);
    write(stores, &busy_day(&mut rng, &link, MIDNIGHT)).await;
    write(stores, &busy_hour(&mut rng, &link, MIDNIGHT + 3 * HOUR)).await;
    assert_eq!(roll_up(stores, MIDNIGHT, MIDNIGHT + DAY).await, 24 + 96);
    let part = |link, from: i64, to: i64| scope(&owner, link, at(MIDNIGHT + from), at(MIDNIGHT + to));
    let of_hours = part(Some(&link), 3 * HOUR, 19 * HOUR);
    let of_quarters = part(None, 3 * HOUR + 900, 3 * HOUR + 2_700);
    for (statement, found) in [
        ("UPDATE click_rollups SET city = country WHERE span = 'busyhour'", 24),
        ("UPDATE click_rollups SET city = country WHERE span = 'quarter'", 96),
        // Of a subject that lost all its parts nobody knows that there were any.
        ("DELETE FROM click_rollups WHERE span IN ('busyhour', 'quarter')", 0),
    ] {
        assert_eq!(recount(stores, &owner, at(0), false).await.different, 0);
        let right = (by_city(stores, &of_hours).await, by_city(stores, &of_quarters).await);
        damage(statement).await;
        assert_eq!(recount(stores, &owner, at(0), false).await.different, found, "{statement}");
        recount(stores, &owner, at(0), true).await;
        roll_up(stores, MIDNIGHT, MIDNIGHT + DAY).await;
        assert_eq!((by_city(stores, &of_hours).await, by_city(stores, &of_quarters).await), right);
    }
    let totals = async || stores.rolled_up.totals(&of_quarters).await.expect("the database answers");
    let (expected, visitors) = (by_city(stores, &of_quarters).await, totals().await);
    assert!(expected.total > 200, "{expected:?}");
    damage("DELETE FROM click_events").await;
    assert_eq!((by_city(stores, &of_quarters).await, totals().await), (expected, visitors));
    let whole = by_city(stores, &of_hours).await;
    assert!(whole.total > 200, "{whole:?}");
    let cut = ClickScope { start: of_hours.start.minus(Duration::from_secs(1)), ..of_hours };
    assert_eq!(by_city(stores, &cut).await, whole, "the second before has no clicks any more");
}
