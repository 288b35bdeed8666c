//! Connections, from the listening socket to a request that Pingora understands.
//!
//! Pingora's own listeners have no deadline for a request head, no cap on connections, a fixed handshake
//! time limit and an error line per failed handshake; its keep-alive wait has no end. So the edge takes
//! connections itself, runs inside Pingora's server as a service of its own, and hands complete request
//! heads to Pingora's HTTP/1 session, or the whole connection to its HTTP/2 loop.

mod balanced;
mod connection;
mod h1;
mod h2;
pub(crate) mod head;
mod idle;
mod io;
mod limits;
mod listen;
mod prefixed;
pub(crate) mod proxy_header;
mod service;

pub(crate) use limits::ConnectionLimits;
pub(crate) use listen::{Listener, listen};
pub(crate) use service::EdgeService;
