//! The edge: takes connections, answers short links with redirects, counts clicks, and proxies the hosts
//! of the API and the dashboard.
//!
//! A request comes in through `server`, which owns what Pingora leaves open (time and size limits of
//! a request head, connection caps, the TLS handshake), then passes Pingora's HTTP machinery and reaches
//! `proxy`. Short links go on to `redirect`: `cache` finds the link, the pure
//! [`vayro_core::resolve::resolve`] decides, `answer` writes, `clicks` counts. The edge knows its
//! back ends only as ports, see [`EdgeDeps`]. Start reading at `redirect.rs`.
//!
//! # Inside a proxy of your own
//!
//! [`Edge`] listens. A Pingora proxy that has listeners and routes already takes [`ShortLinks`] instead: the same
//! look-ups, answers and clicks without any socket. Four steps:
//!
//! 1. On a tokio runtime of your own, connect the back ends for [`Roles::EDGE`](vayro_backends::Roles::EDGE), take
//!    [`EdgeDeps::from_backends`], and [`ShortLinks::start`].
//! 2. Give [`ShortLinks::links`] to your proxy.
//! 3. In `request_filter`, after your own routes, return what [`Links::answer`] returns: true if the request was for a
//!    short link and is answered.
//! 4. When Pingora's server has ended (run it with `run`, since `run_forever` ends the process), call
//!    [`ShortLinks::finish`], which flushes every accepted click, and close the back ends.
//!
//! ```no_run
//! use async_trait::async_trait;
//! use pingora::proxy::{ProxyHttp, Session};
//! use pingora::upstreams::peer::HttpPeer;
//!
//! struct Site {
//!     links: vayro_edge::Links,
//! }
//!
//! #[async_trait]
//! impl ProxyHttp for Site {
//!     type CTX = ();
//!
//!     fn new_ctx(&self) -> Self::CTX {}
//!
//!     async fn request_filter(&self, session: &mut Session, _: &mut ()) -> pingora::Result<bool> {
//!         // Your own routes come first.
//!         self.links.answer(session).await
//!     }
//!
//!     async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> pingora::Result<Box<HttpPeer>> {
//!         Ok(Box::new(HttpPeer::new("127.0.0.1:9000", false, String::new())))
//!     }
//! }
//! ```
//!
//! `examples/beside_other_routes.rs` is a whole one.

mod admin_server;
mod answer;
mod cache;
mod challenges;
mod clicks;
mod counter;
mod edge;
mod embed;
mod feed;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
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
mod short_links;
mod shutdown;
mod snapshot;
mod tls;
mod upgrade;
mod upstream;
mod visitor;

pub mod admin;
pub mod process;

pub use edge::{BindError, Edge, EdgeAddresses, EdgeDeps, RunError};
pub use embed::{Links, ShortLinks};
pub use settings::{CertificateSettings, EdgeSettings, UpstreamSettings};
pub use shared::Clock;
pub use tls::CertificateError;
pub use upgrade::Upgrades;
pub use vayro_core::visit::{ClickAddress, PrivacySignal, UnknownHost};
