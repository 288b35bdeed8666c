//! PostgreSQL and Redis of one run, and everything that can be done to them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use redis::streams::StreamRangeReply;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::schedule::{Access, Fault};
use crate::postgres::{self, PostgresServer};
use crate::proxy::Proxy;
use crate::redis::{self as own_redis, RedisServer};
use crate::sentinel::{self, Sentinels};
use crate::wait;

/// How long a server may take for what the tests ask.
const PATIENCE: Duration = Duration::from_secs(30);
/// Silence after which sentinels replace the master: longer than any other fault lasts, and while it is to be
/// replaced.
const PATIENT_SENTINELS: Duration = Duration::from_secs(60);
const HASTY_SENTINELS: Duration = Duration::from_millis(1500);
/// Sessions of the product.
const TERMINATE: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'vayro'";
const DETACH: &str = "DO $$
    DECLARE partition text := 'click_events_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMM');
    BEGIN
        EXECUTE format('ALTER TABLE click_events DETACH PARTITION %I', partition);
        EXECUTE format('ALTER TABLE %I RENAME TO click_events_away', partition);
    END $$";
/// A worker may have made the partition anew.
const ATTACH: &str = "DO $$
    DECLARE month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
            partition text := 'click_events_' || to_char(month, 'YYYYMM');
    BEGIN
        IF to_regclass(partition) IS NULL THEN
            EXECUTE format('ALTER TABLE click_events_away RENAME TO %I', partition);
            EXECUTE format('ALTER TABLE click_events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                partition, month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
        ELSE
            INSERT INTO click_events SELECT * FROM click_events_away ON CONFLICT DO NOTHING;
            DROP TABLE click_events_away;
        END IF;
    END $$";

/// Every batch inserts into this table, and the product's statements may take two seconds.
const SLOW: &str = "CREATE OR REPLACE FUNCTION chaos_slow() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN PERFORM pg_sleep(5); RETURN NULL; END';
    CREATE TRIGGER chaos_slow BEFORE INSERT ON link_totals FOR EACH STATEMENT EXECUTE FUNCTION chaos_slow()";
/// Ends with its session.
const LOCK: &str = "BEGIN; LOCK TABLE link_totals IN ACCESS EXCLUSIVE MODE";
const QUICK: &str = "DROP TRIGGER IF EXISTS chaos_slow ON link_totals";

/// What leads the product to Redis.
#[derive(Debug)]
enum Front {
    Proxy(Proxy),
    /// The replica follows, and the sentinels watch both.
    Sentinels(RedisServer, Sentinels),
}

/// Both servers, and what is in front of them.
#[derive(Debug)]
pub(super) struct Servers {
    postgres: PostgresServer,
    /// What the product works with.
    redis: RedisServer,
    front: Front,
    postgres_proxy: Proxy,
    lock: Option<PgConnection>,
    /// Visits that were in the stream or among the dead letters when Redis was emptied, or replaced by a replica
    /// that never had them.
    pub(super) flushed: BTreeSet<String>,
}

fn address(url: &str) -> SocketAddr {
    let host = url.split(['@', '/']).find(|part| part.contains("127.0.0.1:")).expect("it is on loopback");
    host.parse().expect("an address and a port")
}

async fn connection(server: &RedisServer) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(server.url.as_str()).expect("an address");
    // A long stream takes its time, and a server that was frozen too.
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
    let connection = client.get_multiplexed_async_connection_with_config(&config).await;
    connection.expect("Redis answers the tests")
}

async fn ask<T: redis::FromRedisValue>(server: &RedisServer, words: &[&str]) -> T {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(&mut connection(server).await).await.expect("Redis answers the tests")
}

/// Starts a server that follows `master`.
async fn replica_of(master: &RedisServer) -> RedisServer {
    let replica = own_redis::server().await;
    // Not in its arguments: started again, it is a master until somebody tells it better.
    let at = address(&master.url);
    drop(ask::<String>(&replica, &["REPLICAOF", &at.ip().to_string(), &at.port().to_string()]).await);
    replica
}

/// Waits until a server follows its master and has everything.
async fn follows(replica: &RedisServer) {
    wait::until("a replica of Redis", PATIENCE, async || {
        // A sentinel that makes it a replica cuts its connections, this one too.
        let state: String = own_redis::ask(&replica.url, &["INFO", "replication"]).await?;
        state.contains("master_link_status:up").then_some(())
    })
    .await;
}

/// Returns the visits that are in the stream or among the dead letters, and does what `words` say in the same
/// step.
async fn held(server: &RedisServer, words: &[&str]) -> BTreeSet<String> {
    let mut all = redis::pipe();
    all.atomic().cmd("XRANGE").arg(&["stream:clicks", "-", "+"]);
    all.cmd("XRANGE").arg(&["stream:clicks:dead", "-", "+"]);
    all.cmd(words[0]).arg(&words[1..]).ignore();
    let (stream, dead): (StreamRangeReply, StreamRangeReply) =
        all.query_async(&mut connection(server).await).await.expect("Redis answers the tests");
    let queries = stream.ids.iter().chain(&dead.ids).filter_map(|entry| entry.get::<String>("query"));
    queries.filter_map(|query| query.strip_prefix("utm_content=").map(str::to_owned)).collect()
}

impl Servers {
    /// Starts them.
    ///
    /// # Panics
    ///
    /// When they do not come up.
    pub(super) async fn start(access: Access) -> Self {
        let (postgres, redis) = (postgres::server().await, own_redis::server().await);
        let front = match access {
            Access::Proxy => Front::Proxy(Proxy::start(address(&redis.url)).await),
            Access::Sentinels => {
                let replica = replica_of(&redis).await;
                follows(&replica).await;
                Front::Sentinels(replica, sentinel::watch(&redis, PATIENT_SENTINELS).await)
            }
        };
        Self {
            postgres_proxy: Proxy::start(address(&postgres.url)).await,
            postgres,
            redis,
            front,
            lock: None,
            flushed: BTreeSet::new(),
        }
    }

    /// Where PostgreSQL is for the product.
    pub(super) fn postgres_url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.postgres_proxy.address())
    }

    /// Where Redis is for the product.
    pub(super) fn redis_url(&self) -> String {
        match &self.front {
            Front::Proxy(proxy) => format!("redis://{}/", proxy.address()),
            Front::Sentinels(_, sentinels) => sentinels.url(),
        }
    }

    /// Where PostgreSQL is without a proxy.
    pub(super) fn postgres_direct(&self) -> &str {
        &self.postgres.url
    }

    async fn sql(&self, statement: &'static str) {
        let mut connection = self.session().await;
        connection.execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    async fn session(&self) -> PgConnection {
        PgConnection::connect(&self.postgres.url).await.expect("PostgreSQL answers the tests")
    }

    /// Runs a statement that needs a lock, unless a worker that is frozen in a transaction has it.
    async fn locking(&self, statement: &'static str) -> Option<PgConnection> {
        let mut connection = self.session().await;
        connection.execute("SET lock_timeout = '2s'").await.expect("a setting");
        connection.execute(statement).await.ok().map(|_| connection)
    }

    async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        ask(&self.redis, words).await
    }

    /// Puts entries into the stream that are no clicks.
    ///
    /// # Panics
    ///
    /// When Redis does not answer.
    pub(super) async fn poison(&self) {
        for _ in 0..3 {
            drop(self.ask::<String>(&["XADD", "stream:clicks", "*", "poison", "1"]).await);
        }
    }

    async fn flush(&mut self) {
        let lost = held(&self.redis, &["FLUSHALL"]).await;
        self.flushed.extend(lost);
    }

    fn redis_proxy(&self) -> &Proxy {
        match &self.front {
            Front::Proxy(proxy) => proxy,
            Front::Sentinels(..) => unreachable!("with sentinels there is no proxy"),
        }
    }

    /// The replica stops hearing anything.
    async fn leave_behind(&self) {
        let Front::Sentinels(replica, _) = &self.front else { unreachable!("a proxy has no replica") };
        // What was a master before may still have to find out that it is none any more.
        follows(replica).await;
        replica.pause();
        // Else it would find much of the rest in its socket when it goes on.
        let _: i64 = self.ask(&["CLIENT", "KILL", "TYPE", "replica"]).await;
    }

    /// The sentinels let the replica take over with what it has, and the old master comes back.
    async fn fail_over(&mut self) {
        let Front::Sentinels(replica, sentinels) = &mut self.front else {
            unreachable!("a proxy has no replica")
        };
        // Takes nothing from here on, so that what is lost is known exactly.
        let had = held(&self.redis, &["CONFIG", "SET", "maxmemory", "1"]).await;
        self.redis.kill();
        replica.resume();
        let has = held(replica, &["PING"]).await;
        self.flushed.extend(had.difference(&has).cloned());
        sentinels.set_down_after(HASTY_SENTINELS).await;
        sentinels.promoted(replica).await;
        sentinels.set_down_after(PATIENT_SENTINELS).await;
        std::mem::swap(&mut self.redis, replica);
        replica.restart().await;
    }

    /// Breaks something.
    ///
    /// # Panics
    ///
    /// When that cannot be done.
    pub(super) async fn inject(&mut self, fault: Fault) {
        match fault {
            Fault::KillRedis => self.redis.kill(),
            Fault::PauseRedis => self.redis.pause(),
            Fault::FullRedis => {
                drop(self.ask::<String>(&["CONFIG", "SET", "maxmemory", "1"]).await);
            }
            Fault::FlushRedis => self.flush().await,
            Fault::FailOverRedis => self.leave_behind().await,
            Fault::CutRedis(count) => self.redis_proxy().cut_answers(count),
            Fault::DelayRedis(millis) => self.redis_proxy().delay_answers(millis),
            Fault::SilentRedis => self.redis_proxy().swallow_answers(true),
            Fault::KillPostgres => self.postgres.kill(),
            Fault::KillPostmaster => self.postgres.kill_first_process(),
            Fault::SlowPostgres => drop(self.locking(SLOW).await),
            Fault::TerminateSessions => self.sql(TERMINATE).await,
            Fault::ReadOnlyPostgres => self.read_only("on").await,
            Fault::LockPostgres => self.lock = self.locking(LOCK).await,
            Fault::MissingPartition => self.sql(DETACH).await,
            Fault::CutPostgres(count) => self.postgres_proxy.cut_answers(count),
            Fault::SilentPostgres => self.postgres_proxy.swallow_answers(true),
            other => unreachable!("{other:?} is not of a server"),
        }
    }

    async fn read_only(&self, value: &str) {
        self.sql(match value {
            "on" => "ALTER SYSTEM SET default_transaction_read_only = on",
            _ => "ALTER SYSTEM RESET default_transaction_read_only",
        })
        .await;
        self.sql("SELECT pg_reload_conf()").await;
    }

    /// Mends it.
    ///
    /// # Panics
    ///
    /// When that cannot be done.
    pub(super) async fn heal(&mut self, fault: Fault) {
        match fault {
            Fault::KillRedis => self.redis.restart().await,
            Fault::PauseRedis => self.redis.resume(),
            Fault::FullRedis => {
                drop(self.ask::<String>(&["CONFIG", "SET", "maxmemory", "0"]).await);
            }
            Fault::FailOverRedis => self.fail_over().await,
            Fault::CutRedis(_) => self.redis_proxy().cut_answers(0),
            Fault::DelayRedis(_) => self.redis_proxy().delay_answers(0),
            Fault::SilentRedis => self.redis_proxy().swallow_answers(false),
            Fault::KillPostgres | Fault::KillPostmaster => self.postgres.restart().await,
            Fault::SlowPostgres => self.sql(QUICK).await,
            Fault::ReadOnlyPostgres => self.read_only("off").await,
            Fault::LockPostgres => self.lock = None,
            Fault::MissingPartition => self.sql(ATTACH).await,
            Fault::CutPostgres(_) => self.postgres_proxy.cut_answers(0),
            Fault::SilentPostgres => self.postgres_proxy.swallow_answers(false),
            _ => {}
        }
    }
}
