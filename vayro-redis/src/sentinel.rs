//! Asking sentinels where the master is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::{ConnectionInfo, RedisError, RedisResult, Value};
use tokio::task::JoinSet;

use crate::address::Endpoint;
use crate::dial::Tls;
use crate::entry;

/// Longest time for one sentinel's answer, and for the master's answer whether it is one.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// The sentinels and what they watch.
#[derive(Clone, Debug)]
pub(crate) struct Sentinels {
    pub(crate) places: Vec<ConnectionInfo>,
    pub(crate) master: Arc<str>,
    /// How the master is reached, except for its place.
    pub(crate) like: ConnectionInfo,
    pub(crate) tls: Tls,
}

impl Sentinels {
    /// Returns how to reach the server that most sentinels call the master and that says so itself.
    ///
    /// In the middle of a failover there may be none; the caller tries again later.
    pub(crate) async fn find_master(&self) -> RedisResult<ConnectionInfo> {
        let mut asked = JoinSet::new();
        for sentinel in self.places.clone() {
            let (tls, master) = (self.tls.clone(), Arc::clone(&self.master));
            asked.spawn(async move { within(ask(&tls, sentinel, &master)).await });
        }
        let mut votes: HashMap<Endpoint, usize> = HashMap::new();
        let mut failure = None;
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok(Ok(endpoint)) => {
                    let count = votes.entry(endpoint).or_default();
                    *count += 1;
                    // A sentinel that is cut off from the others may still name the old master.
                    if *count > self.places.len() / 2 {
                        break;
                    }
                }
                Ok(Err(error)) => failure = Some(error),
                Err(error) => failure = Some(std::io::Error::other(error).into()),
            }
        }
        let mut candidates: Vec<_> = votes.into_iter().collect();
        candidates.sort_by(|(_, left), (_, right)| right.cmp(left));
        for (endpoint, _) in candidates {
            let info = endpoint.reached_like(&self.like);
            match within(is_master(&self.tls, info.clone())).await {
                Ok(true) => return Ok(info),
                Ok(false) => failure = Some(other("the server the sentinels name is no master")),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| other("no sentinel answered")))
    }
}

async fn within<T>(answer: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    tokio::time::timeout(ANSWER_TIMEOUT, answer).await.map_err(std::io::Error::from)?
}

async fn ask(tls: &Tls, sentinel: ConnectionInfo, master: &str) -> RedisResult<Endpoint> {
    let mut connection = tls.client(sentinel)?.get_multiplexed_async_connection().await?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("get-master-addr-by-name").arg(master);
    let told: Option<(String, String)> = command.query_async(&mut connection).await?;
    let (host, port) = told.ok_or_else(|| other("a sentinel does not know the master of this name"))?;
    let port = port.parse().map_err(|_| other("a sentinel named no place for the master"))?;
    Ok(Endpoint { host, port })
}

async fn is_master(tls: &Tls, info: ConnectionInfo) -> RedisResult<bool> {
    let mut connection = tls.client(info)?.get_multiplexed_async_connection().await?;
    let role: Value = redis::cmd("ROLE").query_async(&mut connection).await?;
    Ok(says_master(role))
}

/// Reads the answer to `ROLE`.
pub(crate) fn says_master(role: Value) -> bool {
    let first = entry::list(role).ok().and_then(|parts| parts.into_iter().next());
    first.and_then(|word| entry::text(word).ok()).is_some_and(|word| word == "master")
}

fn other(why: &'static str) -> RedisError {
    std::io::Error::other(why).into()
}
