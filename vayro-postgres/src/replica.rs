//! A streaming replica that answers questions while it is near.
//!
//! Near means: what it shows was true on the primary not longer ago than the limit. The primary is asked
//! where its log ends and what time it is, then the replica how far it has come. If it has come to that end
//! it is near, however long nothing was written; otherwise the newest transaction that it shows must be
//! young, by the primary's clock alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use secrecy::SecretString;
use vayro_core::ports::StoreError;
use vayro_core::timestamp::Timestamp;

use crate::database::{ConnectError, PgStores, PostgresConfig};
use crate::instant::Instant as PgInstant;

/// The replica is looked at when it is asked something, at most this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a look may take.
const LOOK_TIMEOUT: Duration = Duration::from_millis(500);

/// How a replica is used.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// Address, such as `postgres://vayro@replica.internal/vayro`.
    pub url: SecretString,
    /// How far it may be behind the primary to be asked.
    pub lag_max: Duration,
}

/// How a replica is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaState {
    /// It may be asked.
    Near,
    /// It is behind by more than it may; by how much, if it has ever shown anything.
    Behind(Option<Duration>),
    /// It does not answer, or the primary does not, so that nobody knows how far it is behind.
    Away(String),
    /// It takes changes: it was made a primary of its own, or never was a replica.
    Primary,
}

/// A replica and the primary it follows. Clones share everything.
#[derive(Clone, Debug)]
pub struct PgReplica(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    replica: PgStores,
    primary: PgStores,
    lag_max: Duration,
    /// The last look and when it began.
    last: Mutex<Option<(Instant, ReplicaState)>>,
    is_looking: AtomicBool,
}

/// Gives the right to look back.
struct Looking<'a>(&'a AtomicBool);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl PgReplica {
    /// Makes it without asking anybody; the pool is like that of `primary`, which `config` describes.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Address`].
    pub fn open(
        primary: &PgStores,
        config: &PostgresConfig,
        replica: &ReplicaConfig,
    ) -> Result<Self, ConnectError> {
        let of_replica = PostgresConfig { url: replica.url.clone(), ..config.clone() };
        Ok(Self(Arc::new(Shared {
            replica: PgStores::open(&of_replica)?,
            primary: primary.clone(),
            lag_max: replica.lag_max,
            last: Mutex::new(None),
            is_looking: AtomicBool::new(false),
        })))
    }

    /// Returns the ports on the replica; changes are refused there.
    pub fn stores(&self) -> &PgStores {
        &self.0.replica
    }

    /// Returns how it was at the last look; `None` before the first one.
    pub fn last_seen(&self) -> Option<ReplicaState> {
        self.0.last.lock().as_ref().map(|(_, state)| state.clone())
    }

    /// Returns how it is, as of a look that is not older than a second; while somebody looks, as of the look
    /// before.
    pub async fn state(&self) -> ReplicaState {
        let is_due = {
            let last = self.0.last.lock();
            match &*last {
                Some((at, state)) if at.elapsed() < LOOK_EVERY => return state.clone(),
                _ => !self.0.is_looking.swap(true, Ordering::AcqRel),
            }
        };
        if !is_due {
            let unknown = || ReplicaState::Away("it was never looked at".to_owned());
            return self.last_seen().unwrap_or_else(unknown);
        }
        let _looking = Looking(&self.0.is_looking);
        let began = Instant::now();
        let state = match tokio::time::timeout(LOOK_TIMEOUT, self.look()).await {
            Ok(Ok(state)) => state,
            Ok(Err(error)) => ReplicaState::Away(words(&error)),
            Err(_) => ReplicaState::Away(format!("no answer within {} ms", LOOK_TIMEOUT.as_millis())),
        };
        self.note(began, state.clone());
        state
    }

    /// Takes note that a question failed on it, so that the next ones go elsewhere until the next look.
    pub fn failed(&self, error: &StoreError) {
        self.note(Instant::now(), ReplicaState::Away(words(error)));
    }

    fn note(&self, at: Instant, state: ReplicaState) {
        let before = self.0.last.lock().replace((at, state.clone()));
        let was_near = before.map(|(_, state)| state == ReplicaState::Near);
        match state {
            ReplicaState::Near if was_near != Some(true) => {
                tracing::info!("questions about clicks go to the replica");
            }
            ReplicaState::Near => {}
            state if was_near != Some(false) => {
                tracing::warn!("questions about clicks go to the primary: the replica {state}");
            }
            _ => {}
        }
    }

    async fn look(&self) -> Result<ReplicaState, StoreError> {
        let ask = async |connection: &mut sqlx::PgConnection| {
            let end = "SELECT pg_current_wal_insert_lsn()::text, clock_timestamp()";
            Ok(sqlx::query_as::<_, (String, PgInstant)>(end).fetch_one(connection).await?)
        };
        let (end, now) = self.0.primary.within(ask).await?;
        let ask = async |connection: &mut sqlx::PgConnection| {
            let place = "SELECT pg_is_in_recovery(),
                                COALESCE(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false),
                                pg_last_xact_replay_timestamp()";
            let place = sqlx::query_as::<_, (bool, bool, Option<PgInstant>)>(place).bind(end);
            Ok(place.fetch_one(connection).await?)
        };
        let (is_replica, is_at_the_end, shown) = self.0.replica.within(ask).await?;
        Ok(judge(is_replica, is_at_the_end, shown.map(|PgInstant(at)| at), now.0, self.0.lag_max))
    }

    /// Closes its connections.
    pub async fn close(&self) {
        self.0.replica.close().await;
    }
}

impl std::fmt::Display for ReplicaState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Near => f.write_str("is near"),
            Self::Behind(Some(lag)) => write!(f, "is {:.1} s behind", lag.as_secs_f64()),
            Self::Behind(None) => f.write_str("has shown nothing yet"),
            Self::Away(words) => write!(f, "is away: {words}"),
            Self::Primary => f.write_str("is no replica"),
        }
    }
}

fn words(error: &StoreError) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

fn judge(
    is_replica: bool,
    is_at_the_end: bool,
    shown: Option<Timestamp>,
    now: Timestamp,
    lag_max: Duration,
) -> ReplicaState {
    let lag = shown.map(|shown| now.since(shown));
    match lag {
        _ if !is_replica => ReplicaState::Primary,
        _ if is_at_the_end => ReplicaState::Near,
        Some(lag) if lag <= lag_max => ReplicaState::Near,
        lag => ReplicaState::Behind(lag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_near_at_the_end_or_while_what_it_shows_is_young() {
        let at = |seconds: i64| Timestamp::from_millis(1_790_000_000_000 + seconds * 1000).expect("in range");
        let max = Duration::from_secs(5);
        let judge = |is_at_the_end, shown: Option<i64>| judge(true, is_at_the_end, shown.map(at), at(0), max);
        assert_eq!(judge(true, Some(-3600)), ReplicaState::Near, "nothing was written for an hour");
        assert_eq!(judge(true, None), ReplicaState::Near, "nothing was ever written");
        assert_eq!(judge(false, Some(-5)), ReplicaState::Near);
        assert_eq!(judge(false, Some(1)), ReplicaState::Near, "written after the primary was asked");
        assert_eq!(judge(false, Some(-6)), ReplicaState::Behind(Some(Duration::from_secs(6))));
        assert_eq!(judge(false, None), ReplicaState::Behind(None));
        let promoted = super::judge(false, true, Some(at(0)), at(0), max);
        assert_eq!(promoted, ReplicaState::Primary);
    }
}
