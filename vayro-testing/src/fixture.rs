//! Data for tests and benchmarks: schema, links, clicks, real user agents.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::wait;

/// The workspace that [`insert_links`] fills.
pub const WORKSPACE: &str = "01890000-0000-7000-8000-00000000000a";
/// The account that owns it.
pub const USER: &str = "01890000-0000-7000-8000-00000000000b";

/// Returns the path of a file that `scripts/test-data` fetched.
///
/// # Panics
///
/// When it is not there.
pub fn data(name: &str) -> PathBuf {
    let dir = std::env::var_os("VAYRO_TEST_DATA").expect("VAYRO_TEST_DATA is not set: run ./scripts/test");
    let path = Path::new(&dir).join(name);
    assert!(path.exists(), "{} is missing: run scripts/test-data", path.display());
    path
}

/// A real user agent with its share of real visits.
#[derive(Clone, Debug)]
pub struct UserAgent {
    /// The header.
    pub text: String,
    /// `desktop`, `mobile` or `tablet`, as its source says.
    pub device: String,
    /// Its share.
    pub weight: f64,
}

/// Returns the real user agents of the npm package `user-agents`.
///
/// # Panics
///
/// When the file is missing or broken.
pub fn user_agents() -> Vec<UserAgent> {
    let text = std::fs::read_to_string(data("user-agents.json")).expect("the file can be read");
    let list: serde_json::Value = serde_json::from_str(&text).expect("the file is JSON");
    let text_of = |entry: &serde_json::Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    list.as_array()
        .expect("the file is a list")
        .iter()
        .map(|entry| UserAgent {
            text: text_of(entry, "user_agent"),
            device: text_of(entry, "device"),
            weight: entry["weight"].as_f64().unwrap_or_default(),
        })
        .collect()
}

/// The code of the link with this number.
pub fn code(number: u32) -> String {
    format!("b{number:06}")
}

/// The target of the link with this number.
pub fn target(number: u32) -> String {
    format!("https://www.example.com/landing/page-{number}?campaign=spring&item={number}")
}

/// The id of the link with this number.
pub fn link_id(number: u32) -> String {
    format!("01890000-0000-7000-9000-{number:012}")
}

/// Applies every migration.
///
/// # Panics
///
/// When the database refuses.
pub async fn migrate(database: &str) {
    let mut connection = PgConnection::connect(database).await.expect("PostgreSQL answers");
    sqlx::migrate!("../migrations/postgres").run(&mut connection).await.expect("the migrations apply");
}

/// Inserts an account, its workspace and `count` links numbered from 0.
///
/// # Panics
///
/// When the database refuses.
pub async fn insert_links(database: &str, count: u32) {
    let mut connection = PgConnection::connect(database).await.expect("PostgreSQL answers");
    let statements = format!(
        "INSERT INTO users (id, email, password_hash) VALUES ('{USER}', 'bench@example.com', '!');
         INSERT INTO workspaces (id, name, created_at) VALUES ('{WORKSPACE}', 'Bench', now());
         INSERT INTO memberships (workspace_id, user_id, role, created_at)
             VALUES ('{WORKSPACE}', '{USER}', 'owner', now());
         INSERT INTO links (id, workspace_id, user_id, domain_id, short_code, target_url, revision)
             SELECT ('01890000-0000-7000-9000-' || lpad(n::text, 12, '0'))::uuid, '{WORKSPACE}', '{USER}',
                    '00000000-0000-0000-0000-000000000001', 'b' || lpad(n::text, 6, '0'),
                    'https://www.example.com/landing/page-' || n || '?campaign=spring&item=' || n,
                    nextval('link_revision')
             FROM generate_series(0, {count} - 1) n;
         ANALYZE links;"
    );
    connection.execute(sqlx::AssertSqlSafe(statements)).await.expect("links can be inserted");
}

/// Puts links with these numbers into the shared cache, as edges look them up.
///
/// # Panics
///
/// When Redis refuses.
pub async fn cache_links(url: &str, numbers: std::ops::Range<u32>) {
    /// Links per exchange.
    const PIECE: usize = 10_000;
    let mut connection = crate::redis::connection(url).await;
    let numbers: Vec<u32> = numbers.collect();
    for piece in numbers.chunks(PIECE) {
        let mut commands = redis::pipe();
        for number in piece {
            let link = serde_json::json!({
                "target": target(*number), "active": true, "status": 302, "id": link_id(*number),
                "workspace": WORKSPACE, "revision": 1,
            });
            commands.set(format!("url:{}", code(*number)), link.to_string()).ignore();
        }
        let _: () = commands.query_async(&mut connection).await.expect("Redis takes the links");
    }
}

/// The stream of an edge's clicks while there is one shard.
pub const CLICKS: &str = "stream:clicks";

/// Throws a stream away.
///
/// # Panics
///
/// When Redis refuses.
pub async fn clear(url: &str, stream: &str) {
    let mut connection = crate::redis::connection(url).await;
    let _: i64 = redis::cmd("DEL").arg(stream).query_async(&mut connection).await.expect("keys can go");
}

/// Waits until a stream has stopped growing and returns its length.
///
/// # Panics
///
/// When it keeps growing.
pub async fn settled(url: &str, stream: &str) -> u64 {
    let mut connection = crate::redis::connection(url).await;
    let mut last = (u64::MAX, 0);
    wait::until("the end of the stream", Duration::from_secs(60), async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let length: u64 = redis::cmd("XLEN").arg(stream).query_async(&mut connection).await.ok()?;
        last = if last.0 == length { (length, last.1 + 1) } else { (length, 0) };
        (last.1 >= 3).then_some(length)
    })
    .await
}

/// Pushes `count` clicks on one link into the stream, now.
///
/// # Panics
///
/// When Redis refuses.
pub async fn push_clicks_of(url: &str, link: &str, workspace: &str, count: u32) {
    let mut connection = crate::redis::connection(url).await;
    let mut pipe = redis::pipe();
    let millis = now_millis();
    for _ in 0..count {
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid();
        pipe.cmd("XADD").arg("stream:clicks").arg("*");
        for (name, value) in [
            ("id", id.to_string().as_str()),
            ("link_id", link),
            ("timestamp", &iso_time(millis)),
            ("ip", "192.0.2.9"),
            ("user_agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
            ("referer", ""),
            ("workspace_id", workspace),
        ] {
            pipe.arg(name).arg(value);
        }
        pipe.ignore();
    }
    let (): () = pipe.query_async(&mut connection).await.expect("Redis takes clicks");
}

fn now_millis() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("the clock is set");
    u64::try_from(now.as_millis()).expect("milliseconds fit")
}

fn iso_time(millis: u64) -> String {
    let at = sqlx::types::time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .expect("the time is in range");
    let (date, time) = (at.date(), at.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    )
}
