//! Reaching a server, and what is said about it.

use vayro_redis::{ConnectError, RedisClient, RedisConfig};

use crate::support::{self, run};

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
    let error = RedisClient::connect(&RedisConfig::new(format!("unix://{path}?pass=wrong"))).await;
    assert!(matches!(error, Err(ConnectError::Unreachable(_))), "{error:?}");
}

#[tokio::test]
async fn settings_that_risk_clicks_are_warned_of() {
    let server =
        vayro_testing::redis::server_with(&["--maxmemory-policy", "allkeys-lru", "--appendonly", "no"]).await;
    let facts = support::connect(&server.url).await.facts().await.expect("facts");
    assert_eq!(facts.maxmemory_policy, "allkeys-lru");
    assert_eq!(facts.warnings().len(), 2, "{facts}");
}
