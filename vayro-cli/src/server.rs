//! What commands that run a server, or touch its data without one, have in common.

pub mod config;
