//! The typed client of the API: what a command may ask, with limits and time-outs.

pub mod accounts;
pub mod analytics;
pub mod audit;
pub mod error;
pub mod events;
pub mod explain;
pub mod http;
pub mod links;
pub mod operations;
pub mod purges;
pub mod shares;

pub use error::{ApiError, Problem};
pub use http::Api;
