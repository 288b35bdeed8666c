//! What two measurements of the stream say together.

use serde::Serialize;
use vayro_core::stream::{BoundedCount, ConsumerStats, EdgeReport, ShardStats};
use vayro_core::timestamp::Timestamp;

use crate::client::operations::StreamState;

/// How the backlog moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Trend {
    /// There is none.
    Idle,
    /// It shrinks.
    Draining,
    /// It does not shrink at this rate.
    Growing,
    /// The stream cannot tell.
    Unknown,
}

/// One line of a watch; its JSON is a public interface.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Reading {
    /// When it was taken.
    pub(super) at: Timestamp,
    /// Clicks never handed to a worker.
    pub(super) undelivered: BoundedCount,
    /// Age of the oldest of them in milliseconds.
    pub(super) undelivered_oldest_ms: Option<u64>,
    /// Clicks handed out and not stored.
    pub(super) pending: u64,
    /// How long the oldest of them has been out, in milliseconds.
    pub(super) pending_oldest_ms: Option<u64>,
    /// Clicks added per second between the two measurements.
    pub(super) in_per_second: Option<f64>,
    /// Clicks stored per second between the two measurements.
    pub(super) out_per_second: Option<f64>,
    /// How the backlog moves.
    pub(super) trend: Trend,
    /// Seconds until it is empty at this rate; a lower bound if `undelivered` is capped.
    pub(super) drain_seconds: Option<u64>,
    /// Dead letters waiting.
    pub(super) dead_letters: u64,
    /// Entries in the stream, stored ones within the safety window included.
    pub(super) length: u64,
    /// What the server itself calls lag.
    pub(super) server_lag: Option<u64>,
    /// Bytes in the spools of all edges.
    pub(super) spool_bytes: u64,
    /// The workers.
    pub(super) consumers: Vec<ConsumerStats>,
    /// The shards; empty if the stream has none.
    pub(super) shards: Vec<ShardStats>,
    /// The edges.
    pub(super) edges: Vec<EdgeReport>,
}

impl Reading {
    /// Compares two measurements.
    pub(super) fn between(before: &StreamState, state: &StreamState) -> Self {
        let seconds = state.at.since(before.at).as_secs_f64();
        let stream = &state.stream;
        let in_per_second = rate(before.stream.added_total, stream.added_total, seconds);
        let out_per_second = rate(before.stream.acked_total, stream.acked_total, seconds);
        let backlog = stream.undelivered.count.saturating_add(stream.pending);
        let (trend, drain_seconds) = drain(backlog, in_per_second, out_per_second);
        Self {
            at: state.at,
            undelivered: stream.undelivered,
            undelivered_oldest_ms: stream.undelivered_oldest_ms,
            pending: stream.pending,
            pending_oldest_ms: stream.pending_oldest_ms,
            in_per_second,
            out_per_second,
            trend,
            drain_seconds,
            dead_letters: stream.dead_letters,
            length: stream.length,
            server_lag: stream.server_lag,
            spool_bytes: state.edges.iter().map(|edge| edge.spool_bytes).sum(),
            consumers: stream.consumers.clone(),
            shards: stream.shards.clone(),
            edges: state.edges.clone(),
        }
    }
}

/// Returns the rate of a counter; `None` if it is unknown or went backwards, as after a restart.
#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn rate(before: Option<u64>, after: Option<u64>, seconds: f64) -> Option<f64> {
    let difference = after?.checked_sub(before?)?;
    (seconds > 0.0).then(|| (difference as f64 / seconds * 10.0).round() / 10.0)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate in whole seconds; the cast saturates"
)]
fn drain(backlog: u64, in_per_second: Option<f64>, out_per_second: Option<f64>) -> (Trend, Option<u64>) {
    if backlog == 0 {
        return (Trend::Idle, Some(0));
    }
    match (in_per_second, out_per_second) {
        (Some(incoming), Some(outgoing)) if outgoing > incoming => {
            (Trend::Draining, Some((backlog as f64 / (outgoing - incoming)).ceil() as u64))
        }
        (Some(_), Some(_)) => (Trend::Growing, None),
        _ => (Trend::Unknown, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_need_two_readings_that_go_forward() {
        assert_eq!(rate(Some(100), Some(150), 2.0), Some(25.0));
        assert_eq!(rate(Some(150), Some(100), 2.0), None, "a counter that restarted");
        assert_eq!(rate(None, Some(100), 2.0), None);
        assert_eq!(rate(Some(1), Some(2), 0.0), None);
    }

    #[test]
    fn time_to_drain_is_claimed_only_when_known() {
        assert_eq!(drain(0, None, None), (Trend::Idle, Some(0)));
        assert_eq!(drain(100, Some(10.0), Some(30.0)), (Trend::Draining, Some(5)));
        assert_eq!(drain(100, Some(10.0), Some(10.0)), (Trend::Growing, None));
        assert_eq!(drain(100, Some(10.0), None), (Trend::Unknown, None));
    }
}
