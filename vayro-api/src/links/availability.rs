//! `GET /v1/links/availability`.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use vayro_core::access::Action;
use vayro_core::host::Host;
use vayro_core::short_code::ShortCode;

use super::input::domain_of;
use crate::auth::Access;
use crate::extract::{Json, Query};
use crate::problem::{Code, FieldError, Problem, ProblemBody};
use crate::state::SharedState;

/// Whether a short code can be had.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Availability {
    /// The code as asked for.
    short_code: String,
    /// Whether it is free.
    is_available: bool,
    /// `invalid`, `reserved` or `taken`; `null` if it is free.
    #[schema(required = true)]
    reason: Option<&'static str>,
    /// Why not, in words; empty if it is free.
    detail: String,
}

/// Check whether a short code is free
///
/// A hint for forms: somebody may be quicker. Links of every workspace count, also deleted ones, which keep
/// their codes until they are purged.
#[utoipa::path(
    get,
    path = "/v1/links/availability",
    tag = "links",
    params(
        ("short_code" = String, Query, description = "The code"),
        ("domain" = Option<String>, Query, description = "The host, the default domain if left out"),
    ),
    responses(
        (status = 200, description = "Whether it is free", body = Availability),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn check_short_code(
    State(state): State<SharedState>,
    access: Access,
    mut query: Query,
) -> Result<Json<Availability>, Problem> {
    let workspace_id = access.require(Action::LinksRead)?;
    let Some(text) = query.take("short_code") else {
        query.reject("short_code", "is missing");
        return Err(query.finish().err().unwrap_or_else(Problem::internal));
    };
    let host = query.parse_as::<Host>("domain");
    query.finish()?;

    let answer = |reason: Option<&'static str>, detail: String| {
        Ok(Json(Availability { short_code: text.clone(), is_available: reason.is_none(), reason, detail }))
    };
    let short_code = match text.parse::<ShortCode>() {
        Ok(short_code) => short_code,
        Err(error) => return answer(Some("invalid"), error.to_string()),
    };
    if short_code.is_reserved() {
        return answer(Some("reserved"), "the product keeps this code for itself".to_owned());
    }
    let Some(domain_id) = domain_of(workspace_id, host.as_ref(), &state).await? else {
        let error = FieldError::parameter("domain", "is not one of this workspace's domains");
        return Err(Problem::of_fields(Code::InvalidQuery, vec![error]));
    };
    if state.ports.links.is_code_taken(domain_id, &short_code).await? {
        return answer(Some("taken"), "somebody has it, perhaps a deleted link".to_owned());
    }
    answer(None, String::new())
}
