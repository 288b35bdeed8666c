//! Rules of [`RecentVisits`]: of several visits near each other one is counted, whoever asks and in
//! whatever order.
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use std::sync::Arc;
use std::time::Duration;

use super::stores::join_all;
use crate::ids::{ClickId, LinkId};
use crate::ports::RecentVisits;
use crate::timestamp::Timestamp;
use crate::visits::VisitClaim;

/// A fresh memory.
pub trait VisitsFixture: Send + Sync {
    /// The memory as another worker has it.
    fn visits(&self) -> Arc<dyn RecentVisits>;

    /// The clock that `claim` is given: real time.
    fn now(&self) -> Timestamp;
}

/// Generates one test per rule; `$make` is a future of a [`VisitsFixture`].
#[macro_export]
macro_rules! recent_visits_contract {
    ($make:expr) => {
        $crate::recent_visits_contract! { contract_rules, $make }
    };
    ($each:ident, $make:expr) => {
        $crate::$each! { visits, $make,
            a_visit_soon_after_a_counted_one_is_a_repeat
            the_window_ends_where_it_ends
            a_repeat_does_not_lengthen_the_window
            late_clicks_are_compared_by_their_own_times
            other_visitors_and_links_do_not_matter
            a_click_that_comes_again_is_what_it_was
            a_batch_is_judged_in_its_order
            a_large_batch_is_judged_whole
            of_workers_that_ask_at_once_one_counts
            nothing_asked_is_no_error
        }
    };
}

const WINDOW: Duration = Duration::from_secs(10);

/// Makes the visit of visitor 1 to link 1, `millis` after an instant; `n` tells clicks of one time apart.
fn visit(millis: i64, n: u8) -> VisitClaim {
    let at = Timestamp::from_millis(1_790_000_000_000 + millis).expect("in range");
    VisitClaim {
        click_id: ClickId::from_parts(at, [n; 10]),
        link_id: LinkId::from_uuid(uuid::Uuid::from_u128(1)),
        visitor_id: 1,
    }
}

async fn claim_all(fixture: &dyn VisitsFixture, visits: &[VisitClaim]) -> Vec<bool> {
    let counted = fixture.visits().claim(visits, WINDOW, fixture.now()).await.expect("an answer");
    assert_eq!(counted.len(), visits.len());
    counted
}

async fn claim(fixture: &dyn VisitsFixture, visit: VisitClaim) -> bool {
    claim_all(fixture, &[visit]).await == [true]
}

/// The plain case: a double click.
pub async fn a_visit_soon_after_a_counted_one_is_a_repeat(fixture: &dyn VisitsFixture) {
    assert!(claim(fixture, visit(0, 1)).await);
    assert!(!claim(fixture, visit(300, 1)).await);
    assert!(!claim(fixture, visit(300, 2)).await);
    // Two clicks of the same millisecond, too.
    assert!(!claim(fixture, visit(0, 2)).await);
}

/// A click exactly the window later is a repeat, a millisecond more and it counts.
pub async fn the_window_ends_where_it_ends(fixture: &dyn VisitsFixture) {
    assert!(claim(fixture, visit(0, 1)).await);
    assert!(!claim(fixture, visit(10_000, 1)).await);
    assert!(claim(fixture, visit(10_001, 1)).await);
    assert!(!claim(fixture, visit(10_002, 1)).await);
    assert!(claim(fixture, visit(30_000, 1)).await);
}

/// Whoever reloads all day is counted once in a while.
pub async fn a_repeat_does_not_lengthen_the_window(fixture: &dyn VisitsFixture) {
    let mut counted = Vec::new();
    for seconds in 0..24 {
        if claim(fixture, visit(seconds * 1000, 1)).await {
            counted.push(seconds);
        }
    }
    assert_eq!(counted, [0, 11, 22]);
}

/// A spool that drains brings old clicks after new ones.
pub async fn late_clicks_are_compared_by_their_own_times(fixture: &dyn VisitsFixture) {
    assert!(claim(fixture, visit(3_600_000, 1)).await);
    // An hour earlier, and soon after that.
    assert!(claim(fixture, visit(0, 1)).await);
    assert!(!claim(fixture, visit(9_000, 1)).await);
    assert!(!claim(fixture, visit(3_595_000, 1)).await, "before the one that was counted");
    assert!(claim(fixture, visit(3_589_000, 1)).await);
    assert!(!claim(fixture, visit(3_601_000, 1)).await);
    assert!(!claim(fixture, visit(1_000, 1)).await);
}

/// Only the same visitor on the same link repeats.
pub async fn other_visitors_and_links_do_not_matter(fixture: &dyn VisitsFixture) {
    assert!(claim(fixture, visit(0, 1)).await);
    let other_visitor = VisitClaim { visitor_id: -1, ..visit(1, 1) };
    assert!(claim(fixture, other_visitor).await);
    let other_link = VisitClaim { link_id: LinkId::from_uuid(uuid::Uuid::from_u128(2)), ..visit(2, 1) };
    assert!(claim(fixture, other_link).await);
    for again in [visit(3, 1), VisitClaim { click_id: visit(4, 1).click_id, ..other_visitor }] {
        assert!(!claim(fixture, again).await);
    }
}

/// A batch whose worker died is handed out again, perhaps in another order and to another worker.
pub async fn a_click_that_comes_again_is_what_it_was(fixture: &dyn VisitsFixture) {
    let visits = [visit(0, 1), visit(500, 1), visit(20_000, 1), visit(25_000, 1), visit(40_000, 1)];
    let first = claim_all(fixture, &visits).await;
    assert_eq!(first, [true, false, true, false, true]);
    assert_eq!(claim_all(fixture, &visits).await, first);
    for (visit, is_counted) in visits.iter().zip(&first).rev() {
        assert_eq!(claim(fixture, *visit).await, *is_counted, "{visit:?}");
    }
}

/// The first one counts, not the earliest.
pub async fn a_batch_is_judged_in_its_order(fixture: &dyn VisitsFixture) {
    let visits =
        [visit(5, 1), visit(0, 1), visit(5, 1), visit(20_000, 1), visit(20_001, 1), visit(15_000, 1)];
    assert_eq!(claim_all(fixture, &visits).await, [true, false, true, true, false, false]);
}

/// As large as a worker's batches get; every third visitor comes twice.
pub async fn a_large_batch_is_judged_whole(fixture: &dyn VisitsFixture) {
    let visits: Vec<_> = (0..10_000_i64)
        .map(|n| VisitClaim { visitor_id: if n % 4 == 3 { n - 1 } else { n }, ..visit(n, 1) })
        .collect();
    let counted = claim_all(fixture, &visits).await;
    let expected: Vec<bool> = (0..10_000).map(|n| n % 4 != 3).collect();
    assert!(counted == expected, "{} are counted", counted.iter().filter(|is_counted| **is_counted).count());
    assert!(claim_all(fixture, &visits).await == expected, "again");
}

/// Several workers hold clicks of one visitor at the same time.
pub async fn of_workers_that_ask_at_once_one_counts(fixture: &dyn VisitsFixture) {
    for round in 0..10_i64 {
        let asked: Vec<Vec<VisitClaim>> = (0..4_u8)
            .map(|worker| {
                let mut visits: Vec<_> = (0..50_i64)
                    .map(|n| VisitClaim { visitor_id: round * 100 + n, ..visit(i64::from(worker), worker) })
                    .collect();
                if worker % 2 == 1 {
                    visits.reverse();
                }
                visits
            })
            .collect();
        let workers: Vec<_> = asked.iter().map(|_| fixture.visits()).collect();
        let now = fixture.now();
        let answers =
            join_all(workers.iter().zip(&asked).map(|(worker, visits)| worker.claim(visits, WINDOW, now)))
                .await;
        let counted: usize = answers
            .into_iter()
            .map(|answer| answer.expect("an answer").into_iter().filter(|is_counted| *is_counted).count())
            .sum();
        assert_eq!(counted, 50);
    }
}

/// Most batches of robots.
pub async fn nothing_asked_is_no_error(fixture: &dyn VisitsFixture) {
    assert_eq!(claim_all(fixture, &[]).await, Vec::<bool>::new());
}
