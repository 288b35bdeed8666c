//! `POST /v1/links`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use vayro_core::access::Action;
use vayro_core::host::Host;
use vayro_core::ids::WorkspaceId;
use vayro_core::links::{CreateLinkError, create_link as store_link};

use super::input::{CheckedCreate, CreateLink, domain_of};
use super::view::LinkView;
use super::{publish, short_hosts};
use crate::auth::Access;
use crate::extract::Json;
use crate::problem::{Code, FieldError, Problem, ProblemBody};
use crate::state::{ApiState, SharedState};

/// Create a link
///
/// Without `short_code` a free one is chosen: six characters without look-alikes, more when they get scarce.
#[utoipa::path(
    post,
    path = "/v1/links",
    tag = "links",
    request_body = CreateLink,
    responses(
        (status = 201, description = "Made; `Location` and `ETag` are set", body = LinkView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create_link(
    State(state): State<SharedState>,
    access: Access,
    Json(input): Json<CreateLink>,
) -> Result<Response, Problem> {
    let workspace = access.require(Action::LinksWrite)?;
    let hosts = short_hosts(&state).await?;
    let view = create(&state, &access, workspace, input, &hosts).await?;
    publish(&state).await;
    let location = HeaderValue::from_str(&format!("/v1/links/{}", view.id));
    let location = [(header::LOCATION, location.expect("an id fits a header"))];
    Ok((StatusCode::CREATED, location, view.etag(), Json(view)).into_response())
}

/// Makes one link without telling the caches.
pub(super) async fn create(
    state: &ApiState,
    access: &Access,
    workspace_id: WorkspaceId,
    input: CreateLink,
    short_hosts: &[Host],
) -> Result<LinkView, Problem> {
    let CheckedCreate { target_url, short_code, domain, title, redirect_status, is_active, expires_at } =
        input.check(short_hosts)?;
    let Some(domain_id) = domain_of(workspace_id, domain.as_ref(), state).await? else {
        let host = domain.map(|host| host.to_string()).unwrap_or_default();
        let detail = format!("`{host}` is not one of this workspace's domains");
        return Err(Problem::of_fields(Code::InvalidFields, vec![FieldError::field("/domain", detail)]));
    };
    let request = vayro_core::links::CreateLink {
        workspace_id,
        user_id: access.caller.user.id,
        domain_id,
        short_code,
        target_url,
        title,
        redirect_status,
        is_active,
        expires_at,
    };
    let mut rng = state.random.fork();
    let link = store_link(&*state.ports.links, &access.change(state), request, &mut rng).await?;
    tracing::info!(link.id = %link.id, link.short_code = %link.short_code, "created link {}", link.short_code);
    Ok(LinkView::new(link, state))
}

impl From<CreateLinkError> for Problem {
    fn from(error: CreateLinkError) -> Self {
        let detail = error.to_string();
        let at_code = |code| Self::of_fields(code, vec![FieldError::field("/short_code", detail.as_str())]);
        match error {
            CreateLinkError::Taken(_) => at_code(Code::ShortCodeTaken),
            CreateLinkError::Reserved(_) => at_code(Code::ShortCodeReserved),
            CreateLinkError::Exhausted => {
                tracing::error!("no free short code was found at any length");
                Self::unavailable("no free short code was found")
            }
            CreateLinkError::Store(error) => error.into(),
        }
    }
}
