//! Reaching a server, and what is said about it.

use std::num::NonZeroUsize;

use vayro_core::click::Click;
use vayro_core::ports::{ClickSink as _, ClickStream as _};
use vayro_redis::{ConnectError, RedisClickSink, RedisClickStream, RedisClient, RedisConfig};

use crate::support::{self, SOON, clicks, run};

/// Sends clicks through the stream, which uses every kind of connection there is.
async fn clicks_pass(client: &RedisClient) {
    let sent = clicks(10);
    RedisClickSink::new(client).append(&sent).await.expect("taken");
    let stream = RedisClickStream::new(client, "one");
    let max = NonZeroUsize::new(10).expect("not zero");
    let batch = stream.next_batch(max, SOON).await.expect("a batch");
    let got: Vec<_> = batch.iter().map(|d| Click::decode(&d.fields).expect("a click")).collect();
    assert_eq!(got, sent);
    stream.ack(&batch.into_iter().map(|d| d.id).collect::<Vec<_>>()).await.expect("settled");
    assert_eq!(stream.next_batch(max, std::time::Duration::ZERO).await.expect("a batch"), []);
}

#[tokio::test]
async fn a_malformed_address_is_told_apart_from_a_dead_server() {
    let open = |url: &str| RedisClient::open(&RedisConfig::new(url));
    assert!(matches!(open("http://localhost"), Err(ConnectError::Address(_))));
    assert!(matches!(open("localhost:6379"), Err(ConnectError::Address(_))));
    let url = format!("redis://127.0.0.1:{}/", vayro_testing::port::free());
    let error = RedisClient::connect(&RedisConfig::new(url)).await.expect_err("nobody is there");
    assert!(matches!(error, ConnectError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn passwords_do_not_appear_in_debug_output() {
    let config = RedisConfig::new("redis://:hunter2@127.0.0.1/");
    assert!(!format!("{config:?}").contains("hunter2"));
    let client = RedisClient::open(&config).expect("a client");
    assert!(!format!("{client:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_unix_socket_and_a_password_will_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("redis.sock");
    let path = socket.to_str().expect("text");
    let _server = vayro_testing::redis::server_with(&["--unixsocket", path]).await;
    let mut cli = support::cli(&format!("unix://{path}")).await;
    run::<()>(&mut cli, "CONFIG SET requirepass secret").await;
    let client = support::connect(&format!("unix://{path}?pass=secret&db=3")).await;
    client.ping().await.expect("an answer");
    clicks_pass(&client).await;
    let length: u64 =
        run(&mut support::cli(&format!("unix://{path}?pass=secret&db=3")).await, "XLEN stream:clicks").await;
    assert_eq!(length, 10, "in the database of the address");
    let error = RedisClient::connect(&RedisConfig::new(format!("unix://{path}?pass=wrong"))).await;
    assert!(matches!(error, Err(ConnectError::Unreachable(_))), "{error:?}");
}

#[tokio::test]
async fn settings_that_risk_clicks_are_warned_of() {
    let server =
        vayro_testing::redis::server_with(&["--maxmemory-policy", "allkeys-lru", "--appendonly", "no"]).await;
    let facts = support::connect(&server.url).await.facts().await.expect("facts").remove(0);
    assert_eq!(facts.maxmemory_policy, "allkeys-lru");
    assert_eq!(facts.warnings().len(), 2, "{facts}");
}

#[tokio::test]
async fn a_user_with_a_password_will_do() {
    let server = vayro_testing::redis::server().await;
    run::<()>(&mut support::cli(&server.url).await, "ACL SETUSER vayro on >s3cret ~* &* +@all").await;
    let url = server.url.replace("redis://", "redis://vayro:s3cret@");
    clicks_pass(&support::connect(&url).await).await;
    let wrong = RedisConfig::new(server.url.replace("redis://", "redis://vayro:wrong@"));
    let client = RedisClient::open(&wrong).expect("an address");
    assert!(RedisClickSink::new(&client).append(&clicks(1)).await.is_err());
}

#[tokio::test]
async fn tls_will_do_and_strangers_are_not_believed() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let (cert_file, key_file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert_file, cert.pem()).expect("written");
    std::fs::write(&key_file, signing_key.serialize_pem()).expect("written");
    let (cert_file, key_file) = (cert_file.to_str().expect("text"), key_file.to_str().expect("text"));
    let port = vayro_testing::port::free().to_string();
    let _server = vayro_testing::redis::server_with(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        cert_file,
        "--tls-key-file",
        key_file,
        "--tls-ca-cert-file",
        cert_file,
        "--tls-auth-clients",
        "no",
    ])
    .await;
    let mut config = RedisConfig::new(format!("rediss://localhost:{port}/"));
    let error = RedisClient::connect(&config).await.expect_err("nobody vouches for this server");
    assert!(matches!(error, ConnectError::Unreachable(_)), "{error:?}");
    config.root_certificates = Some(cert.pem().into_bytes());
    clicks_pass(&RedisClient::connect(&config).await.expect("the server will do")).await;
}
