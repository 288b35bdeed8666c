//! The Pingora edge: TLS, redirect, reverse proxy
