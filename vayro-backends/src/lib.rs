//! Configuration in, ports out: the only crate naming both back-end sets.
//!
//! [`config`] turns files, variables and flags into checked settings. [`Backends::connect`] turns
//! [`config::BackendConfig`] into one value that holds every port of `vayro-core`, on PostgreSQL and
//! Redis or on one SQLite file and the segment log; nobody else can tell which. The rest is what every
//! process needs around that: the frame of a [`process`] with its [`logging`], [`signals`] and [`service`]
//! manager, the [`handover`] to a successor, and the outbox drainer.

mod backends;
mod causes;
pub mod clock;
pub mod config;
mod connect;
mod drainer;
mod facts;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod guard;
pub mod handover;
mod identity;
pub mod local;
pub mod logging;
mod nearest;
pub mod process;
pub mod service;
mod set;
mod shards;
pub mod signals;
pub mod vault;

pub use backends::{Backends, Ping};
pub use causes::causes;
pub use connect::{ConnectError, Roles};
pub use facts::ServerReport;
pub use nearest::ReplicaUse;
pub use shards::SetShardsError;
pub use vayro_core::schema::SchemaState;
