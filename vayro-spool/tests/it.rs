//! The spool from outside: contracts, restarts, a stream that comes and goes.

#[path = "it/crash.rs"]
mod crash;
#[path = "it/embedded.rs"]
mod embedded;
#[path = "it/spilling.rs"]
mod spilling;
#[path = "it/support.rs"]
mod support;
