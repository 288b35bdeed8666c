//! Rules of [`LedgerStore`].
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use super::stores::{Stores, at, click};
use crate::day::Day;
use crate::ledger::{DayCounts, DayTally, EdgeLedger, KEPT_DAYS, KnownEdge, Removal};
use crate::ports::LedgerStore;

/// Generates one test per rule; `$fixture` is a future of a value with a field `stores`.
#[macro_export]
macro_rules! ledger_store_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            ledger,
            [
                figures_are_kept_by_day_and_edge,
                figures_never_shrink,
                an_edge_that_is_over_stays_over,
                figures_of_long_ago_are_forgotten,
                rows_are_counted_by_utc_day,
                removed_clicks_are_counted_under_their_day,
            ]
        );
    };
}

const DAY: i64 = 86_400;

fn counts(accepted: u64) -> DayCounts {
    DayCounts { accepted, shipped: accepted, ring_full: 1, shutdown: 2, disk: 3 }
}

fn ledger(edge: &str, seconds: i64, days: &[(Day, DayCounts)]) -> EdgeLedger {
    EdgeLedger { edge: edge.to_owned(), is_over: false, at: at(seconds), days: days.to_vec() }
}

async fn figures(stores: &Stores, first: Day, last: Day) -> Vec<(Day, String, DayCounts)> {
    stores.ledger.figures(first, last).await.expect("the database answers")
}

async fn record(stores: &Stores, ledgers: &[EdgeLedger]) {
    LedgerStore::record(&*stores.ledger, ledgers).await.expect("the database takes figures");
}

/// What edges told is listed by day, then edge, for the days asked about.
pub async fn figures_are_kept_by_day_and_edge(stores: &Stores) {
    let (today, yesterday) = (Day::of(at(0)), Day::of(at(-DAY)));
    record(stores, &[]).await;
    record(
        stores,
        &[
            ledger("two", 0, &[(yesterday, counts(5)), (today, counts(6))]),
            ledger("one", 1, &[(today, counts(7))]),
        ],
    )
    .await;
    let expected = [
        (yesterday, "two".to_owned(), counts(5)),
        (today, "one".to_owned(), counts(7)),
        (today, "two".to_owned(), counts(6)),
    ];
    assert_eq!(figures(stores, yesterday, today).await, expected);
    assert_eq!(figures(stores, today, today).await, expected[1..]);
    assert_eq!(figures(stores, today.minus(9), today.minus(2)).await, []);
    let edge =
        |name: &str, seconds| KnownEdge { edge: name.to_owned(), is_over: false, heard_at: at(seconds) };
    assert_eq!(stores.ledger.edges().await.expect("a list"), [edge("one", 1), edge("two", 0)]);
}

/// A message that comes late or twice changes nothing.
pub async fn figures_never_shrink(stores: &Stores) {
    let today = Day::of(at(0));
    let newer = ledger("one", 9, &[(today, counts(9))]);
    for message in [&newer, &ledger("one", 5, &[(today, counts(5))]), &newer] {
        record(stores, std::slice::from_ref(message)).await;
        assert_eq!(figures(stores, today, today).await, [(today, "one".to_owned(), counts(9))]);
    }
    assert_eq!(stores.ledger.edges().await.expect("a list")[0].heard_at, at(9));
}

/// A late message of a process does not bring it back to life.
pub async fn an_edge_that_is_over_stays_over(stores: &Stores) {
    let last = EdgeLedger { is_over: true, ..ledger("one", 5, &[]) };
    record(stores, &[ledger("one", 0, &[]), last, ledger("one", 1, &[])]).await;
    assert!(stores.ledger.edges().await.expect("a list")[0].is_over);
}

/// Nothing grows for ever.
pub async fn figures_of_long_ago_are_forgotten(stores: &Stores) {
    let (today, old) = (Day::of(at(0)), Day::of(at(0)).minus(KEPT_DAYS));
    record(stores, &[ledger("old", -i64::from(KEPT_DAYS) * DAY, &[(old, counts(1))])]).await;
    record(stores, &[ledger("one", 0, &[(old, counts(1)), (today, counts(2))])]).await;
    assert_eq!(figures(stores, old, today).await.len(), 3);
    record(stores, &[ledger("one", DAY, &[])]).await;
    assert_eq!(figures(stores, old, today).await, [(today, "one".to_owned(), counts(2))]);
    assert_eq!(stores.ledger.edges().await.expect("a list").len(), 1);
}

/// Rows count under the UTC day of their time, whatever the session's time zone.
pub async fn rows_are_counted_by_utc_day(stores: &Stores) {
    let owner = stores.owner("ada").await;
    stores.prepare_months().await;
    let link = stores.link(&owner, "counted").await;
    let (midnight, last) = (DAY / 2, DAY / 2 - 1);
    let rows = [click(&link, at(0)), click(&link, at(last)), click(&link, at(midnight))];
    stores.clicks.write(&rows).await.expect("clicks are stored");
    let (today, tomorrow) = (Day::of(at(0)), Day::of(at(DAY)));
    let tally = stores.ledger.tally(today.minus(1), tomorrow, at(last)).await.expect("a tally");
    let day = |stored, stored_late| DayTally { stored, stored_late, removed: 0 };
    assert_eq!(tally, [(today, day(2, 1)), (tomorrow, day(1, 1))]);
    let tally = stores.ledger.tally(tomorrow, tomorrow, at(DAY)).await.expect("a tally");
    assert_eq!(tally, [(tomorrow, day(1, 0))]);
}

/// Clicks that went with their link, or with their dead letter, are not missing.
pub async fn removed_clicks_are_counted_under_their_day(stores: &Stores) {
    let owner = stores.owner("ada").await;
    stores.prepare_months().await;
    let link = stores.link(&owner, "gone").await;
    let rows = [click(&link, at(0)), click(&link, at(1)), click(&link, at(DAY))];
    stores.clicks.write(&rows).await.expect("clicks are stored");
    let deleted =
        stores.links.delete(owner.workspace_id, link.id, None, &owner.context(at(2))).await.expect("deleted");
    drop(deleted);
    stores.links.purge_deleted(at(3), 10).await.expect("the database answers");
    let (today, tomorrow) = (Day::of(at(0)), Day::of(at(DAY)));
    stores.ledger.note_removed(&[(today, 4), (today, 1)], Removal::LetterPurged).await.expect("noted");
    let tally = stores.ledger.tally(today, tomorrow, at(0)).await.expect("a tally");
    let removed: Vec<(Day, u64)> = tally.iter().map(|(day, tally)| (*day, tally.removed)).collect();
    assert_eq!(removed, [(today, 7), (tomorrow, 1)]);
    assert!(tally.iter().all(|(_, tally)| tally.stored == 0));
}
