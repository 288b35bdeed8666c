//! `/v1/ops/purges`.

use std::net::IpAddr;

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use vayro_core::ids::{LinkId, PurgeId};
use vayro_core::purge::{ClickSelector, NewPurge, PURGES_MAX, Purge, REMEMBERED, SelectorError};
use vayro_core::timestamp::Timestamp;

use crate::auth::Caller;
use crate::extract::{Json, Path};
use crate::problem::{Code, FieldError, Problem, ProblemBody};
use crate::state::SharedState;

pub(super) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(list_purges, create_purge)).routes(routes!(get_purge))
}

/// Which clicks to remove: those to which everything that is given applies.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PurgeInput {
    /// Of this link; without it, `from` and `to` are needed.
    #[schema(value_type = Option<Uuid>)]
    link_id: Option<LinkId>,
    /// At or after this instant.
    #[schema(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Before this instant; now if left out.
    #[schema(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// From the network of this address: no more of it is stored.
    address: Option<String>,
}

/// Clicks that are removed because somebody asked for it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Purge)]
struct PurgeView {
    /// Its identity.
    id: Uuid,
    /// Of this link.
    #[schema(required = true)]
    link_id: Option<Uuid>,
    /// At or after this instant.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    from: Option<Timestamp>,
    /// Before this instant.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    to: Option<Timestamp>,
    /// From this network: the first address of an IPv4 /24 or an IPv6 /48.
    #[schema(required = true)]
    network: Option<String>,
    /// `waiting`; `removed` when everything that can be reached is removed; `settled` when what was on its way
    /// meanwhile is removed too.
    state: &'static str,
    /// Clicks removed so far.
    clicks: u64,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was carried out last.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    done_at: Option<Timestamp>,
    /// Until when clicks that arrive late are not stored either.
    #[schema(value_type = String, format = DateTime)]
    forget_at: Timestamp,
}

/// The purges that are remembered.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct PurgeList {
    /// Oldest first, at most 1,000.
    items: Vec<PurgeView>,
}

impl From<Purge> for PurgeView {
    fn from(purge: Purge) -> Self {
        let ClickSelector { link_id, from, to, network } = purge.selector;
        Self {
            id: purge.id.as_uuid(),
            link_id: link_id.map(|id| id.as_uuid()),
            from,
            to,
            network: network.map(|network| network.to_string()),
            state: purge.state.as_str(),
            clicks: purge.clicks,
            created_at: purge.created_at,
            done_at: purge.done_at,
            forget_at: purge.forget_at,
        }
    }
}

fn check(input: PurgeInput, now: Timestamp) -> Result<ClickSelector, Problem> {
    let mut errors = Vec::new();
    let address = input.address.map(|text| text.trim().parse::<IpAddr>());
    if let Some(Err(_)) = address {
        errors.push(FieldError::field("/address", "is not an IP address"));
    }
    // What happens from now on is not meant.
    let to = input.to.or_else(|| input.link_id.map(|_| now));
    let selector = ClickSelector::new(input.link_id, input.from, to, address.and_then(Result::ok));
    if let Err(error) = selector {
        let pointer = match error {
            SelectorError::Unbounded => "",
            SelectorError::Backwards | SelectorError::TooLong => "/to",
        };
        errors.push(FieldError::field(pointer, error.to_string()));
    }
    if errors.is_empty() {
        Ok(selector.map_err(|_| Problem::internal())?)
    } else {
        Err(Problem::of_fields(Code::InvalidFields, errors))
    }
}

/// Purge clicks
///
/// Removes clicks for good, because somebody asked to have them removed: rows, what they were counted in, and
/// what of them lies in the stream and among the dead letters. A worker does it within seconds; ask for the
/// purge to see how far it is. For 30 days, clicks that arrive late are not stored either. For operators, with
/// a session or the scope `ops`.
#[utoipa::path(
    post,
    path = "/v1/ops/purges",
    tag = "ops",
    request_body = PurgeInput,
    responses(
        (status = 201, description = "The purge; nothing is removed yet", body = PurgeView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn create_purge(
    State(state): State<SharedState>,
    caller: Caller,
    Json(input): Json<PurgeInput>,
) -> Result<(StatusCode, Json<PurgeView>), Problem> {
    caller.require_operator()?;
    let context = caller.change(&state);
    let selector = check(input, context.at)?;
    if state.ports.purges.list(PURGES_MAX).await?.len() >= PURGES_MAX as usize {
        return Err(Problem::new(
            Code::LimitReached,
            format!("{PURGES_MAX} purges are remembered; the oldest are forgotten after 30 days"),
        ));
    }
    let new = NewPurge {
        id: PurgeId::generate(context.at, &mut state.random.fork()),
        selector,
        forget_at: context.at.plus(REMEMBERED),
    };
    let purge = state.ports.purges.insert(&new, &context).await?;
    tracing::warn!(user.id = %caller.user.id, purge.id = %purge.id, "a purge of clicks was asked for");
    Ok((StatusCode::CREATED, Json(purge.into())))
}

/// List purges
///
/// Those that are still remembered, oldest first.
#[utoipa::path(
    get,
    path = "/v1/ops/purges",
    tag = "ops",
    responses(
        (status = 200, description = "The purges", body = PurgeList),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn list_purges(State(state): State<SharedState>, caller: Caller) -> Result<Json<PurgeList>, Problem> {
    caller.require_operator()?;
    let purges = state.ports.purges.list(PURGES_MAX).await?;
    Ok(Json(PurgeList { items: purges.into_iter().map(PurgeView::from).collect() }))
}

/// Get a purge
#[utoipa::path(
    get,
    path = "/v1/ops/purges/{id}",
    tag = "ops",
    params(("id" = Uuid, Path, description = "The purge")),
    responses(
        (status = 200, description = "The purge", body = PurgeView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn get_purge(
    State(state): State<SharedState>,
    caller: Caller,
    Path(id): Path<PurgeId>,
) -> Result<Json<PurgeView>, Problem> {
    caller.require_operator()?;
    Ok(Json(state.ports.purges.find(id).await?.ok_or_else(|| Problem::not_found("purge"))?.into()))
}
