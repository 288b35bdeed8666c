//! HTTPS: certificates by name, both protocols, and the way from HTTP.

use std::path::Path;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vayro_edge::{CertificateSettings, EdgeSettings, UpstreamSettings};

use crate::client::Client;
use crate::proxying::{Server, said};
use crate::world::{TestEdge, World, host, until};

/// A directory with certificates.
pub(crate) struct Certificates {
    directory: TempDir,
    settings: Vec<CertificateSettings>,
    roots: Vec<CertificateDer<'static>>,
}

impl Certificates {
    pub(crate) fn new(names: &[&[&str]]) -> Self {
        let directory = TempDir::new().expect("a directory");
        let mut certificates = Self { directory, settings: Vec::new(), roots: Vec::new() };
        for (number, names) in names.iter().enumerate() {
            let certificate = certificates.directory.path().join(format!("{number}.pem"));
            let key = certificates.directory.path().join(format!("{number}.key"));
            let root = write(names, &certificate, &key);
            certificates.settings.push(CertificateSettings { certificate, key });
            certificates.roots.push(root);
        }
        certificates
    }

    pub(crate) fn set(&self, settings: &mut EdgeSettings) {
        settings.tls_listen = vec!["127.0.0.1:0".parse().expect("valid")];
        settings.certificates.clone_from(&self.settings);
    }

    /// Makes a client that trusts these certificates and nothing else.
    pub(crate) fn connector(&self, alpn: &[&[u8]]) -> TlsConnector {
        connector_with(&self.roots, alpn)
    }

    /// Makes a client that asks for `names` at the edge.
    fn client(&self, edge: &TestEdge, names: &[&str]) -> reqwest::Client {
        let root = reqwest::Certificate::from_der(&self.roots[0]).expect("a certificate");
        let client = reqwest::Client::builder().tls_certs_only([root]);
        let client = names.iter().fold(client, |client, name| client.resolve(name, edge.https()));
        client.redirect(reqwest::redirect::Policy::none()).build().expect("a client")
    }

    /// Connects as a new client.
    pub(crate) async fn connect(
        &self,
        edge: &TestEdge,
        name: &str,
        alpn: &[&[u8]],
    ) -> Option<TlsStream<TcpStream>> {
        shake_hands(&self.connector(alpn), edge, name).await
    }
}

pub(crate) fn connector_with(trusted: &[CertificateDer<'static>], alpn: &[&[u8]]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// Connects as a new client that trusts `root` and nothing else.
pub(crate) async fn connect_with_root(
    edge: &TestEdge,
    name: &str,
    root: &CertificateDer<'static>,
) -> Option<TlsStream<TcpStream>> {
    shake_hands(&connector_with(std::slice::from_ref(root), &[]), edge, name).await
}

pub(crate) async fn shake_hands(
    connector: &TlsConnector,
    edge: &TestEdge,
    name: &str,
) -> Option<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(edge.https()).await.expect("edge listens");
    let name = ServerName::try_from(name.to_owned()).expect("valid");
    connector.connect(name, tcp).await.ok()
}

fn write(names: &[&str], certificate: &Path, key: &Path) -> CertificateDer<'static> {
    let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).expect("generated");
    std::fs::write(certificate, cert.pem()).expect("written");
    std::fs::write(key, signing_key.serialize_pem()).expect("written");
    cert.der().clone()
}

async fn start(certificates: &Certificates) -> TestEdge {
    TestEdge::start_with(World::new(), |settings| certificates.set(settings)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_gets_its_certificate() {
    let certificates = Certificates::new(&[&["vay.ro", "api.vay.ro"], &["*.example.com"]]);
    let edge = start(&certificates).await;
    edge.world.put("launch", |_| {});
    for (name, is_covered) in [
        ("vay.ro", true),
        ("api.vay.ro", true),
        ("go.example.com", true),
        ("a.b.example.com", false),
        ("else.example", false),
    ] {
        let stream = certificates.connect(&edge, name, &[b"http/1.1"]).await;
        assert_eq!(stream.is_some(), is_covered, "{name}");
        if let Some(stream) = stream {
            assert_eq!(Client::over(stream).get("/launch").await.status(), 302, "{name}");
        }
    }
    // A client that refuses our certificate is a number in the metrics.
    edge.until_metric("vayro_edge_tls_handshakes_total{result=\"failed\"}", 2.0).await;
    assert!((edge.metric("vayro_edge_certificate_names") - 3.0).abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_use_the_provider_with_post_quantum_key_exchange() {
    let certificates = Certificates::new(&[&["vay.ro"]]);
    let edge = start(&certificates).await;
    let stream = certificates.connect(&edge, "vay.ro", &[]).await.expect("connects");
    let group = stream.get_ref().1.negotiated_key_exchange_group().expect("negotiated").name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_speaks_either_protocol_over_tls() {
    let certificates = Certificates::new(&[&["vay.ro"]]);
    let edge = start(&certificates).await;
    edge.world.put("launch", |_| {});
    let root = reqwest::Certificate::from_der(&certificates.roots[0]).expect("a certificate");
    for (client, version) in [
        (reqwest::Client::builder(), reqwest::Version::HTTP_2),
        (reqwest::Client::builder().http1_only(), reqwest::Version::HTTP_11),
    ] {
        let client = client
            .tls_certs_only([root.clone()])
            .redirect(reqwest::redirect::Policy::none())
            .resolve("vay.ro", edge.https())
            .build()
            .expect("a client");
        let url = format!("https://vay.ro:{}/launch", edge.https().port());
        for _ in 0..3 {
            let answer = client.get(&url).header("user-agent", "test").send().await.expect("an answer");
            assert_eq!((answer.status().as_u16(), answer.version()), (302, version));
            assert_eq!(answer.headers()["location"], "https://example.com/launch");
        }
        let missing = client.get(format!("{url}x")).send().await.expect("an answer");
        assert_eq!(missing.status().as_u16(), 404);
        assert!(missing.text().await.expect("a body").contains("Not found"));
    }
    let clicks = edge.stop().await.clicks();
    assert_eq!(clicks.len(), 6);
    assert!(clicks.iter().all(|click| &*click.user_agent == "test" && click.ip.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_finds_its_host_in_the_request_target() {
    let certificates = Certificates::new(&[&["go.example.com", "api.example.com"]]);
    let server = Server::start().await;
    let world = World::new();
    world.hosts.lock().push(host("go.example.com"));
    let edge = TestEdge::start_with(world, |settings| {
        certificates.set(settings);
        settings.upstreams = vec![UpstreamSettings {
            host: host("api.example.com"),
            address: server.address.to_string(),
            tls: false,
        }];
    })
    .await;
    edge.world.put_on(Some("go.example.com"), "launch", |_| {});
    let client = certificates.client(&edge, &["go.example.com", "api.example.com"]);
    let port = edge.https().port();
    let short = client.get(format!("https://go.example.com:{port}/launch")).send().await.expect("an answer");
    assert_eq!((short.status().as_u16(), short.version()), (302, reqwest::Version::HTTP_2));
    let api = client.post(format!("https://api.example.com:{port}/v1/links")).body("{}");
    let api = api.send().await.expect("an answer");
    assert_eq!(api.version(), reqwest::Version::HTTP_2);
    assert_eq!(api.text().await.expect("a body"), "served");
    let request = server.last();
    assert!(request.starts_with("POST /v1/links HTTP/1.1\r\n") && request.ends_with("{}"), "{request}");
    let said = said(&request);
    assert!(said.contains(&format!("host: api.example.com:{port}")), "{said:?}");
    assert!(said.contains(&"x-forwarded-proto: https".to_owned()), "{said:?}");
    assert!(said.contains(&"x-forwarded-for: 127.0.0.1".to_owned()), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_leads_to_https_for_hosts_with_a_certificate() {
    let certificates = Certificates::new(&[&["vay.ro"]]);
    let edge = TestEdge::start_with(World::new(), |settings| {
        certificates.set(settings);
        settings.https_port = 8443;
        settings.trusted_proxies = vec!["127.0.0.1/32".parse().expect("valid")];
    })
    .await;
    edge.world.put("launch", |_| {});
    let mut client = Client::connect(edge.http()).await;
    let answer = client.get("/launch?a=b").await;
    assert_eq!((answer.status(), answer.location()), (308, "https://vay.ro:8443/launch?a=b"));
    assert_eq!(answer.header("connection"), Some("keep-alive"));
    // The visitor speaks HTTPS with the proxy in front of us.
    assert_eq!(client.get_with("/launch", "X-Forwarded-Proto: https\r\n").await.status(), 302);
    client.send("GET /launch HTTP/1.1\r\nHost: plain.example\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificates_are_taken_over_and_broken_ones_are_not() {
    let mut certificates = Certificates::new(&[&["vay.ro"]]);
    let edge = start(&certificates).await;
    assert!(certificates.connect(&edge, "new.example", &[]).await.is_none());
    let CertificateSettings { certificate, key } = certificates.settings[0].clone();
    certificates.roots = vec![write(&["vay.ro", "new.example"], &certificate, &key)];
    edge.until_metric("vayro_edge_certificate_names", 2.0).await;
    assert!(certificates.connect(&edge, "new.example", &[]).await.is_some());
    std::fs::write(&certificate, "rubbish").expect("written");
    tokio::time::timeout(crate::world::PATIENCE, async {
        for _ in 0..10 {
            assert!(certificates.connect(&edge, "new.example", &[]).await.is_some());
        }
    })
    .await
    .expect("in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_is_let_go() {
    let certificates = Certificates::new(&[&["vay.ro"]]);
    let edge = TestEdge::start_with(World::new(), |settings| {
        certificates.set(settings);
        settings.handshake_timeout = std::time::Duration::from_millis(100);
        settings.head_timeout = std::time::Duration::from_millis(100);
    })
    .await;
    // Before the handshake, and behind it: HTTP/2 agreed and no preface sent.
    let mut silent = Client::connect(edge.https()).await;
    assert!(silent.until_closed().await.is_empty());
    edge.until_metric("vayro_edge_tls_handshakes_total{result=\"timed_out\"}", 1.0).await;
    let stream = certificates.connect(&edge, "vay.ro", &[b"h2"]).await.expect("connects");
    assert!(Client::over(stream).until_closed().await.is_empty());
    until("places are given back", || edge.metric("vayro_edge_connections") < 0.5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_certificates_are_found_at_start() {
    use vayro_edge::{BindError, CertificateError};
    let certificates = Certificates::new(&[&["vay.ro"], &["other.example"]]);
    let with = |change: &dyn Fn(&mut Vec<CertificateSettings>)| {
        let mut settings = certificates.settings.clone();
        change(&mut settings);
        settings
    };
    let swapped = with(&|settings| settings[0].key = settings[1].key.clone());
    let missing = with(&|settings| settings[0].key = "/no/such/file".into());
    let none = with(&|settings| settings.clear());
    assert!(matches!(bind(swapped).await, BindError::Certificate(CertificateError::Use { .. })));
    assert!(matches!(bind(missing).await, BindError::Certificate(CertificateError::Read { .. })));
    assert!(matches!(bind(none).await, BindError::NoCertificate));
}

async fn bind(certificates: Vec<CertificateSettings>) -> vayro_edge::BindError {
    crate::world::bind_error(|settings| {
        settings.tls_listen = vec!["127.0.0.1:0".parse().expect("valid")];
        settings.certificates = certificates;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_returning_visitor_resumes_however_many_came_between() {
    let certificates = Certificates::new(&[&["vay.ro"]]);
    let edge = start(&certificates).await;
    edge.world.put("launch", |_| {});
    let returning = certificates.connector(&[]);
    let visit = async |connector: &TlsConnector| {
        let stream = shake_hands(connector, &edge, "vay.ro").await.expect("connects");
        let kind = stream.get_ref().1.handshake_kind().expect("done");
        // Tickets come behind the handshake; an answer shows that they are here.
        assert_eq!(Client::over(stream).get("/launch").await.status(), 302);
        kind
    };
    assert_eq!(visit(&returning).await, HandshakeKind::Full);
    for _ in 0..300 {
        visit(&certificates.connector(&[])).await;
    }
    assert_eq!(visit(&returning).await, HandshakeKind::Resumed);
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_told_to_come_by_https_over_https_only() {
    const NAME: &str = "strict-transport-security";
    let certificates = Certificates::new(&[&["vay.ro", "api.vay.ro"]]);
    let server = Server::start().await;
    let address = server.address.to_string();
    let edge = TestEdge::start_with(World::new(), |settings| {
        certificates.set(settings);
        settings.hsts = std::time::Duration::from_hours(24);
        settings.upstreams = vec![UpstreamSettings { host: host("api.vay.ro"), address, tls: false }];
    })
    .await;
    edge.world.put("launch", |_| {});
    let stream = certificates.connect(&edge, "vay.ro", &[]).await.expect("connects");
    let mut secure = Client::over(stream);
    // The first answer comes from behind the lane, the second from the lane.
    for status in [302, 302] {
        let answer = secure.get("/launch").await;
        assert_eq!((answer.status(), answer.header(NAME)), (status, Some("max-age=86400")));
    }
    assert_eq!(secure.get("/missing").await.header(NAME), Some("max-age=86400"));
    let client = certificates.client(&edge, &["vay.ro", "api.vay.ro"]);
    for (host, path) in [("vay.ro", "launch"), ("api.vay.ro", "v1/links")] {
        let url = format!("https://{host}:{}/{path}", edge.https().port());
        let answer = client.get(url).send().await.expect("an answer");
        assert_eq!(
            (answer.version(), answer.headers().get(NAME).map(reqwest::header::HeaderValue::as_bytes)),
            (reqwest::Version::HTTP_2, Some(&b"max-age=86400"[..])),
            "{host}"
        );
    }
    let mut plain = Client::connect(edge.http()).await;
    for path in ["/launch", "/launch", "/missing"] {
        assert_eq!(plain.get(path).await.header(NAME), None, "{path}");
    }
}
