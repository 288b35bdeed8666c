//! Which of several visits of one visitor to one link is counted.
//!
//! A visit that is counted leaves a mark with its click's id. A visit is a repeat if a mark of another click
//! lies no more than a window away, by the times inside the ids and to either side: clicks may come late and
//! in any order. A click that comes again meets its own mark and is what it was.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::ids::{ClickId, LinkId};
use crate::timestamp::Timestamp;

/// Marks kept of one visitor and link: those of the newest clicks.
pub const MARKS_MAX: usize = 4;

/// How long marks are kept beyond the window, for clicks that come late or again. Longer than a dead worker's
/// clicks take to be handed out again, at the default settings.
pub const MARK_SLACK: Duration = Duration::from_mins(2);

/// Visitors and links whose marks one process keeps in memory, at some 150 bytes each.
pub const VISITS_MAX: usize = 200_000;

/// A click that is counted unless its visitor was counted on the link a moment before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VisitClaim {
    /// The click; its time is the one inside.
    pub click_id: ClickId,
    /// Which link.
    pub link_id: LinkId,
    /// The visitor's pseudonym.
    pub visitor_id: i64,
}

/// What marks say about a click.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// One of them is its own: it was counted before.
    Marked,
    /// Another click nearby was counted.
    Repeat,
    /// Nothing: it is to be counted and marked.
    New,
}

/// Judges a click by the marks of its visitor and link.
pub fn judge(marks: impl IntoIterator<Item = ClickId>, click_id: ClickId, window: Duration) -> Verdict {
    let mut verdict = Verdict::New;
    for mark in marks {
        if mark == click_id {
            return Verdict::Marked;
        }
        if distance(mark, click_id) <= window {
            verdict = Verdict::Repeat;
        }
    }
    verdict
}

fn distance(a: ClickId, b: ClickId) -> Duration {
    let [a, b] = [a, b].map(|id| id.timestamp().unwrap_or(Timestamp::EPOCH));
    a.since(b).max(b.since(a))
}

type Key = (LinkId, i64);

/// The marks one process keeps in memory.
#[derive(Clone, Debug, Default)]
pub struct VisitMarks {
    /// Visitors have a say in the keys: the hasher is keyed anew in each process.
    marks: HashMap<Key, Kept, foldhash::fast::RandomState>,
    /// When marks end, soonest first; of marks that were renewed also their earlier ends.
    ends: VecDeque<(Timestamp, Key)>,
}

#[derive(Clone, Debug)]
struct Kept {
    /// Sorted by time.
    clicks: Vec<ClickId>,
    ends_at: Timestamp,
}

impl VisitMarks {
    /// Says whether a visit is counted, and marks it if so. At [`VISITS_MAX`] the marks nearest to their end
    /// are forgotten.
    pub fn claim(&mut self, claim: &VisitClaim, window: Duration, now: Timestamp) -> bool {
        self.forget(now);
        let key = (claim.link_id, claim.visitor_id);
        let marks = self.marks.get(&key).into_iter().flat_map(|kept| kept.clicks.iter().copied());
        match judge(marks, claim.click_id, window) {
            Verdict::Marked => true,
            Verdict::Repeat => false,
            Verdict::New => {
                let ends_at = now.plus(window.saturating_add(MARK_SLACK));
                let kept =
                    self.marks.entry(key).or_insert_with(|| Kept { clicks: Vec::with_capacity(1), ends_at });
                let place = kept.clicks.partition_point(|mark| *mark < claim.click_id);
                kept.clicks.insert(place, claim.click_id);
                if kept.clicks.len() > MARKS_MAX {
                    kept.clicks.remove(0);
                }
                kept.ends_at = ends_at;
                self.ends.push_back((ends_at, key));
                true
            }
        }
    }

    /// Returns how many visitors and links are kept.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Tells whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Forgets what has ended, and one more if everything is taken.
    fn forget(&mut self, now: Timestamp) {
        while let Some((ends_at, key)) = self.ends.front().copied() {
            if ends_at > now && self.ends.len() < VISITS_MAX {
                return;
            }
            self.ends.pop_front();
            if self.marks.get(&key).is_some_and(|kept| kept.ends_at <= ends_at) {
                self.marks.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000 + seconds * 1000).expect("in range")
    }

    fn claim(seconds: i64, visitor_id: i64) -> VisitClaim {
        VisitClaim {
            click_id: ClickId::from_parts(at(seconds), [1; 10]),
            link_id: LinkId::from_uuid(uuid::Uuid::from_u128(1)),
            visitor_id,
        }
    }

    #[test]
    fn marks_end_after_window_and_slack() {
        let mut marks = VisitMarks::default();
        assert!(marks.claim(&claim(0, 1), WINDOW, at(0)));
        // Worked on late, compared by the times inside.
        assert!(!marks.claim(&claim(5, 1), WINDOW, at(129)));
        assert!(marks.claim(&claim(5, 1), WINDOW, at(130)), "forgotten by then");
        assert_eq!((marks.len(), marks.ends.len()), (1, 1));
    }

    #[test]
    fn a_renewed_mark_outlives_its_first_end() {
        let mut marks = VisitMarks::default();
        assert!(marks.claim(&claim(0, 1), WINDOW, at(0)));
        assert!(marks.claim(&claim(60, 1), WINDOW, at(60)));
        assert!(marks.claim(&claim(0, 2), WINDOW, at(131)));
        assert_eq!(marks.len(), 2);
        assert!(!marks.claim(&claim(61, 1), WINDOW, at(140)));
    }

    #[test]
    fn a_flood_of_visitors_pushes_out_the_oldest_marks() {
        let mut marks = VisitMarks::default();
        for visitor in 0..=i64::try_from(VISITS_MAX).expect("small") {
            assert!(marks.claim(&claim(0, visitor), WINDOW, at(0)));
        }
        assert_eq!((marks.len(), marks.ends.len()), (VISITS_MAX, VISITS_MAX));
        assert!(!marks.claim(&claim(1, 5), WINDOW, at(0)));
        assert!(marks.claim(&claim(1, 0), WINDOW, at(0)), "pushed out");
    }

    #[test]
    fn one_visitor_has_few_marks() {
        let mut marks = VisitMarks::default();
        for n in 0..50 {
            assert!(marks.claim(&claim(n * 60, 1), WINDOW, at(n * 60)));
        }
        assert_eq!(marks.len(), 1);
        let kept = marks.marks.values().next().expect("one");
        assert_eq!(kept.clicks.len(), MARKS_MAX);
    }
}
