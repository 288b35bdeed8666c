//! Clicks that a feed has shown.

use std::collections::BTreeSet;

use vayro_core::ids::ClickId;
use vayro_core::timestamp::Timestamp;

/// Most clicks remembered; the oldest are forgotten first.
const SEEN_MAX: usize = 100_000;

/// Clicks by id, which is by time.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeSet<ClickId>);

impl Seen {
    /// Returns those of `ids` that were not seen, the oldest first.
    pub(super) fn unseen(&self, ids: &[ClickId]) -> Vec<ClickId> {
        let mut unseen: Vec<ClickId> = ids.iter().filter(|id| !self.0.contains(id)).copied().collect();
        unseen.sort_unstable();
        unseen
    }

    /// Remembers clicks.
    pub(super) fn add(&mut self, ids: &[ClickId]) {
        self.0.extend(ids);
        while self.0.len() > SEEN_MAX {
            self.0.pop_first();
        }
    }

    /// Forgets clicks that happened before `from`.
    pub(super) fn forget_before(&mut self, from: Timestamp) {
        self.0 = self.0.split_off(&ClickId::from_parts(from, [0; 10]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(millis: i64, random: u8) -> ClickId {
        ClickId::from_parts(Timestamp::from_millis(millis).expect("in range"), [random; 10])
    }

    #[test]
    fn late_clicks_are_found_and_none_comes_twice() {
        let mut seen = Seen::default();
        let (late, first, second) = (id(5, 1), id(10, 1), id(20, 1));
        assert_eq!(seen.unseen(&[second, first]), [first, second]);
        seen.add(&[first, second]);
        assert_eq!(seen.unseen(&[second, first, late]), [late]);
    }

    #[test]
    fn what_is_too_old_is_forgotten() {
        let mut seen = Seen::default();
        let ids = [id(9, 255), id(10, 0), id(10, 255)];
        seen.add(&ids);
        seen.forget_before(Timestamp::from_millis(10).expect("in range"));
        assert_eq!(seen.unseen(&ids), ids[..1]);
        let many: Vec<ClickId> = (0..150_000).map(|millis| id(millis, 7)).collect();
        seen.add(&many);
        assert_eq!(seen.0.len(), SEEN_MAX);
    }
}
