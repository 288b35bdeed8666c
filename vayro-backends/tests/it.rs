//! Configuration, the local parts, the guard, the outbox drainer, and both sets connected for real.

#[path = "it/config.rs"]
mod config;
#[path = "it/connect.rs"]
mod connect;
#[path = "it/drainer.rs"]
mod drainer;
#[path = "it/guard.rs"]
mod guard;
#[path = "it/local.rs"]
mod local;
#[path = "it/reference.rs"]
mod reference;
