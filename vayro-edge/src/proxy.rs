//! The edge inside Pingora's request phases: who answers a request, and what other servers are told.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderValue;
use http::header::STRICT_TRANSPORT_SECURITY;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::http::ServerSession;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};
use vayro_core::visit::{Page, normal_host, visitor_address};

use crate::answer;
use crate::challenges;
use crate::log_limit::LogLimit;
use crate::redirect;
use crate::routes::{Route, host_buffer};
use crate::shared::Shared;
use crate::short_links::{Routed, authority, is_https, route};
use crate::upstream::{Upstream, set_forwarded};

/// Answers short links and proxies other hosts.
pub(crate) struct EdgeProxy {
    shared: Arc<Shared>,
    failures: LogLimit,
}

/// What one request remembers between phases.
#[derive(Default)]
pub(crate) struct RequestContext {
    upstream: Option<Arc<Upstream>>,
    /// Tries so far.
    tries: u32,
}

/// Addresses of another server tried for one request.
const TRIES_MAX: u32 = 2;

impl EdgeProxy {
    /// Makes the request phases of one edge.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, failures: LogLimit::new() }
    }

    /// Answers the request and tells that it did, or remembers which server should.
    async fn route(&self, session: &mut ServerSession, ctx: &mut RequestContext) -> pingora::Result<bool> {
        let shared = &*self.shared;
        if let Some(token) = challenges::asked_for(shared, session.req_header()) {
            let mut buffer = host_buffer();
            let request = session.req_header();
            let host = authority(request).and_then(|authority| normal_host(authority, &mut buffer));
            let is_ours = !matches!(shared.routes.find(host), Route::Upstream(_));
            let visitor = peer_ip(session)
                .map(|peer| visitor_address(peer, &request.headers, &shared.settings.trusted_proxies));
            if challenges::answer(shared, session, &token, visitor, is_ours).await? {
                return Ok(true);
            }
        }
        match route(shared, session).await? {
            Routed::Answered => {}
            Routed::Upstream(upstream) => {
                shared.metrics.proxied.add_one();
                ctx.upstream = Some(upstream);
                return Ok(false);
            }
            Routed::UnknownHost => {
                shared.metrics.unknown_host.add_one();
                redirect::page(shared, session, Page::UnknownHost).await?;
            }
        }
        Ok(true)
    }
}

#[async_trait]
impl ProxyHttp for EdgeProxy {
    type CTX = RequestContext;

    fn new_ctx(&self) -> Self::CTX {
        RequestContext::default()
    }

    // Without this every request makes a compression module that nobody uses.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> pingora::Result<bool> {
        // Over HTTP/2 a client that opens no window takes nothing although its connection takes everything.
        session.downstream_session.set_write_timeout(Some(self.shared.settings.write_timeout));
        self.route(&mut session.downstream_session, ctx).await
    }

    async fn upstream_peer(&self, _: &mut Session, ctx: &mut Self::CTX) -> pingora::Result<Box<HttpPeer>> {
        ctx.tries += 1;
        ctx.upstream
            .as_ref()
            .and_then(|upstream| upstream.peer())
            .ok_or_else(|| Error::explain(ErrorType::ConnectNoRoute, "upstream has no address").into_up())
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        ctx: &mut Self::CTX,
        mut error: Box<Error>,
    ) -> Box<Error> {
        // Nothing was sent, so another address is safe to try whatever the method.
        error.set_retry(ctx.tries < TRIES_MAX);
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        _: &mut Self::CTX,
    ) -> pingora::Result<()> {
        let session = &session.downstream_session;
        let shared = &*self.shared;
        let peer = peer_ip(session);
        let asked = session.req_header();
        let visitor = peer.unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let visitor = visitor_address(visitor, &asked.headers, &shared.settings.trusted_proxies);
        let host = authority(asked).and_then(|host| HeaderValue::from_bytes(host).ok());
        set_forwarded(request, visitor, is_https(shared, session, peer), host)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        _: &mut Self::CTX,
    ) -> pingora::Result<()> {
        if let Some(hsts) = self.shared.hsts.as_ref().filter(|_| answer::is_tls(&session.downstream_session))
            && !response.headers.contains_key(STRICT_TRANSPORT_SECURITY)
        {
            response.insert_header(STRICT_TRANSPORT_SECURITY, hsts.clone())?;
        }
        if self.shared.is_draining() {
            session.set_keepalive(None);
        }
        Ok(())
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, _: &mut Self::CTX) -> FailToProxy {
        let shared = &*self.shared;
        // The client is at fault or gone; it learns nothing from a page.
        let is_ours = *error.esource() != ErrorSource::Downstream;
        if is_ours {
            shared.metrics.upstream_failed.add_one();
            if let Some(held_back) = self.failures.turn((shared.clock)()) {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    held_back,
                    "request was not answered"
                );
            }
        }
        let (status, page) = match error.etype() {
            ErrorType::ConnectTimedout | ErrorType::ReadTimedout => (504, Page::GatewayTimeout),
            _ => (502, Page::BadGateway),
        };
        let session = &mut session.downstream_session;
        if is_ours && session.response_written().is_none() {
            session.set_keepalive(None);
            if redirect::page(shared, session, page).await.is_err() {
                tracing::debug!("client left before its error page");
            }
        }
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }

    fn suppress_error_log(&self, _: &Session, _: &Self::CTX, _: &Error) -> bool {
        // Logged above, at a limited rate; failures of the client's side are no news.
        true
    }
}

/// Returns who is connected.
pub(crate) fn peer_ip(session: &ServerSession) -> Option<IpAddr> {
    Some(session.client_addr()?.as_inet()?.ip())
}
