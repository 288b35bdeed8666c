//! `/v1/domains`.

use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use vayro_core::access::Action;
use vayro_core::account::Domain;
use vayro_core::certificate::{CertificateName, CertificateRecord, CertificateState};
use vayro_core::host::Host;
use vayro_core::ids::DomainId;
use vayro_core::ports::StoreError;
use vayro_core::timestamp::Timestamp;

use crate::auth::Access;
use crate::extract::{Json, Path};
use crate::problem::{Code, FieldError, Problem, ProblemBody};
use crate::state::{ApiState, SharedState};

/// Shortest time between two tries to get a certificate that somebody asks for.
const RETRY_PAUSE: Duration = Duration::from_secs(30);
/// Most domains of one workspace.
pub(crate) const DOMAINS_MAX: usize = 100;

/// The routes.
pub(crate) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new()
        .routes(routes!(list_domains, create_domain))
        .routes(routes!(get_domain, delete_domain))
        .routes(routes!(retry_domain_certificate))
}

/// A host that serves short links.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Domain)]
struct DomainView {
    /// Its identity.
    id: Uuid,
    /// The host.
    #[schema(example = "go.example.com")]
    host: String,
    /// Whether it is the instance's default domain, which every workspace may use.
    is_default: bool,
    /// When its owner was proved to control it.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    verified_at: Option<Timestamp>,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Its certificate for HTTPS, if the instance gets certificates by itself.
    certificate: CertificateView,
}

/// How far the certificate of a domain is.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DomainCertificate)]
struct CertificateView {
    /// `none`: none is wanted; `pending`: it is on its way; `issued`: it is served; `failed`: there is none.
    #[schema(value_type = String, example = "issued")]
    state: CertificateState,
    /// Until when it is valid.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    not_after: Option<Timestamp>,
    /// Why the last try to get or renew it failed.
    #[schema(
        required = true,
        example = "the DNS has no address for go.example.com yet; point it at the edges"
    )]
    reason: Option<String>,
    /// When that was.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    failed_at: Option<Timestamp>,
    /// When it is tried again.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    retry_at: Option<Timestamp>,
}

impl CertificateView {
    fn new(record: Option<&CertificateRecord>, now: Timestamp) -> Self {
        let failure = record.and_then(|record| record.failure.as_ref());
        Self {
            state: record.map_or(CertificateState::None, |record| record.state(now)),
            not_after: record.and_then(|record| record.validity).map(|validity| validity.not_after),
            reason: failure.map(|failure| failure.reason.clone()),
            failed_at: failure.map(|failure| failure.at),
            retry_at: record.filter(|record| record.failure.is_some()).map(|record| record.due_at),
        }
    }
}

impl DomainView {
    fn new(domain: &Domain, records: &[CertificateRecord], now: Timestamp) -> Self {
        // Its own one, or else one that covers it.
        let mut own: Vec<&CertificateRecord> =
            records.iter().filter(|record| record.name.covers(&domain.host)).collect();
        own.sort_by_key(|record| record.name.is_wildcard());
        Self {
            id: domain.id.as_uuid(),
            is_default: domain.is_default(),
            host: domain.host.to_string(),
            verified_at: domain.verified_at,
            created_at: domain.created_at,
            certificate: CertificateView::new(own.first().copied(), now),
        }
    }
}

/// Returns the views of domains, with how far their certificates are.
async fn views(state: &ApiState, domains: Vec<Domain>) -> Result<Vec<DomainView>, Problem> {
    let names: Vec<CertificateName> = domains
        .iter()
        .flat_map(|domain| {
            [CertificateName::of_host(&domain.host), CertificateName::wildcard_of(&domain.host)]
        })
        .flatten()
        .collect();
    let records = state.ports.certificates.find(&names).await?;
    let now = state.clock.now();
    Ok(domains.iter().map(|domain| DomainView::new(domain, &records, now)).collect())
}

async fn view(state: &ApiState, domain: Domain) -> Result<DomainView, Problem> {
    views(state, vec![domain]).await?.pop().ok_or_else(|| Problem::not_found("domain"))
}

/// The domains of a workspace.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct DomainList {
    /// The default domain first.
    items: Vec<DomainView>,
}

/// A domain to be added.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateDomain {
    /// The host, without scheme, port or path.
    #[schema(example = "go.example.com")]
    host: String,
}

/// List domains
#[utoipa::path(
    get,
    path = "/v1/domains",
    tag = "domains",
    responses(
        (status = 200, description = "The domains this workspace may use", body = DomainList),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn list_domains(State(state): State<SharedState>, access: Access) -> Result<Json<DomainList>, Problem> {
    let workspace = access.require(Action::DomainsRead)?;
    let domains = state.ports.domains.list(workspace).await?;
    Ok(Json(DomainList { items: views(&state, domains).await? }))
}

/// Show a domain
#[utoipa::path(
    get,
    path = "/v1/domains/{id}",
    tag = "domains",
    params(("id" = Uuid, Path, description = "The domain")),
    responses(
        (status = 200, description = "The domain", body = DomainView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn get_domain(
    State(state): State<SharedState>,
    access: Access,
    Path(id): Path<DomainId>,
) -> Result<Json<DomainView>, Problem> {
    let workspace = access.require(Action::DomainsRead)?;
    let domain = state.ports.domains.find(workspace, id).await?;
    let domain = domain.ok_or_else(|| Problem::not_found("domain"))?;
    Ok(Json(view(&state, domain).await?))
}

/// Add a domain
///
/// Point its DNS at the edges first; links can be made on it at once.
#[utoipa::path(
    post,
    path = "/v1/domains",
    tag = "domains",
    request_body = CreateDomain,
    responses(
        (status = 201, description = "Added", body = DomainView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn create_domain(
    State(state): State<SharedState>,
    access: Access,
    Json(input): Json<CreateDomain>,
) -> Result<(StatusCode, Json<DomainView>), Problem> {
    let workspace = access.require(Action::DomainsWrite)?;
    let at_host = |code, detail: String| Problem::of_fields(code, vec![FieldError::field("/host", detail)]);
    let host: Host = input
        .host
        .parse()
        .map_err(|error: vayro_core::host::HostError| at_host(Code::InvalidFields, error.to_string()))?;
    let taken = || at_host(Code::DomainTaken, format!("`{host}` is registered on this instance already"));
    if is_own_host(&host, &state) {
        return Err(taken());
    }
    if state.ports.domains.list(workspace).await?.len() > DOMAINS_MAX {
        let detail = format!("a workspace has at most {DOMAINS_MAX} domains of its own");
        return Err(Problem::new(Code::LimitReached, detail));
    }
    let context = access.change(&state);
    let domain = Domain {
        id: DomainId::generate(context.at, &mut state.random.fork()),
        workspace_id: Some(workspace),
        host: host.clone(),
        verified_at: None,
        created_at: context.at,
    };
    match state.ports.domains.insert(&domain, &context).await {
        Ok(()) => {}
        Err(StoreError::Conflict { constraint: "domain_host" }) => return Err(taken()),
        Err(error) => return Err(error.into()),
    }
    state.outbox_signal.flush().await;
    Ok((StatusCode::CREATED, Json(view(&state, domain).await?)))
}

/// Try to get a certificate again
///
/// After a failure the next try would be at `certificate.retry_at`; this makes it at once, as after a change of the
/// DNS. Does nothing if the last try did not fail.
#[utoipa::path(
    post,
    path = "/v1/domains/{id}/certificate",
    tag = "domains",
    operation_id = "retry_domain_certificate",
    params(("id" = Uuid, Path, description = "The domain")),
    responses(
        (status = 202, description = "It is tried within seconds", body = DomainView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn retry_domain_certificate(
    State(state): State<SharedState>,
    access: Access,
    Path(id): Path<DomainId>,
) -> Result<(StatusCode, Json<DomainView>), Problem> {
    let workspace = access.require(Action::DomainsWrite)?;
    let domain = state.ports.domains.find(workspace, id).await?;
    let domain = domain.ok_or_else(|| Problem::not_found("domain"))?;
    if domain.is_default() {
        return Err(Problem::new(Code::Forbidden, "the default domain belongs to the instance"));
    }
    let now = state.clock.now();
    if let Some(name) = CertificateName::of_host(&domain.host) {
        let records = state.ports.certificates.find(std::slice::from_ref(&name)).await?;
        let failed_at = records.first().and_then(|record| record.failure.as_ref()).map(|failure| failure.at);
        if let Some(failed_at) = failed_at {
            // ACME servers allow few failed tries.
            state.ports.certificates.hasten(&name, now.max(failed_at.plus(RETRY_PAUSE))).await?;
        }
    }
    Ok((StatusCode::ACCEPTED, Json(view(&state, domain).await?)))
}

/// Remove a domain
///
/// Refused while links live on it, deleted ones included.
#[utoipa::path(
    delete,
    path = "/v1/domains/{id}",
    tag = "domains",
    params(("id" = Uuid, Path, description = "The domain")),
    responses(
        (status = 204, description = "Removed"),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn delete_domain(
    State(state): State<SharedState>,
    access: Access,
    Path(id): Path<DomainId>,
) -> Result<StatusCode, Problem> {
    let workspace = access.require(Action::DomainsWrite)?;
    if id == DomainId::DEFAULT {
        return Err(Problem::new(Code::Forbidden, "the default domain belongs to the instance"));
    }
    match state.ports.domains.delete(workspace, id, &access.change(&state)).await {
        Ok(true) => {}
        Ok(false) => return Err(Problem::not_found("domain")),
        Err(StoreError::Conflict { constraint: "domain_links" }) => {
            return Err(Problem::new(Code::DomainInUse, "links live on this domain, perhaps deleted ones"));
        }
        Err(error) => return Err(error.into()),
    }
    state.outbox_signal.flush().await;
    Ok(StatusCode::NO_CONTENT)
}

/// Tells whether the instance itself answers under this host.
fn is_own_host(host: &Host, state: &ApiState) -> bool {
    let api_host = state.settings.api_url.host_str().and_then(|text| text.parse().ok());
    state.settings.short_host().as_ref() == Some(host)
        || api_host.as_ref() == Some(host)
        || state.settings.trusted_hosts.contains(host)
}
