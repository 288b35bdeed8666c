//! A Pingora proxy with routes of its own that answers short links beside them.
//!
//! `/hello` is its own, hosts of short links are answered here, everything else goes to another server:
//!
//! ```console
//! $ VAYRO_EDGE__UNKNOWN_HOST=reject cargo run -p vayro-edge --example beside_other_routes 127.0.0.1:8080 127.0.0.1:9000
//! ```
//!
//! Back ends and settings are those of `vayro-edge`: variables such as `VAYRO_BACKEND__DATA_DIR`, see `docs/config.md`.

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::ResponseHeader;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use pingora::upstreams::peer::HttpPeer;
use vayro_backends::config::{BackendConfig, InstanceSettings, Layers};
use vayro_backends::{Backends, Roles};
use vayro_edge::{EdgeDeps, EdgeSettings, Links, ShortLinks};

struct Site {
    links: Links,
    other_server: String,
}

#[async_trait]
impl ProxyHttp for Site {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn request_filter(&self, session: &mut Session, (): &mut Self::CTX) -> pingora::Result<bool> {
        if session.req_header().uri.path() == "/hello" {
            let body = Bytes::from_static(b"hello\n");
            let mut header = ResponseHeader::build(200, Some(1))?;
            header.insert_header("content-length", body.len())?;
            session.write_response_header(Box::new(header), false).await?;
            session.write_response_body(Some(body), true).await?;
            return Ok(true);
        }
        self.links.answer(session).await
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut Self::CTX) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.other_server.as_str(), false, String::new())))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().ok_or("name the address to listen on")?;
    let other_server = arguments.next().ok_or("name the address of the other server")?;

    let layers = Layers::load(None, std::env::vars(), &[])?;
    let mut errors = layers.errors();
    let instance = InstanceSettings::read(&layers, &mut errors);
    let backend = BackendConfig::read(&layers, &mut errors);
    let settings = EdgeSettings::read(&layers, &mut errors);
    errors.finish()?;
    let (Some(instance), Some(backend), Some(settings)) = (instance, backend, settings) else {
        return Err("settings are missing".into());
    };

    // Back ends and what runs beside the answers live on this runtime; Pingora makes runtimes of its own.
    let runtime = tokio::runtime::Runtime::new()?;
    let backends = runtime.block_on(Backends::connect(&backend, Roles::EDGE))?;
    let deps = {
        let _context = runtime.enter();
        EdgeDeps::from_backends(&backends, instance.default_host())
    };
    let short_links = runtime.block_on(ShortLinks::start(settings, deps));

    let conf = ServerConf {
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(5),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let site = Site { links: short_links.links(), other_server };
    let mut service = http_proxy_service(&Arc::clone(&server.configuration), site);
    service.add_tcp(&listen);
    server.add_service(service);
    // Until SIGTERM. `run_forever` would end the process with clicks in memory.
    server.run(RunArgs::default());

    runtime.block_on(async {
        short_links.finish().await;
        backends.close().await;
    });
    Ok(())
}
