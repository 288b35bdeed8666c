//! `/livez` and `/readyz`, for whoever restarts processes or spreads load.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, header};
use serde::Serialize;
use vayro_core::ids::{DomainId, WorkspaceId};

use crate::extract::Json;
use crate::state::{ApiState, SharedState};

/// Longest time the database may take to answer the readiness question.
const CHECK_TIME_MAX: Duration = Duration::from_secs(1);

/// The answer; `pass` or `fail`.
#[derive(Serialize)]
pub(crate) struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'static str,
}

/// Says that the process runs. Nothing else is asked, so that a sick database restarts nobody.
pub(crate) async fn livez() -> Json<Health> {
    Json(Health { status: "pass", reason: "" })
}

/// Says whether requests should be sent here.
pub(crate) async fn readyz(State(state): State<SharedState>) -> (StatusCode, Json<Health>) {
    match is_ready(&state).await {
        Ok(()) => (StatusCode::OK, Json(Health { status: "pass", reason: "" })),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "fail", reason })),
    }
}

/// Answers with the metrics in the Prometheus text format.
pub(crate) async fn metrics(State(state): State<SharedState>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], state.metrics.text())
}

/// Tells whether requests should be sent here, or why not; for the admin listener too.
///
/// # Errors
///
/// The reason, in words.
pub async fn is_ready(state: &ApiState) -> Result<(), &'static str> {
    if state.is_draining.load(Ordering::Relaxed) {
        return Err("the process is about to stop");
    }
    let nobody = WorkspaceId::from_uuid(uuid::Uuid::nil());
    let question = state.ports.domains.find(nobody, DomainId::DEFAULT);
    match tokio::time::timeout(CHECK_TIME_MAX, question).await {
        Ok(Ok(Some(_))) => Ok(()),
        Ok(Ok(None)) => Err("the database has no default domain, migrate it"),
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "database is not ready");
            Err("the database is away")
        }
        Err(_) => Err("the database is too slow"),
    }
}
