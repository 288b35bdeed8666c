//! What commands that run a server, or touch its data without one, have in common.

pub mod accounts;
pub mod admin;
pub mod config;
pub mod first_start;
pub mod listen;
pub mod process;
pub mod settings;
