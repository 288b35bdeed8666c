//! Both sets, connected for real.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use vayro_backends::config::{BackendConfig, Layers};
use vayro_backends::{Backends, ConnectError, Roles, SchemaState, clock};
use vayro_core::click::{Click, ClickMethod};
use vayro_core::contract::accounts::sample;
use vayro_core::contract::stores::{Owner, at};
use vayro_core::ids::{ClickId, LinkId, WorkspaceId};
use vayro_core::link::LinkKey;

fn config(flags: &[(&str, String)]) -> BackendConfig {
    let layers = Layers::load(None, std::iter::empty(), flags).expect("loads");
    let mut errors = layers.errors();
    let config = BackendConfig::read(&layers, &mut errors);
    errors.finish().expect("no mistakes");
    config.expect("a configuration")
}

fn dir_flag(dir: &Path) -> (&'static str, String) {
    ("backend.data_dir", dir.display().to_string())
}

pub(crate) fn embedded(dir: &Path) -> BackendConfig {
    config(&[dir_flag(dir)])
}

fn clustered(dir: &Path, postgres: &str, redis: &str) -> BackendConfig {
    config(&[
        dir_flag(dir),
        ("backend.set", "clustered".to_owned()),
        ("backend.connect_timeout", "2s".to_owned()),
        ("postgres.url", postgres.to_owned()),
        ("redis.url", redis.to_owned()),
    ])
}

fn click(link_id: LinkId, workspace_id: WorkspaceId) -> Click {
    Click {
        id: ClickId::from_parts(clock::now(), [7; 10]),
        link_id,
        workspace_id,
        domain: "".into(),
        ip: None,
        user_agent: "Mozilla/5.0".into(),
        referer: "".into(),
        language: "".into(),
        query: "".into(),
        method: ClickMethod::Get,
        is_prefetch: false,
    }
}

/// The whole way of a link and a click through every port that matters for it.
async fn walk(backends: &Backends) {
    assert!(matches!(backends.schema_state().await, Ok(SchemaState::Behind(_))));
    backends.migrate().await.expect("migrates");
    assert_eq!(backends.schema_state().await.expect("answers"), SchemaState::Current);
    for ping in backends.ping().await {
        assert_eq!(ping.error, None, "{}", ping.part);
    }

    let workspace = sample::workspace(at(0));
    let user = backends
        .users
        .insert(sample::new_user(at(0)), &workspace, &sample::context(at(0)))
        .await
        .expect("an account");
    let owner = Owner { user_id: user.id, workspace_id: workspace.id };
    let link = backends.links.insert(owner.new_link("launch"), &owner.context(at(1))).await.expect("a link");
    assert_eq!(backends.drain_outbox().await.expect("drains"), 1);
    let key = LinkKey { domain: None, short_code: link.short_code.clone() };
    let found = backends.lookup.lookup(&key).await.expect("answers").expect("is there");
    assert_eq!(found.id, link.id);

    let sent = click(link.id, workspace.id);
    backends.sink.append(std::slice::from_ref(&sent)).await.expect("taken");
    let one = NonZeroUsize::MIN;
    let batch = backends.stream.next_batch(one, Duration::from_secs(20)).await.expect("a batch");
    assert_eq!(Click::decode(&batch[0].fields), Ok(sent));
    backends.stream.ack(&[batch[0].id.clone()]).await.expect("settled");
    let stats = backends.stream.stats(clock::now()).await.expect("stats");
    assert_eq!((stats.pending, stats.undelivered.count), (0, 0));
    assert_eq!(stats.consumers.first().map(|c| c.name.as_str()), Some(&*backends.name));
}

#[tokio::test]
async fn the_embedded_set_carries_a_link_and_a_click() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("new/data");
    let backends = Backends::connect(&embedded(&data), Roles::ALL).await.expect("connects");
    walk(&backends).await;
    backends.close().await;
    assert!(backends.links.purge_deleted(at(0), 1).await.is_err(), "closed");
    let again = Backends::connect(&embedded(&data), Roles::ALL).await.expect("everything was freed");
    assert_eq!(again.schema_state().await.expect("answers"), SchemaState::Current);
    again.close().await;
}

#[tokio::test]
async fn the_clustered_set_carries_a_link_and_a_click() {
    let dir = tempfile::tempdir().expect("a directory");
    let (postgres, redis) =
        (vayro_testing::postgres::database().await, vayro_testing::redis::database().await);
    let config = clustered(dir.path(), &postgres.url, &redis.url);
    let backends = Backends::connect(&config, Roles::ALL).await.expect("connects");
    walk(&backends).await;
    backends.close().await;
}

#[tokio::test]
async fn tools_work_beside_the_server_of_the_embedded_set_and_a_second_server_does_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = embedded(dir.path());
    let server = Backends::connect(&config, Roles::ALL).await.expect("connects");
    let second = Backends::connect(&config, Roles::WORKER).await.expect_err("the click stream is taken");
    let ConnectError::Refused { part, source } = second else { panic!("{second}") };
    assert_eq!(part, "the click stream");
    assert!(source.to_string().contains("in use by another process"), "{source}");

    let tool = Backends::connect(&config, Roles::TOOLS).await.expect("connects");
    tool.migrate().await.expect("migrates");
    assert_eq!(server.schema_state().await.expect("answers"), SchemaState::Current);
    let refused = tool.stream.stats(clock::now()).await.expect_err("held by the server");
    let cause = std::error::Error::source(&refused).map(ToString::to_string).unwrap_or_default();
    assert!(cause.contains("held by the server"), "{cause}");
    tool.close().await;
    server.close().await;
}

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    address.to_string()
}

#[tokio::test]
async fn the_part_that_is_away_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let postgres = vayro_testing::postgres::database().await;
    let redis = vayro_testing::redis::database().await;
    let nobody = nobody().await;

    let config = clustered(dir.path(), &format!("postgres://x@{nobody}/x"), &redis.url);
    let error = Backends::connect(&config, Roles::ALL).await.expect_err("PostgreSQL is away");
    assert!(error.to_string().contains("PostgreSQL"), "{error}");

    let config = clustered(dir.path(), &postgres.url, &format!("redis://{nobody}/"));
    let error = Backends::connect(&config, Roles::ALL).await.expect_err("Redis is away");
    assert!(error.to_string().contains("Redis"), "{error}");
}

#[tokio::test]
async fn an_edge_starts_without_redis_and_keeps_clicks_until_it_is_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let postgres = vayro_testing::postgres::database().await;
    let mut redis = vayro_testing::redis::server().await;
    redis.stop();
    let config = clustered(dir.path(), &postgres.url, &redis.url);
    let edge = Backends::connect(&config, Roles::EDGE).await.expect("starts");
    edge.migrate().await.expect("migrates");
    let pings = edge.ping().await;
    assert!(pings.iter().any(|ping| ping.part == "redis" && ping.error.is_some()), "{pings:?}");
    let key = LinkKey { domain: None, short_code: "nothing".parse().expect("a code") };
    assert!(matches!(edge.lookup.lookup(&key).await, Ok(None)), "the database answers");
    let ids = [LinkId::from_uuid(uuid::Uuid::from_u128(1)), LinkId::from_uuid(uuid::Uuid::from_u128(2))];
    for id in ids {
        edge.sink
            .append(&[click(id, WorkspaceId::from_uuid(uuid::Uuid::from_u128(3)))])
            .await
            .expect("spooled");
    }
    assert!(edge.sink.spool_stats().bytes > 0);

    redis.restart().await;
    let worker = Backends::connect(&config, Roles::WORKER).await.expect("connects");
    let mut seen = Vec::new();
    while seen.len() < ids.len() {
        let batch =
            worker.stream.next_batch(NonZeroUsize::MIN, Duration::from_secs(30)).await.expect("a batch");
        assert!(!batch.is_empty(), "the spool is fed back");
        seen.extend(batch.iter().map(|d| Click::decode(&d.fields).expect("a click").link_id));
    }
    assert_eq!(seen, ids, "in order");
    edge.close().await;
    worker.close().await;
}
