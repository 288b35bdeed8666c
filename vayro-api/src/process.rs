//! The API as a process of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use vayro_backends::config::{ConfigErrors, Layers};
use vayro_backends::process::{ReadyLine, Role, Started};
use vayro_backends::{Roles, clock};
use vayro_core::ports::StoreError;

use crate::explain::{Explainer, VisitSettings};
use crate::serve::{serve_admin, serve_state};
use crate::settings::Section;
use crate::state::ApiState;

/// Why the API ends with a failure.
#[derive(Debug, thiserror::Error)]
enum ApiError {
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot prepare the database")]
    Database(#[from] StoreError),
}

struct ApiRole(Section, VisitSettings);

impl Role for ApiRole {
    const NAME: &'static str = "API";
    const ROLES: Roles = Roles::API;
    type Error = ApiError;

    fn read(layers: &Layers, errors: &mut ConfigErrors) -> Option<Self> {
        let (section, visits) = (Section::read(layers, errors), VisitSettings::read(layers, errors));
        Some(Self(section?, visits?))
    }

    async fn serve(self, started: &Started) -> Result<(), ApiError> {
        let (settings, backends) = (self.0.within(&started.instance), &started.backends);
        backends.domains.ensure_default(&started.instance.default_host(), clock::now()).await?;
        let (listener, address) = listen(settings.listen).await?;
        let admin = match settings.admin {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let explainer = Explainer::new(self.1, backends.shared_cache.clone());
        let ready = ReadyLine::default()
            .with("api", [format!("http://{address}")])
            .with("admin", admin.as_ref().map(|(_, address)| format!("http://{address}")));
        let state = Arc::new(ApiState::new(backends, settings, explainer));

        let stop_rest = watch::Sender::new(false);
        let drainer = backends.spawn_drainer(stop_rest.subscribe());
        let admin = admin.map(|(listener, _)| {
            tokio::spawn(serve_admin(Arc::clone(&state), listener, stop_rest.subscribe()))
        });
        started.ready(&ready).await;
        serve_state(state, listener, started.shutdown.clone()).await;
        // Changes of the last requests are published before the connections close.
        stop_rest.send_replace(true);
        for task in [Some(drainer), admin].into_iter().flatten() {
            if let Err(error) = task.await {
                tracing::error!(error = &error as &dyn std::error::Error, "a task ended badly");
            }
        }
        tracing::info!("the API has stopped");
        Ok(())
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ApiError> {
    let failed = |source| ApiError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves the API until SIGTERM or SIGINT and returns the exit status, see
/// [`vayro_backends::process::run`].
pub fn run(config: Option<&Path>) -> ExitCode {
    vayro_backends::process::run::<ApiRole>(config)
}
