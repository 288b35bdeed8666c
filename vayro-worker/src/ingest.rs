//! Clicks out of the stream and into the database, each exactly once.
//!
//! The reader takes batches and hands each to a task of its own: decode, enrich, tell repeats, write, settle. The next
//! batch is read and enriched while the last one is written. A batch is settled only after its rows are
//! committed, and rows are told by their ids, so a worker may die at any point: what was not settled
//! comes back, and what was written is not written again.
//!
//! - An outage of database or stream keeps the batch in memory and is waited out. It never makes a dead
//!   letter and never raises the attempts of a click.
//! - A row the database refuses is found by bisection and put aside alone.
//! - A click that killed workers again and again is worked on with fewer and fewer others, then alone, then put
//!   aside.

mod in_flight;
mod prepare;
mod reader;
mod reclaim;
mod repeats;
mod salts;
mod settle;
mod write;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use vayro_core::stream::Delivery;

pub(crate) use in_flight::{InFlight, Slot};
pub(crate) use reader::read;
pub(crate) use reclaim::reclaim;

use crate::backoff::Backoff;
use crate::deps::WorkerDeps;
use crate::enrich::Enricher;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::purges::Purges;
use crate::settings::WorkerSettings;
use crate::stop::Stop;
use salts::SaltBook;

/// A click handed out this often is worked on with fewer others than a batch has.
pub const SUSPECT_ATTEMPTS: u32 = 3;
/// A click handed out this often is worked on alone, so that it can take no other down with it.
pub const ALONE_ATTEMPTS: u32 = 5;
/// A click handed out this often is put aside: workers died over it when it was alone.
pub const CRASH_ATTEMPTS: u32 = 7;
/// How long the database may take for one write before it counts as unavailable.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Stopping was asked for before the batch was settled. It is left to be handed out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abandoned;

/// Everything the tasks of one worker share.
pub(crate) struct Pipeline {
    pub(crate) settings: WorkerSettings,
    pub(crate) deps: WorkerDeps,
    pub(crate) enricher: Arc<Enricher>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) in_flight: InFlight,
    pub(crate) database: Health,
    pub(crate) stream: Health,
    pub(crate) purges: Purges,
    salts: SaltBook,
    enriching: Semaphore,
    writing: Semaphore,
}

impl Pipeline {
    pub(crate) fn new(
        settings: WorkerSettings,
        deps: WorkerDeps,
        enricher: Arc<Enricher>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            in_flight: InFlight::new(settings.batches_in_flight),
            database: Health::new("database"),
            stream: Health::new("click stream"),
            purges: Purges::default(),
            salts: SaltBook::new(Arc::clone(&deps.clicks), Arc::clone(&deps.rng), settings.salt_retention),
            enriching: Semaphore::new(settings.enrich_threads),
            writing: Semaphore::new(settings.writers),
            settings,
            deps,
            enricher,
            metrics,
        }
    }

    /// Works on one batch until all of it is settled.
    pub(crate) async fn process(&self, deliveries: Vec<Delivery>, stop: &mut Stop) -> Result<(), Abandoned> {
        let ids = deliveries.iter().map(|delivery| delivery.id.clone()).collect();
        let mut dead = Vec::new();
        let mut left = deliveries;
        loop {
            let purges = self.purges.known();
            let wanted = self.leave_out(&purges, left, stop).await?;
            let mut prepared = self.prepare(wanted, stop).await?;
            self.tell_repeats(&mut prepared.rows, stop).await?;
            dead.extend(prepared.dead);
            match self.store(prepared.rows, &prepared.deliveries, &purges, stop).await? {
                Some(refused) => {
                    dead.extend(refused);
                    break;
                }
                // Some of it may be stored; storing that again changes nothing.
                None => left = prepared.deliveries,
            }
        }
        self.settle(ids, dead, stop).await
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(Arc::clone(&self.deps.rng))
    }
}
