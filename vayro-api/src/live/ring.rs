//! The newest clicks of a feed, for those who read at their own pace.

use std::collections::VecDeque;
use std::sync::Arc;

use vayro_core::ids::ClickId;

use crate::events::EventView;

/// Clicks that are kept; a listener that falls further behind has to come again.
const RING_LEN: usize = 2000;

/// Clicks in the order they were found, numbered from zero.
#[derive(Debug, Default)]
pub(super) struct Ring {
    clicks: VecDeque<Arc<EventView>>,
    /// Number of the first one that is there.
    first: u64,
}

/// What is at a place of a ring.
#[derive(Debug)]
pub(super) enum Place {
    /// A click.
    Click(Arc<EventView>),
    /// Nothing yet.
    Empty,
    /// A click that is gone.
    Gone,
}

impl Ring {
    /// Adds a click; the oldest one makes room.
    pub(super) fn push(&mut self, click: EventView) {
        if self.clicks.len() == RING_LEN {
            self.clicks.pop_front();
            self.first += 1;
        }
        self.clicks.push_back(Arc::new(click));
    }

    /// Returns the number of the next click.
    pub(super) fn end(&self) -> u64 {
        self.first + self.clicks.len() as u64
    }

    /// Returns what has this number.
    pub(super) fn at(&self, number: u64) -> Place {
        let Some(index) = number.checked_sub(self.first) else { return Place::Gone };
        let click = usize::try_from(index).ok().and_then(|index| self.clicks.get(index));
        click.map_or(Place::Empty, |click| Place::Click(Arc::clone(click)))
    }

    /// Returns the number behind the click with this id, if it is there.
    pub(super) fn behind(&self, id: ClickId) -> Option<u64> {
        let index = self.clicks.iter().rposition(|click| click.id == id.as_uuid())?;
        Some(self.first + index as u64 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::sample;

    #[test]
    fn places_are_found_until_they_are_gone() {
        let mut ring = Ring::default();
        assert!(matches!(ring.at(0), Place::Empty));
        let id = |number| ClickId::from_uuid(uuid::Uuid::from_u128(number));
        for number in 0..RING_LEN as u128 + 5 {
            ring.push(sample(number));
        }
        assert_eq!(ring.end(), 2005);
        assert!(matches!(ring.at(4), Place::Gone));
        assert!(matches!(ring.at(5), Place::Click(click) if click.id.as_u128() == 5));
        assert!(matches!(ring.at(2005), Place::Empty));
        assert_eq!(ring.behind(id(2004)), Some(2005));
        assert_eq!(ring.behind(id(5)), Some(6));
        assert_eq!(ring.behind(id(4)), None);
    }
}
