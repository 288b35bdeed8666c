//! One file per command: its arguments, whose doc comments are the help, and its `run`.

#[cfg(feature = "server")]
mod amend;
pub mod audit;
pub mod completions;
#[cfg(feature = "server")]
pub mod config;
pub mod demo;
pub mod dlq;
#[cfg(feature = "server")]
pub mod doctor;
pub mod domain;
#[cfg(feature = "server")]
pub mod geoip;
pub mod key;
pub mod link;
pub mod login;
pub mod logout;
pub mod man;
#[cfg(feature = "server")]
pub mod migrate;
#[cfg(feature = "server")]
pub mod reclassify;
#[cfg(feature = "server")]
pub mod reenrich;
#[cfg(feature = "server")]
pub mod rollup;
pub mod stats;
pub mod stream;
#[cfg(feature = "server")]
pub mod up;
pub mod user;
pub mod whoami;
