//! One client that follows clicks.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use axum::response::sse::Event;
use futures::Stream;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use vayro_core::click::ClickClass;
use vayro_core::ids::{ClickId, LinkId, WorkspaceId};
use vayro_core::ports::StoreError;
use vayro_core::timestamp::Timestamp;

use super::feed::Feed;
use super::ring::Place;
use super::{AGE_MAX, LATE_MAX, RECENT_MAX, RESUME_MAX};
use crate::events::EventView;
use crate::slots::Slot;
use crate::state::SharedState;

/// Clicks read at a time for somebody who comes again.
const CATCH_UP_LEN: usize = 200;

/// Which clicks a client wants.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) link_id: Option<LinkId>,
    pub(super) classes: Vec<ClickClass>,
}

impl Choice {
    fn has(&self, click: &EventView) -> bool {
        self.link_id.is_none_or(|id| id.as_uuid() == click.link_id) && self.classes.contains(&click.class)
    }
}

/// Says that clicks are missing.
#[derive(Debug, Serialize)]
struct Gap {
    /// Clicks since this instant may be missing; `/v1/events` has them.
    since: Timestamp,
}

/// Where a client is in its feed, and what it gets before.
pub(super) struct Listener {
    feed: Arc<Feed>,
    state: SharedState,
    slot: Slot,
    choice: Choice,
    /// Number of the click that comes next.
    next: u64,
    /// The click it had last, until its place was looked for.
    last: Option<ClickId>,
    /// Clicks it missed, to be read from the database.
    missed: VecDeque<ClickId>,
    /// Those among them, which the feed may show again.
    caught_up: HashSet<ClickId>,
    /// What is ready to be sent.
    ready: VecDeque<Event>,
    is_over: watch::Receiver<bool>,
    ends_at: Instant,
}

impl Listener {
    /// Begins behind the click `last` if it is known, otherwise with what comes now.
    pub(super) fn new(
        feed: Arc<Feed>,
        state: SharedState,
        slot: Slot,
        choice: Choice,
        last: Option<ClickId>,
    ) -> Self {
        let next = last.and_then(|last| feed.behind(last));
        let is_over = state.live.end();
        // A comment at once: the client sees that it is heard.
        let ready = VecDeque::from([Event::default().comment("listening")]);
        Self {
            last: last.filter(|_| next.is_none()),
            next: next.unwrap_or_else(|| feed.end()),
            missed: VecDeque::new(),
            caught_up: HashSet::new(),
            ends_at: Instant::now() + AGE_MAX,
            feed,
            state,
            slot,
            choice,
            ready,
            is_over,
        }
    }

    /// Returns what the client gets.
    pub(super) fn events(self) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
        futures::stream::unfold(self, async |mut listener| {
            listener.event().await.map(|event| (Ok(event), listener))
        })
    }

    async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if *self.is_over.borrow() || Instant::now() >= self.ends_at {
                return None;
            }
            if let Some(last) = self.last.take() {
                self.find_missed(last).await?;
            } else if !self.missed.is_empty() {
                self.read_missed().await?;
            } else {
                match self.feed.at(self.next) {
                    // It reads too slowly for the ring; it comes again and catches up from the database.
                    Place::Gone => return None,
                    Place::Click(click) => {
                        self.next += 1;
                        if !self.caught_up.remove(&ClickId::from_uuid(click.id)) {
                            self.show(&click);
                        }
                    }
                    Place::Empty => tokio::select! {
                        () = self.feed.reaches(self.next) => {}
                        _ = self.is_over.wait_for(|is_over| *is_over) => return None,
                        () = sleep_until(self.ends_at) => return None,
                    },
                }
            }
        }
    }

    /// Finds the clicks that may have been stored since `last` was sent. The feed has been joined already,
    /// so that what is stored from here on comes through it.
    async fn find_missed(&mut self, last: ClickId) -> Option<()> {
        let now = self.state.clock.now();
        let happened = last.timestamp()?;
        let since = happened.minus(LATE_MAX);
        let is_too_long_ago = happened < now.minus(RESUME_MAX);
        let from = if is_too_long_ago { now.minus(RESUME_MAX) } else { since };
        let found = self.state.ports.events.recent(self.workspace_id(), from, RECENT_MAX).await;
        let mut ids = or_end(found)?;
        if is_too_long_ago || ids.len() == RECENT_MAX as usize {
            self.ready.extend(event("gap", &Gap { since }));
        }
        // From the newest back; they are sent in the order of time.
        ids.reverse();
        ids.retain(|id| *id != last);
        self.caught_up = ids.iter().copied().collect();
        self.missed = ids.into();
        Some(())
    }

    async fn read_missed(&mut self) -> Option<()> {
        let count = self.missed.len().min(CATCH_UP_LEN);
        let ids: Vec<ClickId> = self.missed.drain(..count).collect();
        let found = self.state.ports.events.find(self.workspace_id(), &ids).await;
        for click in or_end(found)? {
            self.show(&EventView::new(click, &self.state.settings));
        }
        Some(())
    }

    fn workspace_id(&self) -> WorkspaceId {
        self.slot.workspace_id()
    }

    fn show(&mut self, click: &EventView) {
        if self.choice.has(click) {
            self.ready.extend(event("click", click).map(|event| event.id(click.id.to_string())));
        }
    }
}

/// Ends the answer if the database is away; the client comes again with what it had last.
fn or_end<T>(found: Result<T, StoreError>) -> Option<T> {
    found
        .inspect_err(|error| {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "missed clicks cannot be read; the listener has to come again");
        })
        .ok()
}

fn event(name: &str, data: &impl Serialize) -> Option<Event> {
    let event = Event::default().event(name).json_data(data);
    event
        .inspect_err(|error| tracing::error!(error = error as &dyn std::error::Error, "a click is not JSON"))
        .ok()
}
