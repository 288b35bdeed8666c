//! `/v1/ops`: what operators of the instance see and do.

mod click_audit;
mod dead_letters;
mod purges;
mod stream;
mod users;

use utoipa_axum::router::OpenApiRouter;

use crate::state::SharedState;

/// The routes.
pub(crate) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new()
        .merge(stream::router())
        .merge(click_audit::router())
        .merge(dead_letters::router())
        .merge(purges::router())
        .merge(users::router())
}
