//! Certificates from a real ACME server, served by real edges.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Connection as _;
use vayro_testing::pebble::Pebble;
use vayro_testing::system::{Role, System, executable};
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

#[tokio::test]
async fn a_domain_of_a_clustered_system_gets_a_certificate_by_itself() {
    let database = postgres::database().await;
    let redis = redis::database().await;
    // Each request is refused at first more often than not.
    let (setup, pebble) = Setup::with(40).await;
    let mut system = System::clustered_with(&database.url, &redis.url, &setup.all()).await;
    system.start(Role::Helper).await;
    a_domain_gets_a_certificate_by_itself(&setup, &pebble, &system).await;

    // What is in the database opens with the key alone.
    let mut connection = sqlx::PgConnection::connect(&database.url).await.expect("the database answers");
    let row: (String, Vec<u8>) = sqlx::query_as("SELECT chain, sealed_key FROM certificates")
        .fetch_one(&mut connection)
        .await
        .expect("one certificate");
    assert!(row.0.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(!String::from_utf8_lossy(&row.1).contains("PRIVATE KEY"));
    let output = system.vayro(&["doctor"]);
    let doctor = String::from_utf8_lossy(&output.stdout);
    assert!(doctor.contains("1 issued, 0 on their way"), "{doctor}");
    let output = system.vayro(&["domain", "list"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("issued"), "{output:?}");

    // A renewal is served without a restart.
    let (_, first) = setup.visit(&pebble, "go.example.test", "hello").await.expect("it is served");
    sqlx::query("UPDATE certificates SET renew_at = now(), due_at = now()")
        .execute(&mut connection)
        .await
        .expect("one certificate");
    wait::until("another certificate is served", ISSUE_LIMIT, async || {
        let (_, shown) = setup.visit(&pebble, "go.example.test", "hello").await?;
        (shown != first).then_some(())
    })
    .await;
    assert_eq!(pebble.log().matches("Added order").count(), 2);

    // An edge that starts later has it too, without anybody ordering anything.
    system.kill(Role::Edge);
    system.kill(Role::Worker);
    system.kill(Role::Helper);
    system.start(Role::Edge).await;
    assert!(setup.visit(&pebble, "go.example.test", "hello").await.is_some());
    assert_eq!(pebble.log().matches("Added order").count(), 2);
}

#[tokio::test]
async fn a_refused_name_says_why_and_is_tried_again_when_asked_to() {
    let (mut setup, pebble) = Setup::with(5).await;
    setup.set("VAYRO_ACME__CHECK", "false");
    let system = setup.up().await;
    let host = "lost.example.test";
    pebble.set_reachable(host, false).await;
    let id = add_domain(&system, host).await;
    let failed = until_state(&system, &id, "failed").await;
    let reason = failed["certificate"]["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("the ACME server says: ") && reason.contains(host), "{reason}");
    assert_eq!(failed["verified_at"], Value::Null);
    assert!(failed["certificate"]["retry_at"].as_str() > failed["certificate"]["failed_at"].as_str());
    let listed = system.vayro(&["domain", "list"]);
    assert!(String::from_utf8_lossy(&listed.stderr).contains(reason), "{listed:?}");
    let orders = pebble.log().matches("Added order").count();
    assert_eq!(orders, 1, "the next try waits");

    pebble.set_reachable(host, true).await;
    let output = system.vayro(&["domain", "retry", host]);
    assert!(output.status.success(), "{output:?}");
    let issued = until_state(&system, &id, "issued").await;
    assert!(issued["verified_at"].is_string() && issued["certificate"]["reason"].is_null(), "{issued}");
    assert_eq!(pebble.log().matches("Added order").count(), 2);
}

#[tokio::test]
async fn a_name_that_does_not_lead_here_costs_no_order() {
    let (mut setup, pebble) = Setup::with(5).await;
    let silent = SocketAddr::from(([127, 0, 0, 1], port::free()));
    setup.set("VAYRO_ACME__CHECK_ADDRESS", &silent.to_string());
    let system = setup.up().await;
    let id = add_domain(&system, "elsewhere.example.test").await;
    let failed = until_state(&system, &id, "failed").await;
    let reason = failed["certificate"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("nothing answers over HTTP"), "{reason}");
    assert_eq!(pebble.log().matches("Added order").count(), 0);
}

/// Makes the issuer die at a point; the next one must finish the same order with the same key.
async fn the_next_issuer_finishes_the_order(failpoint: &str) {
    let (setup, pebble) = Setup::with(5).await;
    let mut system = setup.up().await;
    system.stop(Role::Edge);
    assert!(system.start_up_with(&[], &[("VAYRO_FAILPOINT", failpoint)]).await, "it got ready");
    let id = add_domain(&system, "go.example.test").await;
    wait::until("the issuer is dead", ISSUE_LIMIT, async || system.has_ended(Role::Edge).then_some(())).await;
    system.start_up(&[]).await;
    until_state(&system, &id, "issued").await;
    wait::until("the edge serves it", ISSUE_LIMIT, async || {
        setup.visit(&pebble, "go.example.test", "hello").await
    })
    .await;
    assert_eq!(pebble.log().matches("Added order").count(), 1, "{}", pebble.log());
}

#[tokio::test]
async fn an_issuer_that_dies_after_placing_an_order_leaves_it_to_the_next() {
    the_next_issuer_finishes_the_order("after_order:1").await;
}

#[tokio::test]
async fn an_issuer_that_dies_before_it_has_the_certificate_leaves_it_to_the_next() {
    the_next_issuer_finishes_the_order("after_finalize:1").await;
}

#[tokio::test]
async fn a_wildcard_is_proved_by_dns_and_covers_domains() {
    let (mut setup, pebble) = Setup::with(5).await;
    let script = format!(
        r#"case $1 in
           set) curl -sSf -d "{{\"host\":\"$VAYRO_DNS_NAME.\",\"value\":\"$VAYRO_DNS_VALUE\"}}" {0}/set-txt;;
           remove) curl -sSf -d "{{\"host\":\"$VAYRO_DNS_NAME.\"}}" {0}/clear-txt;;
           esac"#,
        pebble.dns_management()
    );
    let hook = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(hook.path(), script).expect("written");
    setup.set("VAYRO_ACME__NAMES", "*.example.test");
    setup.set("VAYRO_ACME__DNS_HOOK", &format!("/bin/sh,{}", hook.path().display()));
    setup.set("VAYRO_ACME__DNS_WAIT", "100ms");
    let system = setup.up().await;
    let id = add_domain(&system, "go.example.test").await;
    until_state(&system, &id, "issued").await;
    for host in ["go.example.test", "new.example.test"] {
        wait::until("the edge serves it", ISSUE_LIMIT, async || setup.visit(&pebble, host, "x").await).await;
    }
    assert_eq!(pebble.log().matches("Added order").count(), 1);
}

#[tokio::test]
async fn a_server_that_is_away_or_forgot_us_is_no_fault_of_the_name() {
    let (setup, mut pebble) = Setup::with(5).await;
    let system = setup.up().await;
    let first = add_domain(&system, "one.example.test").await;
    until_state(&system, &first, "issued").await;
    pebble.kill();
    let second = add_domain(&system, "two.example.test").await;
    let failed = until_state(&system, &second, "failed").await;
    let reason = failed["certificate"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("the ACME server cannot be worked with"), "{reason}");
    // It comes back without our account.
    pebble.start_again().await;
    until_state(&system, &second, "issued").await;
}

#[test]
fn what_acme_needs_and_lacks_is_said_before_anything_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("vayro.toml");
    std::fs::write(&file, "[acme]\nenabled = true\n").expect("written");
    for (name, arguments) in [("vayro", &["config", "check"][..]), ("vayro-worker", &[]), ("vayro-edge", &[])]
    {
        let mut command = std::process::Command::new(executable(name));
        let output = command.args(arguments).arg("--config").arg(&file).output().expect("it can be started");
        assert_eq!(output.status.code(), Some(64), "{name}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("acme.key") && said.contains("openssl rand -base64 32"), "{name}: {said}");
        assert!(said.contains("acme.terms_agreed"), "{name}: {said}");
    }
}
