//! `/v1/ops/dead-letters`.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vayro_core::dead_letters::{self, Pages};
use vayro_core::ids::LinkId;
use vayro_core::stream::{DeadLetter, DeadLetterFilter, DeadReason};
use vayro_core::timestamp::Timestamp;

use crate::auth::Caller;
use crate::cursor;
use crate::extract::{Json, Path, Query};
use crate::page::{PageView, take_limit};
use crate::problem::{Code, FieldError, Problem, ProblemBody};
use crate::state::{ApiState, SharedState};

/// Most letters one request replays or purges.
pub(crate) const BATCH_MAX: u16 = 1000;
/// Letters read at one time while they are being gathered.
const GATHER_SIZE: u16 = 200;
/// Longest id of a letter, in bytes.
const ID_LEN_MAX: usize = 64;

pub(super) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new()
        .routes(routes!(list_dead_letters, purge_dead_letters))
        .routes(routes!(replay_dead_letters))
        .routes(routes!(get_dead_letter))
}

/// A click that could not be stored.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
struct LetterView {
    /// Its position among the dead letters.
    id: String,
    /// Where it was in the stream.
    stream_id: String,
    /// Why it is here.
    #[schema(schema_with = crate::schema::dead_reason)]
    reason: DeadReason,
    /// What went wrong, in words.
    error: String,
    /// How often it had been handed out.
    attempts: u32,
    /// When it was put aside.
    #[schema(value_type = String, format = DateTime)]
    dead_at: Timestamp,
    /// What it carries, in order.
    fields: Vec<FieldView>,
}

/// One field of a stream entry.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = StreamField)]
struct FieldView {
    /// Its name.
    name: String,
    /// Its value, invalid UTF-8 replaced.
    value: String,
}

impl From<DeadLetter> for LetterView {
    fn from(letter: DeadLetter) -> Self {
        let fields = letter.fields.into_iter().map(|(name, value)| FieldView { name, value }).collect();
        let DeadLetter { id, stream_id, reason, error, attempts, dead_at, .. } = letter;
        Self { id, stream_id, reason, error, attempts, dead_at, fields }
    }
}

/// Which letters to replay; members left out do not narrow.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReplayInput {
    /// Only these.
    #[schema(max_items = 1000)]
    ids: Option<Vec<String>>,
    /// Only for this reason.
    #[schema(schema_with = crate::schema::dead_reason, required = false)]
    reason: Option<DeadReason>,
    /// Only put aside at or after this instant.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Only of this link.
    #[schema(value_type = Option<Uuid>)]
    link_id: Option<LinkId>,
    /// At most so many, 1 to 1,000, which is also the default.
    max: Option<u16>,
    /// Tell how many there would be, and do nothing.
    #[serde(default)]
    dry_run: bool,
}

/// What became of the letters.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct BatchOutput {
    /// Letters that matched, up to the most one request handles.
    matched: u64,
    /// Letters replayed or purged; 0 for a dry run.
    done: u64,
    /// Whether more letters match: ask again.
    has_more: bool,
}

struct Selection {
    filter: DeadLetterFilter,
    max: u16,
    dry_run: bool,
}

/// List dead letters
///
/// Oldest first. For operators, with a session or the scope `ops`.
#[utoipa::path(
    get,
    path = "/v1/ops/dead-letters",
    tag = "ops",
    params(
        ("limit" = Option<u16>, Query, description = "Items of a page, 1 to 200, 50 if left out"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("reason" = Option<String>, Query, description = "Only for this reason"),
        ("since" = Option<String>, Query, description = "Only put aside at or after this instant"),
        ("link_id" = Option<Uuid>, Query, description = "Only of this link"),
    ),
    responses(
        (status = 200, description = "A page of letters", body = PageView<LetterView>),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn list_dead_letters(
    State(state): State<SharedState>,
    caller: Caller,
    mut query: Query,
) -> Result<Json<PageView<LetterView>>, Problem> {
    caller.require_operator()?;
    let filter = take_filter(&mut query);
    let after = query.take_with("cursor", cursor::decode::<String>);
    let size = take_limit(&mut query);
    query.finish()?;
    let page = state.ports.dead_letters.list(&filter, after.as_deref(), size.get()).await?;
    let next = page.next.as_ref().and_then(cursor::encode);
    Ok(Json(PageView { items: page.items.into_iter().map(LetterView::from).collect(), next }))
}

/// Show a dead letter
#[utoipa::path(
    get,
    path = "/v1/ops/dead-letters/{id}",
    tag = "ops",
    params(("id" = String, Path, description = "The letter")),
    responses(
        (status = 200, description = "The letter", body = LetterView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn get_dead_letter(
    State(state): State<SharedState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<LetterView>, Problem> {
    caller.require_operator()?;
    let missing = || Problem::not_found("dead letter");
    if !is_id(&id) {
        return Err(missing());
    }
    Ok(Json(state.ports.dead_letters.find(&id).await?.ok_or_else(missing)?.into()))
}

/// Replay dead letters
///
/// Puts them back into the click stream with the same click ids, so nothing is counted twice. A letter
/// whose fault is not repaired comes back as a new dead letter.
#[utoipa::path(
    post,
    path = "/v1/ops/dead-letters/replay",
    tag = "ops",
    request_body = ReplayInput,
    responses(
        (status = 200, description = "What was done", body = BatchOutput),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn replay_dead_letters(
    State(state): State<SharedState>,
    caller: Caller,
    Json(input): Json<ReplayInput>,
) -> Result<Json<BatchOutput>, Problem> {
    caller.require_operator()?;
    let selection = check(input)?;
    let (letters, has_more) = gather(&selection, &state).await?;
    let ids: Vec<String> = letters.into_iter().map(|letter| letter.id).collect();
    let matched = ids.len() as u64;
    let done = if selection.dry_run { 0 } else { state.ports.dead_letters.replay(&ids).await? };
    if done > 0 {
        tracing::info!(user.id = %caller.user.id, count = done, "replayed {done} dead letters");
    }
    Ok(Json(BatchOutput { matched, done, has_more }))
}

/// Purge dead letters
///
/// Removes them for good: these clicks will never be counted. Without any filter it needs `all=true`.
#[utoipa::path(
    delete,
    path = "/v1/ops/dead-letters",
    tag = "ops",
    params(
        ("ids" = Option<String>, Query, description = "Only these, separated by commas"),
        ("reason" = Option<String>, Query, description = "Only for this reason"),
        ("since" = Option<String>, Query, description = "Only put aside at or after this instant"),
        ("link_id" = Option<Uuid>, Query, description = "Only of this link"),
        ("all" = Option<bool>, Query, description = "Every letter is meant"),
        ("max" = Option<u16>, Query, description = "At most so many, 1 to 1,000, which is also the default"),
        ("dry_run" = Option<bool>, Query, description = "Tell how many there would be, and do nothing"),
    ),
    responses(
        (status = 200, description = "What was done", body = BatchOutput),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn purge_dead_letters(
    State(state): State<SharedState>,
    caller: Caller,
    mut query: Query,
) -> Result<Json<BatchOutput>, Problem> {
    caller.require_operator()?;
    let mut filter = take_filter(&mut query);
    let read_id = |part: &str| {
        is_id(part).then(|| part.to_owned()).ok_or_else(|| format!("`{part}` is not the id of a dead letter"))
    };
    filter.ids = query.take_list("ids", read_id).unwrap_or_default();
    let max = query.take_with("max", |text| {
        let max = text.parse().ok().filter(|max| (1..=BATCH_MAX).contains(max));
        max.ok_or_else(|| format!("`{text}` is not a number from 1 to {BATCH_MAX}"))
    });
    let dry_run = query.take_bool("dry_run").unwrap_or_default();
    let is_all = query.take_bool("all").unwrap_or_default();
    if filter.ids.len() > usize::from(BATCH_MAX) {
        query.reject("ids", format!("names more than {BATCH_MAX} letters"));
    }
    if filter == DeadLetterFilter::default() && !is_all {
        query.reject("all", "say `all=true` to purge every dead letter");
    }
    query.finish()?;
    let selection = Selection { filter, max: max.unwrap_or(BATCH_MAX), dry_run };
    let (letters, has_more) = gather(&selection, &state).await?;
    let matched = letters.len() as u64;
    let done = if dry_run {
        0
    } else {
        dead_letters::purge::<Problem>(&letters, &*state.ports.dead_letters, &*state.ports.ledger).await?
    };
    if done > 0 {
        tracing::warn!(user.id = %caller.user.id, count = done, "purged {done} dead letters");
    }
    Ok(Json(BatchOutput { matched, done, has_more }))
}

fn take_filter(query: &mut Query) -> DeadLetterFilter {
    let reason = query.take_with("reason", |text| {
        let reason = DeadReason::ALL.into_iter().find(|reason| reason.as_str() == text);
        reason.ok_or_else(|| {
            format!("`{text}` is none of {}", DeadReason::ALL.map(DeadReason::as_str).join(", "))
        })
    });
    let since = query.parse_as::<Timestamp>("since");
    let link_id = query.parse_as::<LinkId>("link_id").map(|id| id.to_string());
    DeadLetterFilter { ids: Vec::new(), reason, since, link_id }
}

fn check(input: ReplayInput) -> Result<Selection, Problem> {
    let mut errors = Vec::new();
    let ids = input.ids.unwrap_or_default();
    if ids.len() > usize::from(BATCH_MAX) {
        errors.push(FieldError::field("/ids", format!("has more than {BATCH_MAX} items")));
    }
    for (index, id) in ids.iter().enumerate().take(usize::from(BATCH_MAX)) {
        if !is_id(id) {
            errors.push(FieldError::field(format!("/ids/{index}"), "is not the id of a dead letter"));
        }
    }
    let max = input.max.unwrap_or(BATCH_MAX);
    if !(1..=BATCH_MAX).contains(&max) {
        errors.push(FieldError::field("/max", format!("must be 1 to {BATCH_MAX}")));
    }
    if !errors.is_empty() {
        return Err(Problem::of_fields(Code::InvalidFields, errors));
    }
    let link_id = input.link_id.map(|id| id.to_string());
    let filter = DeadLetterFilter { ids, reason: input.reason, since: input.since, link_id };
    Ok(Selection { filter, max, dry_run: input.dry_run })
}

/// Finds the letters that are meant, and whether there are more than one request handles.
async fn gather(selection: &Selection, state: &ApiState) -> Result<(Vec<DeadLetter>, bool), Problem> {
    let Selection { filter, max, .. } = selection;
    let max = usize::from(*max);
    let mut letters = Vec::new();
    if !filter.ids.is_empty() {
        // Named letters are asked for one by one, which does not read all the others.
        for id in &filter.ids {
            if let Some(letter) = state.ports.dead_letters.find(id).await?
                && filter.matches(&letter)
            {
                letters.push(letter);
            }
        }
        let has_more = letters.len() > max;
        letters.truncate(max);
        return Ok((letters, has_more));
    }
    let mut pages = Pages::new(&*state.ports.dead_letters, filter, GATHER_SIZE);
    while let Some(more) = pages.next().await? {
        letters.extend(more);
        if letters.len() > max {
            break;
        }
    }
    let has_more = letters.len() > max;
    letters.truncate(max);
    Ok((letters, has_more))
}

fn is_id(text: &str) -> bool {
    (1..=ID_LEN_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
}
