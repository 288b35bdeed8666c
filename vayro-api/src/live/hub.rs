//! The feeds of a process: begun by the first listener, ended some time after the last.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use vayro_core::ids::WorkspaceId;

use super::feed::{Feed, Watcher};
use super::{LISTENERS_MAX, LISTENERS_OF_WORKSPACE_MAX, POLL_EVERY};
use crate::slots::Slots;
use crate::state::{ApiState, SharedState};

/// How long a feed goes on without listeners, for those who come again at once.
const LINGER: Duration = Duration::from_secs(30);

/// Every feed of a process.
#[derive(Debug)]
pub(crate) struct LiveHub {
    pub(super) slots: Arc<Slots>,
    feeds: Mutex<HashMap<WorkspaceId, Arc<Feed>>>,
    is_over: watch::Sender<bool>,
}

impl LiveHub {
    pub(crate) fn new() -> Self {
        Self {
            slots: Slots::new(LISTENERS_OF_WORKSPACE_MAX, LISTENERS_MAX),
            feeds: Mutex::default(),
            is_over: watch::Sender::new(false),
        }
    }

    /// Ends every answer, so that the process can stop.
    pub(crate) fn close(&self) {
        self.is_over.send_replace(true);
    }

    /// Tells when everything is over.
    pub(super) fn end(&self) -> watch::Receiver<bool> {
        self.is_over.subscribe()
    }

    /// Returns the feed of a workspace, which goes on while somebody has it.
    pub(super) fn join(&self, workspace_id: WorkspaceId, state: &SharedState) -> Arc<Feed> {
        let mut feeds = self.feeds.lock();
        let feed = feeds.entry(workspace_id).or_insert_with(|| {
            let feed = Arc::new(Feed::new());
            tokio::spawn(fill(workspace_id, Arc::clone(&feed), Arc::downgrade(state), self.end()));
            feed
        });
        Arc::clone(feed)
    }

    /// Takes a feed away if nobody but its task has it.
    fn leave(&self, workspace_id: WorkspaceId, feed: &Arc<Feed>) -> bool {
        let mut feeds = self.feeds.lock();
        // One is the map's, one the task's; others are made under the lock alone.
        let is_alone = Arc::strong_count(feed) <= 2;
        if is_alone {
            feeds.remove(&workspace_id);
        }
        is_alone
    }
}

/// Fills a feed until nobody wants it. The state is held weakly, since the state holds the feeds.
async fn fill(
    workspace_id: WorkspaceId,
    feed: Arc<Feed>,
    state: Weak<ApiState>,
    mut is_over: watch::Receiver<bool>,
) {
    let mut watcher = Watcher::new(workspace_id);
    let mut turns = interval(POLL_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut wanted_at = Instant::now();
    let mut is_failing = false;
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            _ = is_over.wait_for(|is_over| *is_over) => return,
        }
        let Some(state) = state.upgrade() else { return };
        match watcher.look(&feed, &state).await {
            Ok(()) => is_failing = false,
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, workspace.id = %workspace_id, "new clicks cannot be looked for");
                }
            }
        }
        if Arc::strong_count(&feed) > 2 {
            wanted_at = Instant::now();
        } else if wanted_at.elapsed() >= LINGER && state.live.leave(workspace_id, &feed) {
            return;
        }
    }
}
