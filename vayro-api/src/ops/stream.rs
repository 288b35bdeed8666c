//! `/v1/ops/stream`.

use std::time::Duration;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vayro_core::stream::{BoundedCount, ConsumerStats, EdgeReport, ShardStats, StreamStats};
use vayro_core::timestamp::Timestamp;

use crate::auth::Caller;
use crate::extract::Json;
use crate::problem::{Problem, ProblemBody};
use crate::state::SharedState;

/// Edges that said nothing for longer are not shown.
const REPORT_AGE_MAX: Duration = Duration::from_mins(5);

pub(super) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(get_stream)).routes(routes!(replay_stream))
}

/// The click stream from the edges to the workers.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct StreamView {
    /// When it was measured.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Entries never handed to a worker.
    undelivered: CountView,
    /// Age of the oldest of them in milliseconds.
    #[schema(required = true)]
    undelivered_oldest_ms: Option<u64>,
    /// Entries handed out and not acknowledged.
    pending: u64,
    /// How long the oldest of them has been out, in milliseconds.
    #[schema(required = true)]
    pending_oldest_ms: Option<u64>,
    /// Entries the stream holds, acknowledged ones within the safety window included.
    length: u64,
    /// Entries ever added; two readings give the rate in. `null` if the stream cannot tell.
    #[schema(required = true)]
    added_total: Option<u64>,
    /// Entries ever acknowledged; two readings give the rate out. `null` if the stream cannot tell.
    #[schema(required = true)]
    acked_total: Option<u64>,
    /// Dead letters waiting.
    dead_letters: u64,
    /// What the server itself calls lag; `null` when it cannot tell.
    #[schema(required = true)]
    server_lag: Option<u64>,
    /// The workers.
    consumers: Vec<ConsumerView>,
    /// The shards the stream is made of; empty where it is one whole.
    shards: Vec<ShardView>,
    /// The edges that said something within the last five minutes.
    edges: Vec<EdgeView>,
}

/// A number that may be known only as a lower bound.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = BoundedCount)]
struct CountView {
    /// The count, or the point where counting stopped.
    count: u64,
    /// Whether there are more than `count`.
    is_capped: bool,
}

/// One worker as the stream sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Consumer)]
struct ConsumerView {
    /// Its name.
    name: String,
    /// Entries it holds unacknowledged.
    pending: u64,
    /// Milliseconds since it last asked for work.
    idle_ms: u64,
}

/// One of the streams that clicks are spread over.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Shard)]
struct ShardView {
    /// Its name.
    name: String,
    /// Whether it is only read until it is empty, and then removed.
    is_retiring: bool,
    /// The worker that reads it; others may help.
    #[schema(required = true)]
    worker: Option<String>,
    /// Entries never handed to a worker.
    undelivered: CountView,
    /// Age of the oldest of them in milliseconds.
    #[schema(required = true)]
    undelivered_oldest_ms: Option<u64>,
    /// Entries handed out and not acknowledged.
    pending: u64,
    /// Entries it holds, acknowledged ones within the safety window included.
    length: u64,
    /// Its dead letters.
    dead_letters: u64,
}

/// What one edge says about itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Edge)]
struct EdgeView {
    /// Host name and boot id.
    edge: String,
    /// Clicks accepted since it started.
    clicks_accepted: u64,
    /// Clicks that reached the stream since it started.
    clicks_shipped: u64,
    /// Clicks dropped at a named limit since it started.
    clicks_dropped: u64,
    /// Bytes waiting in its spool.
    spool_bytes: u64,
    /// Clicks waiting there.
    spool_clicks: u64,
    /// Age of the oldest click in its spool in milliseconds.
    #[schema(required = true)]
    spool_oldest_ms: Option<u64>,
    /// When it said so.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

impl From<BoundedCount> for CountView {
    fn from(BoundedCount { count, is_capped }: BoundedCount) -> Self {
        Self { count, is_capped }
    }
}

impl From<ShardStats> for ShardView {
    fn from(stats: ShardStats) -> Self {
        let ShardStats {
            name,
            is_retiring,
            worker,
            undelivered,
            undelivered_oldest_ms,
            pending,
            length,
            dead_letters,
        } = stats;
        Self {
            name,
            is_retiring,
            worker,
            undelivered: undelivered.into(),
            undelivered_oldest_ms,
            pending,
            length,
            dead_letters,
        }
    }
}

impl From<EdgeReport> for EdgeView {
    fn from(report: EdgeReport) -> Self {
        let EdgeReport {
            edge,
            clicks_accepted,
            clicks_shipped,
            clicks_dropped,
            spool_bytes,
            spool_clicks,
            spool_oldest_ms,
            at,
        } = report;
        Self {
            edge,
            clicks_accepted,
            clicks_shipped,
            clicks_dropped,
            spool_bytes,
            spool_clicks,
            spool_oldest_ms,
            at,
        }
    }
}

impl StreamView {
    fn new(stats: StreamStats, reports: Vec<EdgeReport>, at: Timestamp) -> Self {
        let consumer = |ConsumerStats { name, pending, idle_ms }| ConsumerView { name, pending, idle_ms };
        Self {
            at,
            undelivered: stats.undelivered.into(),
            undelivered_oldest_ms: stats.undelivered_oldest_ms,
            pending: stats.pending,
            pending_oldest_ms: stats.pending_oldest_ms,
            length: stats.length,
            added_total: stats.added_total,
            acked_total: stats.acked_total,
            dead_letters: stats.dead_letters,
            server_lag: stats.server_lag,
            consumers: stats.consumers.into_iter().map(consumer).collect(),
            shards: stats.shards.into_iter().map(ShardView::from).collect(),
            edges: reports.into_iter().map(EdgeView::from).collect(),
        }
    }
}

/// Measure the click stream
///
/// For operators, with a session or the scope `ops`.
#[utoipa::path(
    get,
    path = "/v1/ops/stream",
    tag = "ops",
    responses(
        (status = 200, description = "The stream, its workers and its edges", body = StreamView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn get_stream(State(state): State<SharedState>, caller: Caller) -> Result<Json<StreamView>, Problem> {
    caller.require_operator()?;
    let now = state.clock.now();
    let since = now.minus(REPORT_AGE_MAX);
    let (measured, reports) =
        futures::try_join!(state.ports.stream.stats(now), state.ports.reports.list(since))?;
    Ok(Json(StreamView::new(measured, reports, now)))
}

/// From when on the stream is replayed.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = StreamReplay)]
struct ReplayInput {
    /// Entries added at or after this instant are handed out again.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
}

/// What is handed out again.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = StreamReplayed)]
struct ReplayOutput {
    /// Entries that had been handed out before.
    replayed: CountView,
}

/// Replay the click stream
///
/// For a database that was restored to an earlier state: hands out again what the stream still holds of the
/// time since, stored or not. A click keeps its id, so one that is stored is not counted again. The stream keeps
/// stored clicks for `worker.trim_window`. For operators, with a session or the scope `ops`.
#[utoipa::path(
    post,
    path = "/v1/ops/stream/replay",
    tag = "ops",
    request_body = ReplayInput,
    responses(
        (status = 200, description = "How much is handed out again", body = ReplayOutput),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn replay_stream(
    State(state): State<SharedState>,
    caller: Caller,
    Json(input): Json<ReplayInput>,
) -> Result<Json<ReplayOutput>, Problem> {
    caller.require_operator()?;
    let BoundedCount { count, is_capped } = state.ports.stream.replay(input.since).await?;
    tracing::warn!(user.id = %caller.user.id, since = %input.since, count, "the click stream is replayed");
    Ok(Json(ReplayOutput { replayed: CountView { count, is_capped } }))
}
