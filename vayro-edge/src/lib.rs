//! The edge: takes connections, answers short links with redirects, counts clicks, and proxies the hosts
//! of the API and the dashboard.
//!
//! A request comes in through `server`, which owns what Pingora leaves open (time and size limits of
//! a request head, connection caps, the TLS handshake), then passes Pingora's HTTP machinery and reaches
//! `proxy`. Short links go on to `redirect`: `cache` finds the link, the pure
//! [`vayro_core::resolve::resolve`] decides, `answer` writes, `clicks` counts. The edge knows its
//! back ends only as ports, see [`EdgeDeps`]. Start reading at `redirect.rs`.

mod admin_server;
mod answer;
mod cache;
mod clicks;
mod counter;
mod edge;
mod feed;
mod lane;
mod log_limit;
mod metrics;
mod misses;
mod pages;
mod proxy;
mod redirect;
mod report;
mod routes;
mod server;
mod settings;
mod shared;
mod shutdown;
mod snapshot;
mod tls;
mod upgrade;
mod upstream;
mod visitor;

pub mod admin;
pub mod process;

pub use edge::{BindError, Edge, EdgeAddresses, EdgeDeps, RunError};
pub use settings::{CertificateSettings, EdgeSettings, UpstreamSettings};
pub use shared::Clock;
pub use tls::CertificateError;
pub use upgrade::Upgrades;
pub use vayro_core::visit::{ClickAddress, PrivacySignal, UnknownHost};
