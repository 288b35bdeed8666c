//! The axum API: `/v1`, sign-in, OpenAPI.
//!
//! Handlers read a request, ask core's ports and show the answer; who may do what is decided in
//! `vayro_core::access` alone, every refusal is a [`problem`] document, and no SQL or Redis is in sight.
//! Start reading at [`router()`], then a route's module, such as `links`. The rules that all routes
//! follow are in `docs/api-design.md`.

mod accounts;
mod analytics;
mod audit;
mod auth;
mod bootstrap;
mod clock;
mod context;
mod cursor;
mod domains;
mod events;
mod explain;
mod export;
mod extract;
mod health;
mod idempotency;
mod keys;
mod layers;
mod links;
mod live;
mod me;
mod metrics;
mod network;
mod openapi;
mod ops;
mod outbox;
mod page;
pub mod problem;
pub mod process;
mod router;
mod schema;
mod serve;
mod sessions;
mod settings;
mod shares;
mod slots;
mod state;
mod text;
mod workspaces;

pub use accounts::{AccountError, CreatedAccount, NewAccount, create_user, set_password, system_context};
pub use auth::{PASSWORD_LEN_MAX, PASSWORD_LEN_MIN, PasswordError, Passwords};
pub use bootstrap::{FirstAccount, bootstrap};
pub use clock::{Clock, Random};
pub use explain::{EdgeMemory, Explainer, VisitSettings};
pub use health::is_ready;
pub use metrics::Metrics;
pub use outbox::OutboxSignal;
pub use router::{openapi_document, router};
pub use serve::{serve, serve_admin, serve_state};
pub use settings::ApiSettings;
pub use state::{ApiState, Ports, SharedState};
