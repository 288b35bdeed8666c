//! Places for answers that take long: so many for each workspace, and so many in all.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use vayro_core::ids::WorkspaceId;

/// Counts who is in.
#[derive(Debug)]
pub(crate) struct Slots {
    each_max: usize,
    all_max: usize,
    taken: Mutex<HashMap<WorkspaceId, usize>>,
}

impl Slots {
    /// Has `each_max` places for each workspace and `all_max` in all.
    pub(crate) fn new(each_max: usize, all_max: usize) -> Arc<Self> {
        Arc::new(Self { each_max, all_max, taken: Mutex::default() })
    }

    /// Takes a place until the value is dropped; `None` while all are taken.
    pub(crate) fn take(self: &Arc<Self>, workspace_id: WorkspaceId) -> Option<Slot> {
        let mut taken = self.taken.lock();
        if taken.values().sum::<usize>() >= self.all_max {
            return None;
        }
        let count = taken.get(&workspace_id).copied().unwrap_or(0);
        if count >= self.each_max {
            return None;
        }
        taken.insert(workspace_id, count + 1);
        drop(taken);
        Some(Slot { slots: Arc::clone(self), workspace_id })
    }
}

/// A place that is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    workspace_id: WorkspaceId,
}

impl Slot {
    /// Returns whose place it is.
    pub(crate) const fn workspace_id(&self) -> WorkspaceId {
        self.workspace_id
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock();
        match taken.get_mut(&self.workspace_id) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.workspace_id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let workspace = |number| WorkspaceId::from_uuid(uuid::Uuid::from_u128(number));
        let slots = Slots::new(2, 3);
        let first = slots.take(workspace(1)).expect("free");
        let second = slots.take(workspace(1)).expect("free");
        assert!(slots.take(workspace(1)).is_none(), "two for each");
        let third = slots.take(workspace(2)).expect("free");
        assert!(slots.take(workspace(3)).is_none(), "three in all");
        drop(first);
        drop(slots.take(workspace(3)).expect("free again"));
        drop((second, third));
        assert!(slots.taken.lock().is_empty());
    }
}
