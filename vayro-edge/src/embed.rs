//! Short links inside another Pingora proxy.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use pingora::proxy::Session;

use crate::admin::Observer;
use crate::edge::EdgeDeps;
use crate::settings::EdgeSettings;
use crate::shared::Shared;
use crate::short_links::{Core, Routed, Running, route};
use crate::tls::Certificates;

/// Answers short links inside a Pingora proxy of your own: look-ups through memory and back ends, invalidations,
/// clicks, and the last flush. [`ShortLinks::start`] starts it, [`Links::answer`] answers one request,
/// [`ShortLinks::finish`] flushes.
///
/// What belongs to listeners is the proxy's own business: TLS, limits of connections and of request heads, and the
/// settings about them have no effect here; nor have `edge.upstreams`. Requests are answered in Pingora's phases;
/// the fast lane, which reads bytes before Pingora does, is part of [`Edge`](crate::Edge) only.
pub struct ShortLinks {
    links: Links,
    running: Running,
}

/// Answers requests; cheap to clone, and useless after [`ShortLinks::finish`].
#[derive(Clone)]
pub struct Links {
    shared: Arc<Shared>,
}

impl ShortLinks {
    /// Reads the domains and starts what runs beside the answers, on the current runtime, which must go on until
    /// [`Self::finish`] has returned. Back ends may be out of reach; then they are tried again.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn start(settings: EdgeSettings, deps: EdgeDeps) -> Self {
        let core = Core::new(settings, deps, Certificates::none(), Vec::new()).await;
        core.shared.is_serving.store(true, Ordering::Release);
        let links = Links { shared: Arc::clone(&core.shared) };
        Self { links, running: core.start() }
    }

    /// Returns what answers requests, for the proxy.
    pub fn links(&self) -> Links {
        self.links.clone()
    }

    /// Returns what sees into it: readiness and metrics, see [`crate::admin`].
    pub fn observer(&self) -> Observer {
        Observer { shared: Arc::clone(&self.links.shared) }
    }

    /// Hands every accepted click to the back ends, within `edge.flush_timeout`, and ends. Call it when Pingora's server
    /// has ended: clicks that are accepted later are lost.
    pub async fn finish(self) {
        self.running.finish().await;
    }
}

impl Links {
    /// Answers the request of `session` if its host is one of short links, counts the visit, and tells whether it did:
    /// what `request_filter` returns. The host of any request is one of short links unless `edge.unknown_host` is
    /// `reject`, so ask after your own routes.
    ///
    /// The future may be dropped; a visit counts once its answer was written.
    ///
    /// # Errors
    ///
    /// Pingora's, when the client is gone.
    pub async fn answer(&self, session: &mut Session) -> pingora::Result<bool> {
        let routed = route(&self.shared, &mut session.downstream_session).await?;
        Ok(matches!(routed, Routed::Answered))
    }
}
