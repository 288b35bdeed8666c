//! An edge as a process of its own.

use std::path::Path;
use std::process::ExitCode;

use vayro_backends::Roles;
use vayro_backends::config::{ConfigErrors, Layers};
use vayro_backends::process::{ReadyLine, Role, Started};

use crate::edge::{BindError, Edge, EdgeAddresses, EdgeDeps, RunError};
use crate::settings::EdgeSettings;

/// Why an edge ends with a failure.
#[derive(Debug, thiserror::Error)]
enum EdgeError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Run(#[from] RunError),
}

struct EdgeRole(EdgeSettings);

impl Role for EdgeRole {
    const NAME: &'static str = "edge";
    const ROLES: Roles = Roles::EDGE;
    const TAKES_OVER: bool = true;
    type Error = EdgeError;

    fn read(layers: &Layers, errors: &mut ConfigErrors) -> Option<Self> {
        EdgeSettings::read(layers, errors).map(Self)
    }

    // Back ends, clicks and helpers live here; visitors are served by runtimes that Pingora makes.
    async fn serve(self, started: &Started) -> Result<(), EdgeError> {
        let deps = EdgeDeps::from_backends(&started.backends, started.instance.default_host());
        let edge = Edge::bind_or_inherit(self.0, deps, started.inherited()).await?;
        started.ready(&ready_line(edge.addresses())).await;
        // After the process before was told on the socket that ours now replaces.
        let upgrades = edge.upgrades(&started.data_dir);
        let hands_over = async {
            if let Some(upgrades) = upgrades
                && let Some(successor) = upgrades.serve(started.shutdown.clone()).await
            {
                started.hand_over(successor);
            }
        };
        let mut serving = std::pin::pin!(edge.serve(started.shutdown.clone()));
        let ended = tokio::select! {
            ended = &mut serving => ended,
            () = hands_over => serving.await,
        };
        Ok(ended?)
    }
}

fn ready_line(addresses: &EdgeAddresses) -> ReadyLine {
    let http = addresses.http.iter().map(|address| format!("http://{address}"));
    let https = addresses.https.iter().map(|address| format!("https://{address}"));
    ReadyLine::default()
        .with("edge", http.chain(https))
        .with("admin", addresses.admin.map(|address| format!("http://{address}")))
}

/// Runs an edge until SIGTERM or SIGINT and returns the exit status, see [`vayro_backends::process::run`].
pub fn run(config: Option<&Path>) -> ExitCode {
    vayro_backends::process::run::<EdgeRole>(config)
}
