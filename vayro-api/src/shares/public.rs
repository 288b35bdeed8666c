//! `/v1/public`: shared statistics, for anybody with the token.
//!
//! Unknown, revoked and expired tokens, and those of deleted links, get the same answer.

use std::time::Duration;

use axum::extract::State;
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vayro_core::share::Share;
use vayro_core::timestamp::Timestamp;

use super::pass::Passes;
use crate::analytics::selection::Subject;
use crate::analytics::{AnalyticsView, Audience, Parameters, Question, answer};
use crate::auth::{LoginLimits, ShareToken, hash, network_key};
use crate::context::RequestContext;
use crate::extract::{Json, Path, Query};
use crate::problem::{Code, Problem, ProblemBody};
use crate::state::{ApiState, SharedState};

/// Questions one address (IPv6: one /64) may ask in [`QUESTIONS_WINDOW`]; each costs the database work.
const QUESTIONS_MAX: u32 = 120;
/// Window of that limit.
const QUESTIONS_WINDOW: Duration = Duration::from_mins(1);

/// The routes.
pub(crate) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(get_public_analytics)).routes(routes!(unlock_share))
}

/// A share that works, and what its passes are made of.
struct Open {
    share: Share,
    token_hash: [u8; 32],
    password_hash: Option<String>,
}

impl Open {
    /// Finds the share of a token. Looking up a hash tells nothing about tokens by its timing.
    async fn find(token: &str, state: &ApiState) -> Result<Self, Problem> {
        let missing = || Problem::not_found("share");
        if !ShareToken::is_plausible(token) {
            return Err(missing());
        }
        let token_hash = hash(token);
        let found = state.ports.shares.find_by_hash(&token_hash).await?;
        let (share, password_hash) =
            found.filter(|(share, _)| share.is_open(state.clock.now())).ok_or_else(missing)?;
        if let Some(id) = share.link_id {
            let link = state.ports.links.find(share.workspace_id, id).await?;
            link.filter(|link| link.deleted_at.is_none()).ok_or_else(missing)?;
        }
        Ok(Self { share, token_hash, password_hash })
    }

    fn passes(&self) -> Option<Passes<'_>> {
        let password_hash = self.password_hash.as_deref()?;
        Some(Passes { id: self.share.id, token_hash: self.token_hash, password_hash })
    }

    /// Refuses whoever has no pass, if one is needed.
    fn check(&self, headers: &HeaderMap, now: Timestamp) -> Result<(), Problem> {
        let Some(passes) = self.passes() else { return Ok(()) };
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let pass = value.and_then(|value| value.split_once(' '));
        let pass = pass.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        if pass.is_some_and(|(_, pass)| passes.is_good(pass.trim(), now)) {
            return Ok(());
        }
        Err(Problem::new(Code::ShareLocked, "a password is needed: exchange it at `unlock` for a pass"))
    }
}

/// Counts a question of somebody unknown. A limiter that is away lets everybody in.
async fn count(request: &RequestContext, state: &ApiState) -> Result<(), Problem> {
    let key = format!("public:{}", network_key(request.address));
    match state.ports.limits.hit(&key, QUESTIONS_MAX, QUESTIONS_WINDOW, state.clock.now()).await {
        Ok(decision) if !decision.is_allowed => {
            let detail = format!("at most {QUESTIONS_MAX} questions a minute");
            Err(Problem::new(Code::RateLimited, detail).retry_after(decision.resets_in))
        }
        Ok(_) => Ok(()),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "public questions are not limited");
            Ok(())
        }
    }
}

/// Show shared statistics
///
/// The same as `/v1/analytics`, for whoever has the token. A share with a password needs a pass as well:
/// `Authorization: Bearer` with what `unlock` gives.
#[utoipa::path(
    get,
    path = "/v1/public/{token}/analytics",
    tag = "shares",
    security((), ("share_pass" = [])),
    params(("token" = String, Path, description = "The share's token"), Parameters),
    responses(
        (status = 200, description = "The statistics; links have neither title nor target", body = AnalyticsView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn get_public_analytics(
    State(state): State<SharedState>,
    request: axum::Extension<RequestContext>,
    Path(token): Path<String>,
    headers: HeaderMap,
    query: Query,
) -> Result<Json<AnalyticsView>, Problem> {
    count(&request, &state).await?;
    let open = Open::find(&token, &state).await?;
    open.check(&headers, state.clock.now())?;
    let subject = Subject::find(open.share.workspace_id, open.share.link_id, &state).await?;
    let question = Question::read(subject, query, &state).await?;
    answer(question, Audience::Public, &state).await.map(Json)
}

/// A password.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Unlock {
    /// The share's password.
    #[schema(format = Password)]
    password: String,
}

/// What a password is exchanged for.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Unlocked {
    /// Send it as `Authorization: Bearer`.
    pass: String,
    /// When it stops working.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// Unlock shared statistics
///
/// Exchanges the password for a pass that is good for an hour. Tries are limited as sign-ins are.
#[utoipa::path(
    post,
    path = "/v1/public/{token}/unlock",
    tag = "shares",
    security(()),
    params(("token" = String, Path, description = "The share's token")),
    request_body = Unlock,
    responses(
        (status = 200, description = "The password is right", body = Unlocked),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn unlock_share(
    State(state): State<SharedState>,
    request: axum::Extension<RequestContext>,
    Path(token): Path<String>,
    Json(input): Json<Unlock>,
) -> Result<Json<Unlocked>, Problem> {
    count(&request, &state).await?;
    let open = Open::find(&token, &state).await?;
    let Some(passes) = open.passes() else {
        return Err(Problem::new(Code::NotLocked, "the share has no password, ask it at once"));
    };
    let limits = LoginLimits::of_share(request.address, open.share.id);
    let now = state.clock.now();
    limits.hit(&*state.ports.limits, &state.settings, now).await?;
    if !state.passwords.verify(input.password, Some(passes.password_hash.to_owned())).await? {
        return Err(Problem::new(Code::WrongPassword, "the password is not that of the share"));
    }
    limits.reset(&*state.ports.limits).await;
    let (pass, expires_at) = passes.issue(now);
    Ok(Json(Unlocked { pass, expires_at }))
}
