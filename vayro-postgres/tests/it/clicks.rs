//! The fast path of clicks, its fallback, and the partitions below.

use std::pin::pin;
use std::time::Duration;

use futures::{StreamExt as _, poll};
use sqlx::Row as _;
use sqlx::postgres::{PgPool, PgPoolCopyExt as _};
use vayro_core::click::{ClickClass, ClickRow};
use vayro_core::contract::stores::{Owner, at, click};
use vayro_core::ids::ClickId;
use vayro_core::link::Link;
use vayro_core::ports::{ClickStore, WriteError, WriteOutcome};
use vayro_core::stream::DeadReason;
use vayro_core::timestamp::Timestamp;
use vayro_postgres::{PgStores, PostgresConfig};
use vayro_testing::postgres::database;
use vayro_testing::wait;

use crate::fixture::{Fixture, config, fixture, stores};

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

async fn cast(fixture: &Fixture) -> (Owner, Link) {
    let owner = fixture.stores.owner("ada").await;
    fixture.stores.prepare_months().await;
    let link = fixture.stores.link(&owner, "launch").await;
    (owner, link)
}

async fn count(sql: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM click_events").fetch_one(sql).await.expect("answers")
}

fn outcome(inserted: u64, duplicates: u64) -> WriteOutcome {
    WriteOutcome { inserted, duplicates }
}

/// Rows in which every column is empty, full, multi-byte or extreme somewhere.
fn colorful_rows(link: &Link) -> Vec<ClickRow> {
    let full = |seconds: i64, text: &str| ClickRow {
        domain: format!("go.{text}.example"),
        class: ClickClass::Bot,
        bot: format!("{text} bot"),
        user_agent: format!("{text}/5.0 (\t\\N)"),
        country_code: "DE".to_owned(),
        region: format!("{text} region"),
        city: format!("{text} city"),
        device_type: format!("{text} device"),
        browser: format!("{text} browser"),
        os: format!("{text} os"),
        language: "pt-BR".to_owned(),
        referer: format!("https://{text}.example/\t\n\\.,\"'"),
        referer_host: format!("{text}.example"),
        ip_address: "2001:db8:1234::".to_owned(),
        trigger: "qr".to_owned(),
        utm_source: format!("{text} source"),
        utm_medium: format!("{text} medium"),
        utm_campaign: format!("{text} campaign"),
        utm_term: format!("{text} term"),
        utm_content: format!("{text} content"),
        visitor_id: Some(i64::MIN),
        ..click(link, at(seconds))
    };
    let mut rows = vec![click(link, at(0)), full(1, "plain"), full(2, "ünï日本🚀"), full(3, "\\N")];
    rows[0].visitor_id = Some(-1);
    rows.extend(ClickClass::ALL.map(|class| ClickRow { class, ..click(link, at(4)) }));
    rows
}

/// The fields of a row as PostgreSQL must hold them: `None` is null.
fn expected_fields(row: &ClickRow) -> Vec<Option<Vec<u8>>> {
    let text = |text: &String| (!text.is_empty()).then(|| text.clone().into_bytes());
    let since_2000 = row.timestamp.as_micros() - 946_684_800_000_000;
    let mut fields = vec![
        Some(row.id.as_uuid().as_bytes().to_vec()),
        Some(row.link_id.as_uuid().as_bytes().to_vec()),
        Some(row.workspace_id.as_uuid().as_bytes().to_vec()),
        Some(since_2000.to_be_bytes().to_vec()),
        Some(row.class.as_str().as_bytes().to_vec()),
    ];
    fields.extend(
        [&row.domain, &row.bot, &row.user_agent, &row.country_code, &row.region, &row.city].map(text),
    );
    fields.extend([&row.device_type, &row.browser, &row.os].map(text));
    fields.extend([&row.language, &row.referer, &row.referer_host, &row.ip_address, &row.trigger].map(text));
    fields.extend(
        [&row.utm_source, &row.utm_medium, &row.utm_campaign, &row.utm_term, &row.utm_content].map(text),
    );
    fields.push(row.visitor_id.map(|id| id.to_be_bytes().to_vec()));
    fields
}

/// Reads the server's own binary form.
fn parse_copy(data: &[u8]) -> Vec<Vec<Option<Vec<u8>>>> {
    let mut rest = data.strip_prefix(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0").expect("the header");
    let mut take = |len: usize| {
        let (taken, left) = rest.split_at(len);
        rest = left;
        taken.to_vec()
    };
    let mut rows = Vec::new();
    loop {
        let fields = i16::from_be_bytes(take(2).try_into().expect("two bytes"));
        if fields == -1 {
            return rows;
        }
        let row = (0..fields)
            .map(|_| {
                let len = i32::from_be_bytes(take(4).try_into().expect("four bytes"));
                usize::try_from(len).ok().map(&mut take)
            })
            .collect();
        rows.push(row);
    }
}

/// What the server copies out is what was framed, column by column, byte by byte.
#[tokio::test]
async fn rows_survive_the_way_in_and_out() {
    let fixture = fixture().await;
    let (_, link) = cast(&fixture).await;
    let rows = colorful_rows(&link);
    assert_eq!(fixture.pg.write(&rows).await.expect("stored"), outcome(10, 0));
    let sql = fixture.sql().await;
    let mut stream = sql
        .copy_out_raw(
            "COPY (SELECT id, link_id, workspace_id, timestamp, class, domain, bot, user_agent, country_code,
                          region, city, device_type, browser, os, language, referer, referer_host, ip_address, trigger,
                          utm_source, utm_medium, utm_campaign, utm_term, utm_content, visitor_id
                   FROM click_events ORDER BY id) TO STDOUT (FORMAT binary)",
        )
        .await
        .expect("copies");
    let mut data = Vec::new();
    while let Some(piece) = stream.next().await {
        data.extend_from_slice(&piece.expect("copies"));
    }
    let mut expected: Vec<&ClickRow> = rows.iter().collect();
    expected.sort_by_key(|row| row.id);
    let expected: Vec<_> = expected.into_iter().map(expected_fields).collect();
    assert_eq!(parse_copy(&data), expected);
}

/// The path around duplicates stores the very same rows as the fast one.
#[tokio::test]
async fn both_paths_store_the_same() {
    let fixture = fixture().await;
    let (_, link) = cast(&fixture).await;
    let fast = colorful_rows(&link);
    fixture.pg.write(&fast).await.expect("stored");
    let sql = fixture.sql().await;
    let all = "SELECT to_jsonb(c) - 'id' FROM click_events c ORDER BY id";
    let stored_fast: Vec<serde_json::Value> = sqlx::query_scalar(all).fetch_all(&sql).await.expect("answers");
    sqlx::query("DELETE FROM click_events").execute(&sql).await.expect("answers");

    let known = click(&link, at(0));
    fixture.pg.write(std::slice::from_ref(&known)).await.expect("stored");
    let mut slow = fast;
    slow.push(known.clone());
    assert_eq!(fixture.pg.write(&slow).await.expect("stored"), outcome(10, 1));
    sqlx::query("DELETE FROM click_events WHERE id = $1")
        .bind(known.id.as_uuid())
        .execute(&sql)
        .await
        .expect("answers");
    let stored_slow: Vec<serde_json::Value> = sqlx::query_scalar(all).fetch_all(&sql).await.expect("answers");
    assert_eq!(stored_fast, stored_slow);
}

/// Months are those of UTC and days too, although database and role live elsewhere.
#[tokio::test]
async fn the_databases_time_zone_changes_nothing() {
    let fixture = fixture().await;
    let sql = fixture.sql().await;
    let name: String =
        sqlx::query_scalar("SELECT current_database()").fetch_one(&sql).await.expect("answers");
    let alter = format!("ALTER DATABASE {name} SET timezone = 'Pacific/Kiritimati'");
    sqlx::query(sqlx::AssertSqlSafe(alter)).execute(&sql).await.expect("answers");

    let elsewhere = PgStores::connect(&config(&fixture.database.url)).await.expect("connects");
    let stores = stores(&elsewhere);
    let owner = stores.owner("ada").await;
    let link = stores.link(&owner, "launch").await;
    let instant = |text: &str| text.parse::<Timestamp>().expect("valid");
    let (last, first) = (instant("2026-04-30T23:59:59.999Z"), instant("2026-05-01T00:00:00Z"));
    stores.clicks.ensure_partitions(last, first).await.expect("prepared");
    let rows = [last, first].map(|at| ClickRow { visitor_id: Some(1), ..click(&link, at) });
    elsewhere.write(&rows).await.expect("stored");
    let partitions: Vec<String> =
        sqlx::query_scalar("SELECT tableoid::regclass::text FROM click_events ORDER BY timestamp")
            .fetch_all(&sql)
            .await
            .expect("answers");
    assert_eq!(partitions, ["click_events_202604", "click_events_202605"]);
    let scope = vayro_core::analytics::ClickScope {
        workspace_id: owner.workspace_id,
        link_id: None,
        start: instant("2026-04-01T00:00:00Z"),
        end: instant("2026-06-01T00:00:00Z"),
        classes: vec![ClickClass::Counted],
        filters: Vec::new(),
    };
    let counted = stores.analytics.totals(&scope).await.expect("answers");
    assert_eq!((counted.clicks, counted.visitors), (2, 2));
    let salt = async |at, candidate| {
        elsewhere.visitor_salt(at, [candidate; 16], last).await.expect("answers").expect("a salt")
    };
    assert_eq!((salt(last, 1).await, salt(first, 2).await), ([1; 16], [2; 16]));
}

/// No default partition: it would keep old months from being detached, and hide that a month is missing.
#[tokio::test]
async fn every_partition_is_a_month() {
    let fixture = fixture().await;
    cast(&fixture).await;
    let sql = fixture.sql().await;
    let bounds: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.relname::text, pg_get_expr(c.relpartbound, c.oid)
         FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'click_events'::regclass ORDER BY 1",
    )
    .fetch_all(&sql)
    .await
    .expect("answers");
    let names: Vec<&str> = bounds.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["click_events_202604", "click_events_202605", "click_events_202606"]);
    assert!(bounds.iter().all(|(_, bound)| bound.starts_with("FOR VALUES FROM ('2026-")), "{bounds:?}");
}

/// New partitions have what the specification asks of the table: both indexes and the foreign key.
#[tokio::test]
async fn partitions_have_the_indexes_and_the_foreign_key() {
    let fixture = fixture().await;
    cast(&fixture).await;
    let sql = fixture.sql().await;
    for row in sqlx::query(
        "SELECT c.relname::text AS name,
                (SELECT count(*) FROM pg_index x WHERE x.indrelid = c.oid) AS indexes,
                (SELECT count(*) FROM pg_constraint f WHERE f.conrelid = c.oid AND f.contype = 'f') AS keys
         FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'click_events'::regclass",
    )
    .fetch_all(&sql)
    .await
    .expect("answers")
    {
        let (name, indexes, keys): (String, i64, i64) =
            (row.get("name"), row.get("indexes"), row.get("keys"));
        assert_eq!((indexes, keys), (3, 1), "{name}");
    }
}

/// Months can be prepared while a worker is in the middle of a batch.
#[tokio::test]
async fn preparing_a_month_does_not_wait_for_writers() {
    let fixture = fixture().await;
    let (_, link) = cast(&fixture).await;
    let sql = fixture.sql().await;
    let mut writer = sql.begin().await.expect("begins");
    sqlx::query(
        "INSERT INTO click_events (id, link_id, workspace_id, timestamp, class)
         VALUES ($1, $2, $3, to_timestamp($4), 'counted')",
    )
    .bind(uuid::Uuid::from_u128(1))
    .bind(link.id.as_uuid())
    .bind(link.workspace_id.as_uuid())
    .bind(1_778_414_400_f64)
    .execute(&mut *writer)
    .await
    .expect("stored");
    let next_year = at(366 * 86_400);
    fixture.pg.ensure_partitions(next_year, next_year).await.expect("prepared although somebody writes");
    writer.commit().await.expect("commits");
    assert_eq!(fixture.pg.write(&[click(&link, next_year)]).await.expect("stored"), outcome(1, 0));
}

/// A write that is dropped at any moment leaves a pool that works and either all of its rows or none.
#[tokio::test]
async fn a_dropped_write_harms_nobody() {
    let fixture = fixture().await;
    let (_, link) = cast(&fixture).await;
    let config = PostgresConfig { connections: 1, ..config(&fixture.database.url) };
    let narrow = PgStores::connect(&config).await.expect("connects");
    let sql = fixture.sql().await;
    let mut expected = 0;
    for polls in (0..14).map(|exponent| 1_usize << exponent) {
        let rows: Vec<_> =
            (0..500).map(|n| ClickRow { referer: "x".repeat(1_000), ..click(&link, at(n)) }).collect();
        {
            let mut write = pin!(narrow.write(&rows));
            for _ in 0..polls {
                if poll!(&mut write).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        // A statement of its own is committed at once: no transaction was left open.
        let day = at(expected * 86_400);
        narrow.visitor_salt(day, [1; 16], day).await.expect("the only connection works");
        let salts: i64 =
            sqlx::query_scalar("SELECT count(*) FROM visitor_salts").fetch_one(&sql).await.expect("answers");
        assert_eq!(salts, expected / 500 + 1);
        let again = narrow.write(&rows).await.expect("the only connection works");
        assert_eq!(again.inserted + again.duplicates, 500);
        assert!(again.inserted == 0 || again.inserted == 500, "{again:?}");
        expected += 500;
        assert_eq!(count(&sql).await, expected);
        assert_eq!(fixture.stores.reload(&link).await.clicks, expected);
    }
}

/// After a refused batch the same connection takes the next one.
#[tokio::test]
async fn a_refused_batch_harms_nobody() {
    let fixture = fixture().await;
    let (_, link) = cast(&fixture).await;
    let config = PostgresConfig { connections: 1, ..config(&fixture.database.url) };
    let narrow = PgStores::connect(&config).await.expect("connects");
    let sql = fixture.sql().await;
    // Long before the bad row, more than one piece has been sent.
    let mut rows: Vec<_> =
        (0..1_000).map(|n| ClickRow { referer: "x".repeat(1_000), ..click(&link, at(n)) }).collect();
    for position in [0, 1, 500, 999] {
        let good = rows[position].clone();
        "a\0b".clone_into(&mut rows[position].city);
        for _ in 0..2 {
            match narrow.write(&rows).await {
                Err(WriteError::Rejected { reason: DeadReason::Rejected, .. }) => {}
                other => panic!("expected a rejection, got {other:?}"),
            }
        }
        rows[position] = good;
        assert_eq!(count(&sql).await, 0);
    }
    assert_eq!(narrow.write(&rows).await.expect("stored"), outcome(1_000, 0));
    // The poison is found on the other path as well.
    "a\0b".clone_into(&mut rows[999].city);
    rows[999].id = ClickId::from_parts(rows[999].timestamp, [9; 10]);
    assert!(matches!(narrow.write(&rows).await, Err(WriteError::Rejected { .. })));
    rows[999].city.clear();
    assert_eq!(narrow.write(&rows).await.expect("stored"), outcome(1, 999));
}

/// Waits until a session other than ours waits for a lock, and returns its process id.
pub(crate) async fn blocked_backend(sql: &PgPool) -> i32 {
    wait::until("a writer waiting for a lock", PATIENCE, async || {
        sqlx::query_scalar(
            "SELECT pid FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock' LIMIT 1",
        )
        .fetch_optional(sql)
        .await
        .expect("answers")
    })
    .await
}

/// Two workers with one row: the second waits for the first and stores the row exactly if that one did not.
#[tokio::test]
async fn of_two_writers_of_one_row_one_counts() {
    for first_commits in [true, false] {
        let fixture = fixture().await;
        let (_, link) = cast(&fixture).await;
        let sql = fixture.sql().await;
        let row = click(&link, at(1));
        let mut first = sql.begin().await.expect("begins");
        sqlx::query(
            "INSERT INTO click_events (id, link_id, workspace_id, timestamp, class)
             SELECT $1, $2, $3, TIMESTAMPTZ 'epoch' + $4 * INTERVAL '1 microsecond', 'counted'",
        )
        .bind(row.id.as_uuid())
        .bind(link.id.as_uuid())
        .bind(link.workspace_id.as_uuid())
        .bind(row.timestamp.as_micros())
        .execute(&mut *first)
        .await
        .expect("stored");
        let second = tokio::spawn({
            let (pg, rows) = (fixture.pg.clone(), vec![row, click(&link, at(2))]);
            async move { pg.write(&rows).await }
        });
        blocked_backend(&sql).await;
        let expected = if first_commits {
            first.commit().await.expect("commits");
            outcome(1, 1)
        } else {
            first.rollback().await.expect("rolls back");
            outcome(2, 0)
        };
        assert_eq!(second.await.expect("does not panic").expect("stored"), expected);
        assert_eq!(count(&sql).await, 2);
        assert_eq!(
            fixture.stores.reload(&link).await.clicks,
            i64::try_from(expected.inserted).expect("few"),
            "counters follow the rows this adapter stored"
        );
    }
}

/// A worker that comes up before `vayro migrate` waits; it makes no dead letters.
#[tokio::test]
async fn a_missing_table_is_no_fault_of_the_rows() {
    let fixture = fixture().await;
    let (_, link) = cast(&fixture).await;
    let empty = database().await;
    let pg = PgStores::connect(&config(&empty.url)).await.expect("connects");
    let written = pg.write(&[click(&link, at(1))]).await;
    assert!(matches!(written, Err(WriteError::Unavailable(_))), "{written:?}");
}
