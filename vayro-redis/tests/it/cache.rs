//! The shared cache: keys, values, times to live, and who wins a race.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use vayro_core::change::LinkChange;
use vayro_core::link::LinkKey;
use vayro_core::ports::{LinkLookup as _, LinkPublisher as _};
use vayro_core::resolve::CachedLink;
use vayro_redis::{RedisClient, RedisLookup, RedisPublisher};

use crate::support::{self, Database, key, link, run};

async fn setting() -> (RedisClient, MultiplexedConnection) {
    let redis = vayro_testing::redis::database().await;
    (support::connect(&redis.url).await, support::cli(&redis.url).await)
}

fn change(code: &str, link: CachedLink) -> LinkChange {
    LinkChange { key: key(code), revision: link.revision, link: Some(link) }
}

fn deletion(code: &str, revision: i64) -> LinkChange {
    LinkChange { key: key(code), revision, link: None }
}

async fn publish(client: &RedisClient, change: LinkChange) {
    RedisPublisher::new(client).publish(&[change]).await.expect("published");
}

async fn cached_revision(cli: &mut MultiplexedConnection, link_key: &str) -> Option<i64> {
    let json: Option<String> = run(cli, &format!("GET {link_key}")).await;
    json.map(|json| serde_json::from_str::<CachedLink>(&json).expect("JSON").revision)
}

#[tokio::test]
async fn a_found_link_is_cached_as_the_specification_has_it() {
    let (client, mut cli) = setting().await;
    let database = Database::with(&key("abc"), link("https://example.com/long-url", 7));
    let lookup = RedisLookup::new(&client, database.clone());
    for _ in 0..3 {
        let found = lookup.lookup(&key("abc")).await.expect("an answer");
        assert_eq!(found, Some(link("https://example.com/long-url", 7)));
    }
    assert_eq!(database.asked(), 1, "the cache answers after the first question");

    assert_eq!(run::<Vec<String>>(&mut cli, "KEYS *").await, ["url:abc"]);
    let json: serde_json::Value =
        serde_json::from_str(&run::<String>(&mut cli, "GET url:abc").await).expect("JSON");
    assert_eq!(json["target"], "https://example.com/long-url");
    assert_eq!(json["active"], true);
    assert_eq!(json["id"], "00000000-0000-0000-0000-000000000001");
    let ttl: i64 = run(&mut cli, "TTL url:abc").await;
    assert!((86_390..=86_400).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn a_hit_starts_the_24_hours_anew() {
    let (client, mut cli) = setting().await;
    let lookup = RedisLookup::new(&client, Database::with(&key("abc"), link("https://example.com/", 1)));
    lookup.lookup(&key("abc")).await.expect("an answer");
    run::<()>(&mut cli, "EXPIRE url:abc 100").await;
    lookup.lookup(&key("abc")).await.expect("an answer");
    let ttl: i64 = run(&mut cli, "TTL url:abc").await;
    assert!((86_390..=86_400).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn unknown_codes_are_not_cached() {
    let (client, mut cli) = setting().await;
    let database = Arc::new(Database::default());
    let lookup = RedisLookup::new(&client, database.clone());
    for _ in 0..2 {
        assert_eq!(lookup.lookup(&key("abc")).await.expect("an answer"), None);
    }
    assert_eq!(database.asked(), 2);
    assert_eq!(run::<u64>(&mut cli, "DBSIZE").await, 0);
}

#[tokio::test]
async fn inactive_links_are_cached_and_stay_inactive() {
    let (client, _) = setting().await;
    let off = CachedLink { active: false, ..link("https://example.com/", 1) };
    let database = Database::with(&key("abc"), off.clone());
    let lookup = RedisLookup::new(&client, database.clone());
    for _ in 0..2 {
        assert_eq!(lookup.lookup(&key("abc")).await.expect("an answer"), Some(off.clone()));
    }
    assert_eq!(database.asked(), 1);
}

#[tokio::test]
async fn other_domains_have_keys_of_their_own() {
    let (client, mut cli) = setting().await;
    let go = LinkKey { domain: Some("go.example.com".parse().expect("a host")), ..key("abc") };
    let database = Database::with(&go, link("https://example.com/go", 1));
    let lookup = RedisLookup::new(&client, database.clone());
    assert!(lookup.lookup(&go).await.expect("an answer").is_some());
    assert_eq!(lookup.lookup(&key("abc")).await.expect("an answer"), None);
    assert_eq!(run::<Vec<String>>(&mut cli, "KEYS *").await, ["url:go.example.com/abc"]);
}

#[tokio::test]
async fn publishing_sets_the_link_its_floor_and_the_invalidation() {
    let (client, mut cli) = setting().await;
    publish(&client, change("abc", link("https://example.com/", 7))).await;
    assert_eq!(cached_revision(&mut cli, "url:abc").await, Some(7));
    let ttl: i64 = run(&mut cli, "TTL url:abc").await;
    assert!((86_390..=86_400).contains(&ttl), "{ttl}");
    assert_eq!(run::<i64>(&mut cli, "GET vayro:floor:{url:abc}").await, 7);
    let ttl: i64 = run(&mut cli, "TTL vayro:floor:{url:abc}").await;
    assert!((290..=300).contains(&ttl), "{ttl}");
    let told: Vec<(String, Vec<String>)> = run(&mut cli, "XRANGE vayro:invalidations - +").await;
    assert_eq!(told[0].1, ["kind", "link", "domain", "", "short_code", "abc", "revision", "7"]);

    publish(&client, deletion("abc", 8)).await;
    assert_eq!(cached_revision(&mut cli, "url:abc").await, None);
    assert_eq!(run::<i64>(&mut cli, "GET vayro:floor:{url:abc}").await, 8);
    assert_eq!(run::<u64>(&mut cli, "XLEN vayro:invalidations").await, 2);
}

#[tokio::test]
async fn an_older_change_never_beats_a_newer_one() {
    let (client, mut cli) = setting().await;
    publish(&client, change("abc", link("https://example.com/new", 5))).await;
    publish(&client, change("abc", link("https://example.com/old", 4))).await;
    publish(&client, deletion("abc", 3)).await;
    assert_eq!(cached_revision(&mut cli, "url:abc").await, Some(5));
    assert_eq!(run::<u64>(&mut cli, "XLEN vayro:invalidations").await, 1, "nobody hears of old changes");

    publish(&client, deletion("abc", 6)).await;
    publish(&client, change("abc", link("https://example.com/new", 5))).await;
    assert_eq!(cached_revision(&mut cli, "url:abc").await, None, "the link stays deleted");

    // Long after, when the floor is gone, the cached value itself holds.
    publish(&client, change("abc", link("https://example.com/restored", 9))).await;
    run::<()>(&mut cli, "DEL vayro:floor:{url:abc}").await;
    publish(&client, change("abc", link("https://example.com/new", 8))).await;
    assert_eq!(cached_revision(&mut cli, "url:abc").await, Some(9));
}

#[tokio::test]
async fn telling_the_same_change_twice_does_no_harm() {
    let (client, mut cli) = setting().await;
    for _ in 0..2 {
        publish(&client, change("abc", link("https://example.com/", 5))).await;
    }
    assert_eq!(cached_revision(&mut cli, "url:abc").await, Some(5));
    assert_eq!(run::<u64>(&mut cli, "XLEN vayro:invalidations").await, 2);
}

/// Starts a look-up that has read revision 1 from the database, lets `meanwhile` happen, then lets it fill.
async fn late_fill(client: &RedisClient, meanwhile: impl Future<Output = ()>) {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let database = Database {
        links: std::collections::HashMap::from([(key("abc"), link("https://example.com/old", 1))]).into(),
        gate: Some(Arc::clone(&gate)),
        ..Database::default()
    };
    let database = Arc::new(database);
    let lookup = RedisLookup::new(client, database.clone());
    let reader = tokio::spawn(async move { lookup.lookup(&key("abc")).await });
    vayro_testing::wait::until("the question", support::SOON, async || (database.asked() == 1).then_some(()))
        .await;
    meanwhile.await;
    gate.add_permits(1);
    reader.await.expect("no panic").expect("an answer");
}

#[tokio::test]
async fn a_late_fill_does_not_undo_an_edit() {
    let (client, mut cli) = setting().await;
    late_fill(&client, publish(&client, change("abc", link("https://example.com/new", 2)))).await;
    assert_eq!(cached_revision(&mut cli, "url:abc").await, Some(2));
}

#[tokio::test]
async fn a_late_fill_does_not_bring_back_a_deleted_link() {
    let (client, mut cli) = setting().await;
    late_fill(&client, publish(&client, deletion("abc", 2))).await;
    assert_eq!(cached_revision(&mut cli, "url:abc").await, None);
}

#[tokio::test]
async fn a_fill_that_nothing_overtook_is_kept() {
    let (client, mut cli) = setting().await;
    late_fill(&client, publish(&client, deletion("other", 2))).await;
    assert_eq!(cached_revision(&mut cli, "url:abc").await, Some(1));
}

#[tokio::test]
async fn nonsense_under_a_key_is_replaced() {
    let (client, mut cli) = setting().await;
    let lookup = RedisLookup::new(&client, Database::with(&key("abc"), link("https://example.com/", 1)));
    for nonsense in ["nonsense", "{\"target\":1}", "[]", "null", ""] {
        run::<()>(&mut cli, &format!("SET url:abc {nonsense}")).await;
        assert!(lookup.lookup(&key("abc")).await.expect("an answer").is_some(), "{nonsense}");
        assert_eq!(cached_revision(&mut cli, "url:abc").await, Some(1), "{nonsense}");
        run::<()>(&mut cli, &format!("SET url:abc {nonsense}")).await;
        publish(&client, change("abc", link("https://example.com/", 1))).await;
        assert_eq!(cached_revision(&mut cli, "url:abc").await, Some(1), "{nonsense}");
    }
    run::<()>(&mut cli, "DEL url:abc").await;
    run::<()>(&mut cli, "RPUSH url:abc x").await;
    assert!(lookup.lookup(&key("abc")).await.expect("an answer").is_some());
    publish(&client, change("abc", link("https://example.com/", 1))).await;
    assert_eq!(cached_revision(&mut cli, "url:abc").await, Some(1));
}

#[tokio::test]
async fn an_emptied_server_is_filled_again() {
    // Its own server: scripts are shared by all numbered databases.
    let server = vayro_testing::redis::server().await;
    let (client, mut cli) = (support::connect(&server.url).await, support::cli(&server.url).await);
    let database = Database::with(&key("abc"), link("https://example.com/", 1));
    let lookup = RedisLookup::new(&client, database.clone());
    for asked in 1..=3 {
        lookup.lookup(&key("abc")).await.expect("an answer");
        lookup.lookup(&key("abc")).await.expect("an answer");
        assert_eq!(database.asked(), asked);
        run::<()>(&mut cli, "FLUSHDB").await;
        run::<()>(&mut cli, "SCRIPT FLUSH").await;
    }
}
