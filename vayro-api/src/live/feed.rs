//! New clicks of one workspace, looked for once for all its listeners.

use parking_lot::Mutex;
use tokio::sync::watch;
use vayro_core::event::EVENTS_MAX;
use vayro_core::ids::{ClickId, WorkspaceId};
use vayro_core::ports::StoreError;
use vayro_core::timestamp::Timestamp;

use super::ring::{Place, Ring};
use super::seen::Seen;
use super::{LATE_MAX, RECENT_MAX, RESUME_MAX};
use crate::events::EventView;
use crate::state::ApiState;

/// What listeners read; the task that fills it belongs to the [`hub`](super::hub).
#[derive(Debug)]
pub(crate) struct Feed {
    ring: Mutex<Ring>,
    /// Number of the next click; `None` before the first look.
    end: watch::Sender<Option<u64>>,
}

impl Feed {
    pub(super) fn new() -> Self {
        Self { ring: Mutex::default(), end: watch::Sender::new(None) }
    }

    /// Waits for the first look: what is stored from then on will be shown.
    pub(super) async fn is_ready(&self) {
        // The sender lives as long as this does.
        drop(self.end.subscribe().wait_for(Option::is_some).await);
    }

    /// Returns the number of the next click.
    pub(super) fn end(&self) -> u64 {
        self.ring.lock().end()
    }

    /// Returns the number behind a click, if it is still there.
    pub(super) fn behind(&self, id: ClickId) -> Option<u64> {
        self.ring.lock().behind(id)
    }

    /// Returns what has this number.
    pub(super) fn at(&self, number: u64) -> Place {
        self.ring.lock().at(number)
    }

    /// Waits until there is a click with this number.
    pub(super) async fn reaches(&self, number: u64) {
        let is_there = |end: &Option<u64>| end.is_some_and(|end| end > number);
        drop(self.end.subscribe().wait_for(is_there).await);
    }

    fn show(&self, clicks: impl IntoIterator<Item = EventView>) {
        let mut ring = self.ring.lock();
        clicks.into_iter().for_each(|click| ring.push(click));
        let end = ring.end();
        drop(ring);
        self.end.send_replace(Some(end));
    }
}

/// Looks for new clicks again and again.
pub(super) struct Watcher {
    workspace_id: WorkspaceId,
    seen: Seen,
    /// When the last look succeeded; `None` before the first one.
    last: Option<Timestamp>,
}

impl Watcher {
    pub(super) fn new(workspace_id: WorkspaceId) -> Self {
        Self { workspace_id, seen: Seen::default(), last: None }
    }

    /// Shows what was stored since the last look. The first look only takes note of what is there.
    ///
    /// After an outage of the database it looks back as far as the last look that succeeded.
    pub(super) async fn look(&mut self, feed: &Feed, state: &ApiState) -> Result<(), StoreError> {
        let now = state.clock.now();
        let from = self.last.unwrap_or(now).min(now).minus(LATE_MAX).max(now.minus(RESUME_MAX));
        let store = &state.ports.events;
        let ids = store.recent(self.workspace_id, from, RECENT_MAX).await?;
        if self.last.is_none() {
            self.seen.add(&ids);
            feed.show([]);
        } else {
            for ids in self.seen.unseen(&ids).chunks(usize::from(EVENTS_MAX)) {
                let events = store.find(self.workspace_id, ids).await?;
                self.seen.add(ids);
                feed.show(events.into_iter().map(|event| EventView::new(event, &state.settings)));
            }
        }
        self.seen.forget_before(from);
        self.last = Some(now);
        Ok(())
    }
}
