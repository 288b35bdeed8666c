//! The worker: takes clicks out of the stream, finds out what can be known about them, and stores each
//! once; makes partitions ahead of time and removes what is too old.
//!
//! It knows neither the databases nor the stream, only the ports of `vayro-core`. Start reading at
//! `ingest.rs`, then [`enrich`] and `schedule.rs`.

mod admin;
mod backoff;
mod certificates;
mod deps;
#[cfg(feature = "failpoints")]
mod failpoints;
mod health;
mod ingest;
mod metrics;
pub mod process;
mod purges;
pub mod retention;
mod schedule;
mod settings;
mod stop;
mod worker;

pub use vayro_enrich as enrich;

pub use certificates::CertificateDeps;
pub use deps::{Clock, SharedRng, WorkerDeps};
pub use ingest::{ALONE_ATTEMPTS, CRASH_ATTEMPTS, SUSPECT_ATTEMPTS};
pub use settings::WorkerSettings;
pub use worker::{Worker, WorkerError, WorkerHandle, WorkerState, run};
