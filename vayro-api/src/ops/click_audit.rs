//! `/v1/ops/audit/clicks`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vayro_core::day::Day;
use vayro_core::dead_letters::Pages;
use vayro_core::ledger::{DayAudit, DayCounts, DayEvidence, KnownEdge, Verdict, reconcile};
use vayro_core::stream::{DeadLetterFilter, EdgeReport, day_of};
use vayro_core::timestamp::Timestamp;

use crate::auth::Caller;
use crate::extract::{Json, Query};
use crate::problem::{Problem, ProblemBody};
use crate::state::{ApiState, SharedState};

/// Days shown when none is asked for, today included.
const DAYS_SHOWN: u16 = 7;
/// Entries of the stream that are looked at; beyond, the stream is only known to be long.
const STREAM_MAX: u64 = 100_000;
/// Dead letters that are looked at.
const LETTERS_MAX: usize = 100_000;
/// Dead letters read at one time.
const LETTERS_PAGE: u16 = 500;
/// An edge tells its count at least every thirty seconds; after this long it is silent.
const SILENT_AFTER: Duration = Duration::from_secs(90);
/// A silent edge is no longer expected to come back with clicks that it accepted.
const GONE_AFTER: Duration = Duration::from_secs(7 * 86_400);
/// Clicks this much older than an edge's figures may be missing in them: they wait in a ring first.
const RING_SLACK: Duration = Duration::from_secs(1);

pub(super) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(audit_clicks))
}

/// What edges accepted, compared with what became of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ClickAudit {
    /// When it was measured.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `balanced`, `unbalanced` or `unknown`: of all days together.
    verdict: &'static str,
    /// Per UTC day, oldest first.
    days: Vec<DayView>,
    /// What is on the way, of whatever day.
    on_the_way: OnTheWay,
    /// Dead letters and stream entries that carry no click id, so that they belong to no day.
    undated: u64,
    /// Edges that run, and edges that fell silent without ending: what those accepted since then is not in
    /// the figures.
    edges: Vec<EdgeView>,
}

/// The account of one day: `accepted + untold` = `stored` + `removed` + `dead_letters` + `in_flight` +
/// `dropped` + `unsure` + `unaccounted`.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DayAudit)]
struct DayView {
    /// The day, in UTC.
    #[schema(value_type = String, format = Date)]
    day: Day,
    /// Clicks that edges accepted, by their own count.
    accepted: u64,
    /// Clicks stored that are newer than the edges' figures.
    untold: u64,
    /// Rows in the database.
    stored: u64,
    /// Clicks removed on purpose: their link was deleted for good, or their dead letter purged.
    removed: u64,
    /// Dead letters.
    dead_letters: u64,
    /// Clicks found nowhere else, as far as so many are on the way.
    in_flight: u64,
    /// Clicks dropped.
    dropped: DroppedView,
    /// Clicks found nowhere, as far as killed edges held so many in their hands.
    unsure: u64,
    /// What nothing explains: above zero clicks are missing, below zero there are too many.
    unaccounted: i64,
    /// `balanced`, `unbalanced`, or `unknown` when no edge counted that day.
    verdict: &'static str,
}

/// Clicks dropped, by the limit that was reached.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = DroppedClicks)]
struct DroppedView {
    /// `edge.click_ring_len`.
    ring_full: u64,
    /// `edge.flush_timeout`.
    shutdown: u64,
    /// A failing disk under the spool.
    disk: u64,
}

/// Clicks on the way to the database.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
struct OnTheWay {
    /// Entries of the stream that are not settled; they may be stored already.
    stream: u64,
    /// Whether there are more than were counted.
    stream_is_capped: bool,
    /// Clicks in spools.
    spools: u64,
    /// Clicks in the hands of running edges.
    edges: u64,
}

/// An edge that has not ended.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditedEdge)]
struct EdgeView {
    /// Host name and boot id.
    edge: String,
    /// Whether it has not told its figures for a while.
    is_silent: bool,
    /// When it told them last.
    #[schema(value_type = String, format = DateTime)]
    heard_at: Timestamp,
}

impl From<DayAudit> for DayView {
    fn from(audit: DayAudit) -> Self {
        let DayAudit { day, accepted, untold, stored, removed, dead_letters, in_flight, dropped, .. } = audit;
        Self {
            day,
            accepted,
            untold,
            stored,
            removed,
            dead_letters,
            in_flight,
            dropped: DroppedView {
                ring_full: dropped.ring_full,
                shutdown: dropped.shutdown,
                disk: dropped.disk,
            },
            unsure: audit.unsure,
            unaccounted: audit.unaccounted,
            verdict: audit.verdict.as_str(),
        }
    }
}

/// Reconcile clicks
///
/// Compares, per UTC day, what edges accepted with what was stored, put aside, dropped, or is on the way.
/// Without `day` the last seven days. Exact when nothing is on the way; otherwise what is on the way bounds
/// how much may be missing. For operators, with a session or the scope `ops`.
#[utoipa::path(
    get,
    path = "/v1/ops/audit/clicks",
    tag = "ops",
    params(("day" = Option<String>, Query, description = "Only this UTC day, such as `2026-05-01`")),
    responses(
        (status = 200, description = "The account of each day", body = ClickAudit),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn audit_clicks(
    State(state): State<SharedState>,
    caller: Caller,
    mut query: Query,
) -> Result<Json<ClickAudit>, Problem> {
    caller.require_operator()?;
    let day = query.parse_as::<Day>("day");
    query.finish()?;
    let now = state.clock.now();
    let (first, last) = match day {
        Some(day) => (day, day),
        None => (Day::of(now).minus(DAYS_SHOWN - 1), Day::of(now)),
    };
    Ok(Json(audit(&state, first, last, now).await?))
}

/// What edges say, by day.
#[derive(Default)]
struct Told {
    days: BTreeMap<Day, DayCounts>,
    in_hand: BTreeMap<Day, u64>,
    unsure: BTreeMap<Day, u64>,
    disk: u64,
}

impl Told {
    fn new(figures: Vec<(Day, String, DayCounts)>, edges: &[KnownEdge], now: Timestamp) -> Self {
        let mut told = Self::default();
        for (day, edge, counts) in figures {
            told.days.entry(day).or_default().add(&counts);
            let runs =
                edges.iter().any(|known| known.edge == edge && !known.is_over && !is_silent(known, now));
            let held = if runs { &mut told.in_hand } else { &mut told.unsure };
            *held.entry(day).or_default() += counts.unsettled();
            told.disk += counts.disk;
        }
        told
    }
}

fn is_silent(edge: &KnownEdge, now: Timestamp) -> bool {
    now.since(edge.heard_at) > SILENT_AFTER
}

/// Reads from the edges toward the database: a click that moves meanwhile is then met again further on, not
/// missed.
async fn audit(state: &ApiState, first: Day, last: Day, now: Timestamp) -> Result<ClickAudit, Problem> {
    let ports = &state.ports;
    let mut edges = ports.ledger.edges().await?;
    let told = Told::new(ports.ledger.figures(first, last).await?, &edges, now);
    edges.retain(|edge| !edge.is_over && now.since(edge.heard_at) < GONE_AFTER);
    let late = edges.iter().map(|edge| edge.heard_at).min().unwrap_or(now).minus(RING_SLACK);
    let reports = ports.reports.list(now.minus(SILENT_AFTER)).await?;
    let spools = in_spools(&reports, &edges);
    let stream = ports.stream.unsettled(STREAM_MAX).await?;
    let (letters, undated_letters) = letters_by_day(state).await?;
    let tally: BTreeMap<Day, _> = ports.ledger.tally(first, last, late).await?.into_iter().collect();

    let is_seen =
        |day: &Day| told.days.contains_key(day) || tally.contains_key(day) || letters.contains_key(day);
    let days: Vec<DayAudit> = (first.number()..=last.number())
        .filter_map(Day::from_number)
        .filter(|day| first == last || is_seen(day))
        .map(|day| {
            let tally = tally.get(&day).copied().unwrap_or_default();
            let of = |days: &BTreeMap<Day, u64>| days.get(&day).copied().unwrap_or_default();
            reconcile(&DayEvidence {
                day,
                counts: told.days.get(&day).copied(),
                in_hand: of(&told.in_hand),
                unsure: of(&told.unsure),
                stored: tally.stored,
                stored_late: tally.stored_late,
                removed: tally.removed,
                dead_letters: of(&letters),
                // A stream too long to be looked at may hold anything.
                in_stream: if stream.is_capped { u64::from(u32::MAX) } else { of(&stream.days) },
                in_spools: spools,
                disk: told.disk,
            })
        })
        .collect();
    let has = |verdict| days.iter().any(|day| day.verdict == verdict);
    let verdict = match (has(Verdict::Unbalanced), has(Verdict::Balanced)) {
        (true, _) => Verdict::Unbalanced,
        (false, true) => Verdict::Balanced,
        (false, false) => Verdict::Unknown,
    };
    let view = |edge: KnownEdge| EdgeView {
        is_silent: is_silent(&edge, now),
        heard_at: edge.heard_at,
        edge: edge.edge,
    };
    Ok(ClickAudit {
        at: now,
        verdict: verdict.as_str(),
        days: days.into_iter().map(DayView::from).collect(),
        on_the_way: OnTheWay {
            stream: stream.total(),
            stream_is_capped: stream.is_capped,
            spools,
            edges: told.in_hand.values().sum(),
        },
        undated: stream.undated + undated_letters,
        edges: edges.into_iter().map(view).collect(),
    })
}

/// Sums up the spools of edges that have not ended; one that has left its spool to the next start.
fn in_spools(reports: &[EdgeReport], edges: &[KnownEdge]) -> u64 {
    let runs = |report: &&EdgeReport| edges.iter().any(|edge| edge.edge == report.edge);
    reports.iter().filter(runs).map(|report| report.spool_clicks).sum()
}

/// Counts dead letters by the day of their click, and those that are of no click.
async fn letters_by_day(state: &ApiState) -> Result<(BTreeMap<Day, u64>, u64), Problem> {
    let (mut days, mut undated, mut seen) = (BTreeMap::new(), 0, 0);
    let everything = DeadLetterFilter::default();
    let mut pages = Pages::new(&*state.ports.dead_letters, &everything, LETTERS_PAGE);
    while seen < LETTERS_MAX
        && let Some(letters) = pages.next().await?
    {
        seen += letters.len();
        for letter in &letters {
            match day_of(&letter.fields) {
                Some(day) => *days.entry(day).or_default() += 1,
                None => undated += 1,
            }
        }
    }
    Ok((days, undated))
}
