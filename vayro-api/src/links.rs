//! `/v1/links`.

mod availability;
mod bulk;
mod change;
mod create;
mod input;
mod list;
mod precondition;
mod view;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::Problem;
use crate::state::{ApiState, SharedState};

/// The routes.
pub(crate) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new()
        .routes(routes!(list::list_links, create::create_link))
        .routes(routes!(availability::check_short_code))
        .routes(routes!(bulk::change_links))
        .routes(routes!(list::get_link, change::update_link, change::delete_link))
        .routes(routes!(change::restore_link))
}

/// Lets a committed change act before it is answered; it acts a little later if the caches are away.
async fn publish(state: &ApiState) {
    if !state.outbox_signal.flush().await {
        state.metrics.late_flushes.inc();
    }
}

/// Returns every host that targets must not lead to.
async fn short_hosts(state: &ApiState) -> Result<Vec<vayro_core::host::Host>, Problem> {
    let mut hosts = state.ports.domains.hosts().await?;
    hosts.extend(state.settings.short_host());
    Ok(hosts)
}
