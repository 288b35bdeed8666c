//! Certificates from a real ACME server, served by real edges.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use vayro_testing::pebble::Pebble;
use vayro_testing::system::{Role, System};
use vayro_testing::{port, postgres, redis, wait};

/// How long a certificate may take; a dead issuer is waited for half a minute.
const ISSUE_LIMIT: Duration = Duration::from_secs(120);
/// What seals keys in these tests.
const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// The settings of a system whose certificates come from `pebble`.
struct Setup {
    http: SocketAddr,
    https: SocketAddr,
    settings: Vec<(&'static str, String)>,
}

impl Setup {
    fn new() -> Self {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self { http: at(port::free()), https: at(port::free()), settings: Vec::new() }
    }

    async fn with(nonce_reject: u8) -> (Self, Pebble) {
        let mut setup = Self::new();
        let pebble = Pebble::start(setup.http.port(), nonce_reject).await;
        let (http, https) = (setup.http.to_string(), setup.https.to_string());
        setup.settings = vec![
            ("VAYRO_EDGE__LISTEN", http.clone()),
            ("VAYRO_EDGE__TLS_LISTEN", https),
            ("VAYRO_EDGE__HTTPS_PORT", setup.https.port().to_string()),
            ("VAYRO_ACME__ENABLED", "true".to_owned()),
            ("VAYRO_ACME__TERMS_AGREED", "true".to_owned()),
            ("VAYRO_ACME__DIRECTORY", pebble.directory()),
            ("VAYRO_ACME__ROOT_CERTIFICATES", pebble.root_file().display().to_string()),
            ("VAYRO_ACME__CONTACT", "operator@example.com".to_owned()),
            ("VAYRO_ACME__KEY", KEY.to_owned()),
            ("VAYRO_ACME__CHECK_ADDRESS", http),
            ("VAYRO_ACME__POLL", "1s".to_owned()),
        ];
        (setup, pebble)
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.settings.retain(|(known, _)| *known != name);
        self.settings.push((name, value.to_owned()));
    }

    fn all(&self) -> Vec<(&str, &str)> {
        self.settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    async fn up(&self) -> System {
        System::up_with(&[], &self.all()).await
    }

    /// A client that trusts what `pebble` issues, and finds `host` at the edge.
    async fn client(&self, pebble: &Pebble, host: &str) -> reqwest::Client {
        reqwest::Client::builder()
            .tls_certs_only([pebble.issuing_root().await])
            .tls_info(true)
            .pool_max_idle_per_host(0)
            .resolve(host, self.https)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(10))
            .build()
            .expect("a client can be made")
    }

    /// Visits a link on `host` over HTTPS; status and the certificate that was shown, `None` if the handshake fails.
    async fn visit(&self, pebble: &Pebble, host: &str, code: &str) -> Option<(u16, Vec<u8>)> {
        let url = format!("https://{host}:{}/{code}", self.https.port());
        let answer = self.client(pebble, host).await.get(url).send().await.ok()?;
        let shown = answer.extensions().get::<reqwest::tls::TlsInfo>()?.peer_certificate()?.to_vec();
        Some((answer.status().as_u16(), shown))
    }
}

async fn add_domain(system: &System, host: &str) -> String {
    let (status, domain) = system.api("POST", "/v1/domains", Some(json!({ "host": host }))).await;
    assert_eq!(status, 201, "{domain}");
    domain["id"].as_str().expect("an id").to_owned()
}

async fn domain(system: &System, id: &str) -> Value {
    let (status, domain) = system.api("GET", &format!("/v1/domains/{id}"), None).await;
    assert_eq!(status, 200, "{domain}");
    domain
}

async fn until_state(system: &System, id: &str, state: &str) -> Value {
    wait::until(&format!("certificate is {state}"), ISSUE_LIMIT, async || {
        Some(domain(system, id).await).filter(|domain| domain["certificate"]["state"] == state)
    })
    .await
}

/// Adds a domain with a link, waits for its certificate and visits the link over HTTPS.
async fn a_domain_gets_a_certificate_by_itself(setup: &Setup, pebble: &Pebble, system: &System) {
    let host = "go.example.test";
    assert!(setup.visit(pebble, host, "hello").await.is_none(), "there is no certificate yet");
    let id = add_domain(system, host).await;
    let link = json!({ "target_url": "https://example.com/", "short_code": "hello", "domain": host });
    let (status, link) = system.api("POST", "/v1/links", Some(link)).await;
    assert_eq!(status, 201, "{link}");
    let issued = until_state(system, &id, "issued").await;
    assert!(issued["verified_at"].is_string(), "{issued}");
    assert!(issued["certificate"]["not_after"].is_string(), "{issued}");
    assert_eq!(issued["certificate"]["reason"], Value::Null);
    let (status, _) =
        wait::until("the edge serves it", ISSUE_LIMIT, async || setup.visit(pebble, host, "hello").await)
            .await;
    assert_eq!(status, 302);
    // Nobody else's name gets one, however often it is asked for.
    for _ in 0..20 {
        assert!(setup.visit(pebble, "other.example.test", "hello").await.is_none());
    }
    assert_eq!(pebble.log().matches("Added order").count(), 1, "{}", pebble.log());
}

#[tokio::test]
async fn a_domain_of_an_embedded_system_gets_a_certificate_by_itself() {
    let (setup, pebble) = Setup::with(5).await;
    let system = setup.up().await;
    a_domain_gets_a_certificate_by_itself(&setup, &pebble, &system).await;
}
