//! Which visits were counted a moment ago, for all workers together.
//!
//! The first visit in a while, as nearly every one is, takes one `SET … NX` in a pipeline. One that meets a
//! mark is judged by a script, in a second pipeline. Each command is about one key.
//!
//! A server whose memory is full refuses marks, and must not keep workers from emptying the stream: then
//! marks that it has are asked, and new ones are kept in this process until there is room again.

use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerError, ServerErrorKind, Value};
use vayro_core::ids::ClickId;
use vayro_core::ports::{RecentVisits, StreamError};
use vayro_core::timestamp::Timestamp;
use vayro_core::visits::{MARK_SLACK, MARKS_MAX, Verdict, VisitClaim, VisitMarks, judge};

use crate::client::RedisClient;
use crate::lane::Lane;
use crate::names;
use crate::scripts::{CLAIM_VISIT, CLAIM_VISIT_TEXT};
use crate::units::millis;

/// Visits of one pipeline, so that others who share the connection do not wait long.
const VISITS_PER_REQUEST: usize = 2_000;

/// Remembers counted visits in Redis.
#[derive(Debug)]
pub struct RedisRecentVisits {
    lane: Lane,
    /// Marks that a full server did not take.
    here: Mutex<VisitMarks>,
}

/// How one visit was answered.
enum Answer {
    Counted,
    Repeat,
    /// The script is not known there yet.
    NoScript,
    /// There is no memory for a mark.
    Full,
}

impl RedisRecentVisits {
    /// Returns the memory of this server.
    pub fn new(client: &RedisClient) -> Self {
        Self { lane: client.commands.clone(), here: Mutex::default() }
    }

    async fn claim_some(
        &self,
        visits: &[VisitClaim],
        window: Duration,
        now: Timestamp,
    ) -> RedisResult<Vec<bool>> {
        let replies = self.lane.scatter(commands(visits, |visit| mark(visit, window))).await?;
        let mut counted = vec![true; visits.len()];
        let (mut left, mut is_full) = (Vec::new(), false);
        for (index, reply) in replies.into_iter().enumerate() {
            match reply {
                Value::Okay => {}
                Value::Nil => left.push(index),
                Value::ServerError(error) if is_out_of_memory(&error) => {
                    left.push(index);
                    is_full = true;
                }
                other => return Err(unexpected(other)),
            }
        }
        if !is_full {
            left = self.judge_there(visits, left, window, &mut counted).await?;
        }
        if !left.is_empty() {
            self.judge_here(visits, &left, window, now, &mut counted).await?;
        }
        Ok(counted)
    }

    /// Has the server judge the visits at `indexes` and returns those that it has no memory for.
    async fn judge_there(
        &self,
        visits: &[VisitClaim],
        indexes: Vec<usize>,
        window: Duration,
        counted: &mut [bool],
    ) -> RedisResult<Vec<usize>> {
        let mut left = indexes;
        let mut full = Vec::new();
        for is_known in [true, false] {
            if left.is_empty() {
                break;
            }
            let asked = left.iter().map(|index| &visits[*index]);
            let replies = self.lane.scatter(commands(asked, |visit| script(visit, window, is_known))).await?;
            let mut unknown = Vec::new();
            for (index, reply) in left.into_iter().zip(replies) {
                match answer(reply)? {
                    Answer::Counted => {}
                    Answer::Repeat => counted[index] = false,
                    Answer::NoScript => unknown.push(index),
                    Answer::Full => full.push(index),
                }
            }
            left = unknown;
        }
        full.extend(left);
        Ok(full)
    }

    /// Judges the visits at `indexes` by the server's marks and those kept here.
    async fn judge_here(
        &self,
        visits: &[VisitClaim],
        indexes: &[usize],
        window: Duration,
        now: Timestamp,
        counted: &mut [bool],
    ) -> RedisResult<()> {
        let asked = indexes.iter().map(|index| &visits[*index]);
        let replies = self.lane.scatter(commands(asked, get)).await?;
        let mut here = self.here.lock();
        if here.is_empty() {
            tracing::warn!("Redis has no memory left; repeats are told apart by each worker for itself");
        }
        for (index, reply) in indexes.iter().zip(replies) {
            let marks = match reply {
                Value::Nil => Vec::new(),
                Value::BulkString(marks) => marks,
                other => return Err(unexpected(other)),
            };
            let visit = &visits[*index];
            counted[*index] = match judge(ids(&marks), visit.click_id, window) {
                Verdict::Marked => true,
                Verdict::Repeat => false,
                Verdict::New => here.claim(visit, window, now),
            };
        }
        Ok(())
    }
}

/// Returns a command for each visit with the key it is about.
fn commands<'a>(
    visits: impl IntoIterator<Item = &'a VisitClaim>,
    command: impl Fn(&VisitClaim) -> Cmd,
) -> Vec<(String, Cmd)> {
    visits.into_iter().map(|visit| (names::visit(visit), command(visit))).collect()
}

fn mark(visit: &VisitClaim, window: Duration) -> Cmd {
    let mut command = Cmd::with_capacity(6, 160);
    command.arg("SET").arg(names::visit(visit)).arg(visit.click_id.to_string());
    command.arg("NX").arg("PX").arg(time_to_live(window));
    command
}

fn script(visit: &VisitClaim, window: Duration, is_known: bool) -> Cmd {
    let mut command = Cmd::new();
    if is_known {
        command.arg("EVALSHA").arg(CLAIM_VISIT.get_hash());
    } else {
        command.arg("EVAL").arg(CLAIM_VISIT_TEXT);
    }
    command.arg(1).arg(names::visit(visit)).arg(visit.click_id.to_string());
    command.arg(millis(window)).arg(time_to_live(window)).arg(MARKS_MAX);
    command
}

fn get(visit: &VisitClaim) -> Cmd {
    let mut command = Cmd::new();
    command.arg("GET").arg(names::visit(visit));
    command
}

fn time_to_live(window: Duration) -> i64 {
    millis(window.saturating_add(MARK_SLACK))
}

/// Reads marks; what is none of ours says nothing.
fn ids(marks: &[u8]) -> impl Iterator<Item = ClickId> {
    marks.split(|byte| *byte == b',').filter_map(|mark| std::str::from_utf8(mark).ok()?.parse().ok())
}

fn answer(reply: Value) -> RedisResult<Answer> {
    Ok(match reply {
        Value::Int(1) => Answer::Counted,
        Value::Int(0) => Answer::Repeat,
        Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript) => Answer::NoScript,
        Value::ServerError(error) if is_out_of_memory(&error) => Answer::Full,
        other => return Err(unexpected(other)),
    })
}

/// Older servers wrap the error of a command in one of its script.
fn is_out_of_memory(error: &ServerError) -> bool {
    error.code() == "OOM"
        || error.details().is_some_and(|details| details.contains("OOM command not allowed"))
}

fn unexpected(reply: Value) -> RedisError {
    match reply {
        Value::ServerError(error) => error.into(),
        _ => RedisError::from((ErrorKind::UnexpectedReturnType, "a mark of a visit was answered oddly")),
    }
}

#[async_trait]
impl RecentVisits for RedisRecentVisits {
    async fn claim(
        &self,
        visits: &[VisitClaim],
        window: Duration,
        now: Timestamp,
    ) -> Result<Vec<bool>, StreamError> {
        let mut counted = Vec::with_capacity(visits.len());
        for some in visits.chunks(VISITS_PER_REQUEST) {
            let answers = self.claim_some(some, window, now).await;
            counted.extend(answers.map_err(|error| StreamError(error.into()))?);
        }
        Ok(counted)
    }
}
