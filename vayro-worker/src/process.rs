//! A worker as a process of its own.

use std::path::Path;
use std::process::ExitCode;

use vayro_backends::Roles;
use vayro_backends::config::{ConfigErrors, Layers};
use vayro_backends::process::{ReadyLine, Role, Started};

use crate::deps::WorkerDeps;
use crate::settings::WorkerSettings;
use crate::worker::{Worker, WorkerError};

struct WorkerRole(WorkerSettings);

impl Role for WorkerRole {
    const NAME: &'static str = "worker";
    const ROLES: Roles = Roles::WORKER;
    type Error = WorkerError;

    fn read(layers: &Layers, errors: &mut ConfigErrors) -> Option<Self> {
        WorkerSettings::read(layers, errors).map(Self)
    }

    async fn serve(self, started: &Started) -> Result<(), WorkerError> {
        let worker = Worker::new(self.0, WorkerDeps::new(&started.backends)).await?;
        let admin = worker.admin_address().map(|address| format!("http://{address}"));
        started
            .ready(&ReadyLine::default().with("worker", [&started.backends.name]).with("admin", admin))
            .await;
        worker.run(started.shutdown.clone()).await;
        Ok(())
    }
}

/// Runs a worker until SIGTERM or SIGINT and returns the exit status, see
/// [`vayro_backends::process::run`].
pub fn run(config: Option<&Path>) -> ExitCode {
    vayro_backends::process::run::<WorkerRole>(config)
}
