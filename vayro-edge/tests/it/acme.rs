//! Certificates that were issued: answers to ACME servers, and what handshakes get.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;
use tokio::task::JoinSet;
use vayro_backends::config::{Acme, AcmeConfig, Layers};
use vayro_backends::vault::key_purpose;
use vayro_core::certificate::{Certificate, Challenge, TICKET_PERIOD, Validity};
use vayro_core::change::Invalidation;
use vayro_edge::{EdgeSettings, UpstreamSettings};

use crate::client::Client;
use crate::proxying::Server;
use crate::tls::{connect_with_root, connector_with, shake_hands};
use crate::world::{Mood, TestEdge, World, host, until};

/// As in `challenges.rs`, whose promise it is.
const LOOK_PAUSE: Duration = Duration::from_millis(250);

fn acme() -> Arc<AcmeConfig> {
    let flags = [("enabled", "true"), ("terms_agreed", "true"), ("key", &"07".repeat(32)), ("poll", "1h")]
        .map(|(name, value)| (format!("acme.{name}"), value.to_owned()));
    let flags: Vec<(&str, String)> = flags.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    let layers = Layers::load(None, std::iter::empty(), &flags).expect("loads");
    let acme = Acme::read(&layers, &mut layers.errors()).expect("sound");
    Arc::clone(acme.on().expect("on"))
}

fn on(settings: &mut EdgeSettings) {
    settings.acme = Some(acme());
    settings.tls_listen = vec!["127.0.0.1:0".parse().expect("valid")];
}

/// Issues a certificate in `world`, and returns what vouches for it.
fn issue(world: &World, config: &AcmeConfig, name: &str, version: u64) -> CertificateDer<'static> {
    let key = KeyPair::generate().expect("a key");
    let made =
        CertificateParams::new(vec![name.to_owned()]).expect("a name").self_signed(&key).expect("signed");
    let name = name.parse().expect("valid");
    let at = world.now().plus(Duration::from_secs(version));
    let certificate = Certificate {
        sealed_key: config.vault.seal(&key_purpose(&name), key.serialize_pem().as_bytes()),
        name,
        chain: made.pem(),
        validity: Validity { not_before: at, not_after: at.plus(Duration::from_hours(24)) },
        issued_at: at,
    };
    let mut issued = world.issued.lock();
    issued.retain(|other| other.name != certificate.name);
    issued.push(certificate);
    made.der().clone()
}

fn challenge(world: &World, token: &str) {
    let expires_at = world.now().plus(Duration::from_mins(10));
    let answer = format!("{token}.thumbprint");
    world.challenges.lock().push(Challenge { token: token.to_owned(), answer, expires_at });
}

async fn ask(client: &mut Client, host: &str, token: &str) -> (u16, String) {
    let path = format!("/.well-known/acme-challenge/{token}");
    client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    let answer = client.answer().await;
    (answer.status(), String::from_utf8_lossy(&answer.body).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acme_server_is_answered_before_anything_else() {
    let world = World::new();
    issue(&world, &acme(), "vay.ro", 0);
    let server = Server::start().await;
    let address = server.address.to_string();
    let edge = TestEdge::start_with(world, |settings| {
        on(settings);
        settings.upstreams = vec![UpstreamSettings { host: host("api.vay.ro"), address, tls: false }];
    })
    .await;
    let token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA";
    let mut client = Client::connect(edge.http()).await;
    // Everything else on this host leads to HTTPS.
    client.send("GET /launch HTTP/1.1\r\nHost: vay.ro\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 308);
    assert_eq!(ask(&mut client, "vay.ro", token).await.0, 404, "nobody asked for a certificate");
    challenge(&edge.world, token);
    for host in ["vay.ro", "not-registered.example", "api.vay.ro"] {
        assert_eq!(ask(&mut client, host, token).await, (200, format!("{token}.thumbprint")), "{host}");
    }
    // The server behind may have asked for a certificate of its own.
    assert_eq!(ask(&mut client, "api.vay.ro", &"x".repeat(43)).await, (200, "served".to_owned()));
    for token in ["", "..", "%2e%2e", "short", &"x".repeat(129)] {
        let looks = edge.world.challenge_looks.load(Ordering::SeqCst);
        assert_eq!(ask(&mut client, "vay.ro", token).await.0, 404, "{token}");
        assert_eq!(edge.world.challenge_looks.load(Ordering::SeqCst), looks, "{token} can be no token");
    }
    edge.world.challenges.lock().clear();
    edge.world.advance(Duration::from_mins(11));
    assert_eq!(ask(&mut client, "vay.ro", token).await.0, 404, "it has expired");
    assert!(edge.metric("vayro_edge_acme_challenges_total{result=\"answered\"}") >= 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_made_up_tokens_hardly_reaches_the_database_and_hides_no_real_one() {
    let edge = TestEdge::start_with(World::new(), on).await;
    let began = Instant::now();
    let mut flood = JoinSet::new();
    for visitor in 0..50 {
        let address = edge.http();
        flood.spawn(async move {
            let mut client = Client::connect(address).await;
            for number in 0..5 {
                let token = format!("{visitor:0>20}-{number:0>20}");
                assert_eq!(ask(&mut client, "default.example", &token).await.0, 404);
            }
        });
    }
    until("the flood has begun", || edge.world.challenge_looks.load(Ordering::SeqCst) > 1).await;
    let token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA";
    challenge(&edge.world, token);
    let mut client = Client::connect(edge.http()).await;
    assert_eq!(ask(&mut client, "default.example", token).await.0, 200);
    while let Some(ended) = flood.join_next().await {
        ended.expect("every visitor is answered");
    }
    let looks = edge.world.challenge_looks.load(Ordering::SeqCst);
    let most = began.elapsed().as_millis() / LOOK_PAUSE.as_millis() + 1;
    assert!((looks as u128) <= most, "{looks} looks, at most {most} are allowed");
    assert!((edge.metric("vayro_edge_acme_challenges_total{result=\"unknown\"}") - 250.0).abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_costs_an_answer_and_nothing_else() {
    let world = World::new();
    *world.issued_mood.lock() = Mood::Failing;
    let edge = TestEdge::start_with(world, on).await;
    edge.world.put("launch", |_| {});
    let mut client = Client::connect(edge.http()).await;
    assert_eq!(ask(&mut client, "default.example", &"x".repeat(43)).await.0, 404);
    assert_eq!(client.get("/launch").await.status(), 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificates_come_into_use_without_a_restart() {
    let (world, config) = (World::new(), acme());
    let first = issue(&world, &config, "go.example.com", 0);
    let edge = TestEdge::start_with(world, on).await;
    edge.world.put("launch", |_| {});
    let connect = async |name, root| connect_with_root(&edge, name, root).await;
    assert!(connect("go.example.com", &first).await.is_some());
    // Without certificates from files unknown names end in an alert.
    assert!(connect("other.example.com", &first).await.is_none());

    let second = issue(&edge.world, &config, "go.example.com", 1);
    let wildcard = issue(&edge.world, &config, "*.example.net", 1);
    edge.world.tell(Invalidation::Domains);
    edge.until_metric("vayro_edge_certificate_names", 2.0).await;
    assert!(connect("go.example.com", &second).await.is_some());
    let stream = connect("a.example.net", &wildcard).await.expect("covered");
    assert_eq!(Client::over(stream).get("/launch").await.status(), 302);
    assert!(connect("a.b.example.net", &wildcard).await.is_none());

    // One that cannot be opened leaves the old one in place.
    let other = Acme::read(
        &Layers::load(
            None,
            std::iter::empty(),
            &[
                ("acme.enabled", "true".to_owned()),
                ("acme.terms_agreed", "true".to_owned()),
                ("acme.key", "08".repeat(32)),
            ],
        )
        .expect("loads"),
        &mut Layers::load(None, std::iter::empty(), &[]).expect("loads").errors(),
    )
    .expect("sound");
    issue(&edge.world, other.on().expect("on"), "go.example.com", 2);
    issue(&edge.world, other.on().expect("on"), "new.example.com", 2);
    edge.world.tell(Invalidation::Domains);
    edge.until_metric("vayro_edge_certificates_unusable", 1.0).await;
    assert!(connect("go.example.com", &second).await.is_some());

    edge.world.issued.lock().clear();
    edge.world.tell(Invalidation::Domains);
    until("they are gone", || edge.metric("vayro_edge_certificate_names") < 0.5).await;
    assert!(connect("go.example.com", &second).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_before_what_was_issued() {
    let (world, config) = (World::new(), acme());
    let issued = issue(&world, &config, "go.example.com", 0);
    let certificates = crate::tls::Certificates::new(&[&["go.example.com"]]);
    let edge = TestEdge::start_with(world, |settings| {
        on(settings);
        certificates.set(settings);
    })
    .await;
    assert!(certificates.connect(&edge, "go.example.com", &[]).await.is_some());
    assert!(connect_with_root(&edge, "go.example.com", &issued).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_resumes_at_another_edge_until_the_key_is_over() {
    let (world, config) = (World::new(), acme());
    let root = issue(&world, &config, "vay.ro", 0);
    let edges = [
        TestEdge::start_with(Arc::clone(&world), on).await,
        TestEdge::start_with(Arc::clone(&world), on).await,
    ];
    world.put("launch", |_| {});
    let visitor = connector_with(&[root], &[]);
    let visit = async |edge: &TestEdge| {
        let stream = shake_hands(&visitor, edge, "vay.ro").await.expect("connects");
        let kind = stream.get_ref().1.handshake_kind().expect("done");
        // Tickets come behind the handshake; an answer shows that they are here.
        assert_eq!(Client::over(stream).get("/launch").await.status(), 302);
        kind
    };
    assert_eq!(visit(&edges[0]).await, HandshakeKind::Full);
    assert_eq!(visit(&edges[1]).await, HandshakeKind::Resumed);
    assert_eq!(visit(&edges[0]).await, HandshakeKind::Resumed);
    // The next period's key was there before it began.
    world.advance(TICKET_PERIOD);
    assert_eq!(visit(&edges[1]).await, HandshakeKind::Resumed);
    world.advance(2 * TICKET_PERIOD);
    assert_eq!(visit(&edges[0]).await, HandshakeKind::Full);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_keys_of_all_an_edge_resumes_its_own_sessions() {
    let world = World::new();
    let certificates = crate::tls::Certificates::new(&[&["vay.ro"]]);
    *world.issued_mood.lock() = Mood::Failing;
    let edge = TestEdge::start_with(world, |settings| {
        on(settings);
        certificates.set(settings);
    })
    .await;
    let visitor = certificates.connector(&[]);
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let stream = shake_hands(&visitor, &edge, "vay.ro").await.expect("connects");
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind));
        assert_eq!(Client::over(stream).get("/").await.status(), 200);
    }
}
