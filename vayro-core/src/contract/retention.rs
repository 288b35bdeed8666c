//! Rules of [`RetentionStore`](crate::ports::RetentionStore): what is too old goes, and everything else still
//! adds up.
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use std::time::Duration;

use super::stores::{Owner, Stores, at, click, join_all};
use crate::account::{Plan, UserPatch};
use crate::analytics::{ClickCount, ClickScope};
use crate::click::ClickClass;
use crate::day::Day;
use crate::link::Link;
use crate::ports::{AnalyticsStore, WriteError};
use crate::retention::{Cut, Detached, Keep, PlanReview, Retention};
use crate::stream::DeadReason;

/// Generates one test per rule; `$fixture` is a future of a value with a field `stores`.
#[macro_export]
macro_rules! retention_store_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            retention,
            [
                clicks_go_by_the_plan_of_their_workspace,
                what_goes_by_age_is_noted_and_changes_no_sum,
                many_clicks_go_in_steps,
                a_horizon_never_moves_back,
                days_before_the_horizon_are_not_counted_again,
                a_purged_link_leaves_no_day_due_for_ever,
                a_month_that_nobody_keeps_is_closed_for_good,
                several_may_remove_at_once,
                old_rollups_go_and_new_ones_stay,
                a_review_tells_what_would_go_and_removes_nothing,
            ]
        );
    };
}

const DAY: i64 = 86_400;

fn days(count: u64) -> Keep {
    Keep::For(Duration::from_secs(count * 86_400))
}

/// What free workspaces do not keep of the time before `kept` days ago, at noon.
fn free_cut(kept: u64) -> Cut {
    Retention { free: days(kept), ..Retention::default() }.cut(at(0))
}

/// What nobody keeps of the time before `kept` days ago, at noon.
fn cut_of_all(kept: u64) -> Cut {
    Retention { free: days(kept), pro: days(kept), enterprise: days(kept), ..Retention::default() }.cut(at(0))
}

async fn cast(stores: &Stores) -> (Owner, Link) {
    let owner = stores.owner("ada").await;
    stores.prepare_months().await;
    let link = stores.link(&owner, "launch").await;
    (owner, link)
}

/// Writes one click on each of these days, counted from noon.
async fn write(stores: &Stores, link: &Link, days: &[i64]) {
    let rows: Vec<_> = days.iter().map(|day| click(link, at(day * DAY))).collect();
    stores.clicks.write(&rows).await.expect("clicks are stored");
}

async fn expire(stores: &Stores, cut: &Cut) -> u64 {
    stores.retention.raise_horizons(cut).await.expect("the database answers");
    let months = stores.retention.remove_months(cut, Detached::Drop).await.expect("the database answers");
    let mut removed = months.iter().map(|month| month.clicks).sum();
    loop {
        match stores.retention.remove_clicks(10_000).await.expect("the database answers") {
            0 => return removed,
            count => removed += count,
        }
    }
}

fn scope(owner: &Owner) -> ClickScope {
    ClickScope {
        workspace_id: owner.workspace_id,
        link_id: None,
        start: at(-70 * DAY),
        end: at(70 * DAY),
        classes: vec![ClickClass::Counted],
        filters: Vec::new(),
    }
}

async fn total(store: &dyn AnalyticsStore, owner: &Owner) -> i64 {
    let ClickCount { clicks, .. } = store.totals(&scope(owner)).await.expect("the database answers");
    clicks
}

/// A paying workspace keeps what a free one does not; clicks of the horizon's own day stay.
pub async fn clicks_go_by_the_plan_of_their_workspace(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let paying = stores.owner("bob").await;
    let patch = UserPatch { plan: Some(Plan::Pro), ..UserPatch::default() };
    stores.users.update(paying.user_id, &patch, &paying.context(at(1))).await.expect("the plan changes");
    let theirs = stores.link(&paying, "theirs").await;
    for link in [&link, &theirs] {
        write(stores, link, &[-20, -9, -8, -7, 0]).await;
    }
    assert_eq!(expire(stores, &free_cut(8)).await, 2);
    assert_eq!(total(&*stores.analytics, &owner).await, 3);
    assert_eq!(total(&*stores.analytics, &paying).await, 5);
    assert_eq!(expire(stores, &free_cut(8)).await, 0);
}

/// Counters, charts and the account of clicks are as before.
pub async fn what_goes_by_age_is_noted_and_changes_no_sum(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    write(stores, &link, &[-20, -20, -9, 0]).await;
    expire(stores, &free_cut(8)).await;
    assert_eq!(stores.reload(&link).await.clicks, 4);
    assert_eq!(total(&*stores.rolled_up, &owner).await, 4);
    let day = |days: i64| Day::of(at(days * DAY));
    let tally = stores.ledger.tally(day(-30), day(1), at(2 * DAY)).await.expect("a tally");
    let tally: Vec<_> = tally.iter().map(|(day, tally)| (*day, tally.stored, tally.removed)).collect();
    assert_eq!(tally, [(day(-20), 0, 2), (day(-9), 0, 1), (day(0), 1, 0)]);
}

/// One call may leave some for the next.
pub async fn many_clicks_go_in_steps(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows: Vec<_> = (0..60).map(|n| click(&link, at(-20 * DAY + n))).collect();
    stores.clicks.write(&rows).await.expect("clicks are stored");
    stores.retention.raise_horizons(&free_cut(8)).await.expect("the database answers");
    assert_eq!(stores.retention.remove_clicks(25).await.expect("the database answers"), 25);
    assert_eq!(total(&*stores.analytics, &owner).await, 35);
    assert_eq!(expire(stores, &free_cut(8)).await, 35);
}

/// What is gone does not come back when more is kept from now on.
pub async fn a_horizon_never_moves_back(stores: &Stores) {
    let (owner, _) = cast(stores).await;
    let horizon = async || stores.retention.horizon(owner.workspace_id).await.expect("the database answers");
    assert_eq!(horizon().await, None);
    for (kept, expected) in [(8, 8), (30, 8), (7, 7)] {
        stores.retention.raise_horizons(&free_cut(kept)).await.expect("the database answers");
        assert_eq!(horizon().await, Some(Day::of(at(-expected * DAY))));
    }
    stores.retention.raise_horizons(&Retention::default().cut(at(0))).await.expect("the database answers");
    assert_eq!(horizon().await, Some(Day::of(at(-7 * DAY))));
}

/// A recount would take the clicks that are gone out of the sums.
pub async fn days_before_the_horizon_are_not_counted_again(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    write(stores, &link, &[-20, 0]).await;
    expire(stores, &free_cut(8)).await;
    let recount = async |days: i64, is_repair| {
        let day = Day::of(at(days * DAY));
        stores.rollups.recount(owner.workspace_id, day, is_repair).await.expect("the database answers")
    };
    for is_repair in [false, true] {
        assert!(recount(-20, is_repair).await.is_expired);
        let check = recount(0, is_repair).await;
        assert_eq!((check.is_expired, check.clicks, check.different), (false, 1, 0));
    }
    assert_eq!(total(&*stores.rolled_up, &owner).await, 2);
}

/// Its days before the horizon cannot be counted again; they are not tried again and again.
pub async fn a_purged_link_leaves_no_day_due_for_ever(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    write(stores, &link, &[-20, 0]).await;
    expire(stores, &free_cut(8)).await;
    let deleted = stores.links.delete(owner.workspace_id, link.id, None, &owner.context(at(1))).await;
    deleted.expect("the database answers");
    assert_eq!(stores.links.purge_deleted(at(2), 10).await.expect("the database answers"), 1);
    for (workspace_id, day) in stores.rollups.due(100).await.expect("the database answers") {
        stores.rollups.recount(workspace_id, day, true).await.expect("the database answers");
    }
    assert_eq!(stores.rollups.due(100).await.expect("the database answers"), []);
}

/// No click is stored there any more, and preparing months does not open it again.
pub async fn a_month_that_nobody_keeps_is_closed_for_good(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    write(stores, &link, &[-30, -10, -5, 0]).await;
    // Noon is on the tenth of May; kept is from the second on, so April goes as a whole.
    assert_eq!(expire(stores, &cut_of_all(8)).await, 2);
    assert_eq!(total(&*stores.rolled_up, &owner).await, 4);
    for _ in 0..2 {
        match stores.clicks.write(&[click(&link, at(-30 * DAY)), click(&link, at(0))]).await {
            Err(WriteError::Rejected { reason, .. }) => assert_eq!(reason, DeadReason::OutOfRange),
            other => panic!("expected the row to be rejected, got {other:?}"),
        }
        stores.prepare_months().await;
        assert_eq!(expire(stores, &cut_of_all(8)).await, 0);
    }
    write(stores, &link, &[-9]).await;
    assert_eq!(
        stores.retention.horizon(owner.workspace_id).await.expect("answers"),
        Some(Day::of(at(-8 * DAY)))
    );
    let stranger = stores.owner("eve").await;
    let horizon = stores.retention.horizon(stranger.workspace_id).await.expect("answers");
    assert_eq!(horizon, Some(Day::of(at(0)).first_of_month()), "that of the months");
}

/// Every worker keeps house.
pub async fn several_may_remove_at_once(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows: Vec<_> = (0..200).map(|n| click(&link, at(-30 * DAY + n * DAY / 8))).collect();
    stores.clicks.write(&rows).await.expect("clicks are stored");
    let cut = cut_of_all(8);
    let removed: u64 = join_all((0..3).map(|_| expire(stores, &cut))).await.iter().sum();
    // Whoever came late to the months left them to the others.
    let removed = removed + expire(stores, &cut).await;
    let left = total(&*stores.analytics, &owner).await;
    assert_eq!(i64::try_from(removed).expect("few") + left, 200);
    let day = |days: i64| Day::of(at(days * DAY));
    let tally = stores.ledger.tally(day(-40), day(1), at(2 * DAY)).await.expect("a tally");
    assert_eq!(tally.iter().map(|(_, tally)| tally.stored + tally.removed).sum::<u64>(), 200);
}

/// By the day they begin on, some at a time.
pub async fn old_rollups_go_and_new_ones_stay(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    write(stores, &link, &[-20, -9, -8, 0]).await;
    let first = Day::of(at(-8 * DAY));
    let mut removed = 0;
    loop {
        match stores.retention.remove_rollups(first, 2).await.expect("the database answers") {
            0 => break,
            count => {
                assert!(count <= 2, "{count}");
                removed += count;
            }
        }
    }
    // The link's day, the workspace's day and its hour, of two days.
    assert_eq!(removed, 6);
    assert_eq!(total(&*stores.rolled_up, &owner).await, 2);
}

/// Looking is free.
pub async fn a_review_tells_what_would_go_and_removes_nothing(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    write(stores, &link, &[-20, -9, -8, 0]).await;
    let retention = Retention { free: days(8), rollups: days(9), ..Retention::default() };
    for _ in 0..2 {
        let review = stores.retention.review(&retention.cut(at(0))).await.expect("the database answers");
        let free = PlanReview { plan: Plan::Free, workspaces: 1, clicks: 2 };
        assert_eq!((review.plans.as_slice(), review.months.len(), review.rollups), ([free].as_slice(), 0, 3));
    }
    let review = stores.retention.review(&cut_of_all(8)).await.expect("the database answers");
    assert_eq!(review.months.len(), usize::from(stores.needs_partitions));
    assert_eq!(stores.retention.horizon(owner.workspace_id).await.expect("the database answers"), None);
    assert_eq!(total(&*stores.analytics, &owner).await, 4);
}
