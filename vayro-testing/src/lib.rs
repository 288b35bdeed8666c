//! Real servers, whole systems and faults for Vayro's tests.
//!
//! [`postgres`] and [`redis`] give a fresh database on the servers that `scripts/servers` started, or a
//! server of one's own that a test may stop, pause and kill. Nothing here is used outside tests.

mod process;

#[cfg(feature = "bench")]
pub mod bench;
pub mod chaos;
pub mod cluster;
pub mod disk;
pub mod fixture;
pub mod load;
pub mod pebble;
pub mod port;
pub mod postgres;
pub mod proxy;
pub mod redis;
pub mod sentinel;
pub mod system;
pub mod versions;
pub mod wait;

pub use process::Process;
