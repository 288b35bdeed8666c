//! One worker from start to stop.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use vayro_backends::causes;

use crate::admin::Admin;
use crate::certificates::Issuer;
use crate::deps::WorkerDeps;
use crate::enrich::{EnrichError, Enricher, GeoIpStatus};
use crate::ingest::{self, Pipeline};
use crate::metrics::Metrics;
use crate::settings::WorkerSettings;
use crate::stop::Stop;
use crate::{purges, schedule};

/// How long the stream may take to forget this worker.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// How much longer than the batches in hand the rest may take to stop.
const STOP_MARGIN: Duration = Duration::from_secs(1);

/// A worker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Rules or the GeoIP database cannot be used.
    #[error(transparent)]
    Enrich(#[from] EnrichError),
    /// The admin address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// What a worker says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WorkerState {
    /// Whether the database answered the last time it was asked.
    pub database: bool,
    /// Whether the click stream did.
    pub stream: bool,
}

impl WorkerState {
    /// Tells whether clicks are counted now.
    pub const fn is_ready(self) -> bool {
        self.database && self.stream
    }
}

/// A worker's view for others in the process: metrics, readiness, GeoIP. Cheap to clone.
#[derive(Clone)]
pub struct WorkerHandle(Arc<Pipeline>);

impl WorkerHandle {
    /// Returns all metrics in Prometheus' text format; their names begin with `vayro_worker_`.
    pub fn metrics(&self) -> String {
        self.0.metrics.text(&self.0)
    }

    /// Tells what works.
    pub fn state(&self) -> WorkerState {
        WorkerState { database: self.0.database.is_up(), stream: self.0.stream.is_up() }
    }

    /// Tells how the GeoIP database is doing.
    pub fn geoip(&self) -> GeoIpStatus {
        self.0.enricher.geoip().status()
    }
}

/// A worker that is ready to run.
pub struct Worker {
    pipeline: Arc<Pipeline>,
    admin: Option<Admin>,
}

impl Worker {
    /// Returns what it enriches clicks with.
    pub fn enricher(&self) -> Arc<Enricher> {
        Arc::clone(&self.pipeline.enricher)
    }

    /// Reads all rules and the GeoIP database and binds the admin listener. Takes nothing from the stream yet.
    pub async fn new(settings: WorkerSettings, deps: WorkerDeps) -> Result<Self, WorkerError> {
        #[cfg(feature = "failpoints")]
        crate::failpoints::arm();
        let config = settings.enrich.clone();
        let enricher = tokio::task::spawn_blocking(move || Enricher::new(&config)).await;
        let enricher = enricher.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        let admin = match settings.admin {
            Some(address) => {
                Some(Admin::bind(address).await.map_err(|source| WorkerError::Listen { address, source })?)
            }
            None => None,
        };
        let metrics = Arc::new(Metrics::new());
        Ok(Self { pipeline: Arc::new(Pipeline::new(settings, deps, Arc::new(enricher), metrics)), admin })
    }

    /// Returns what others in the process may ask.
    pub fn handle(&self) -> WorkerHandle {
        WorkerHandle(Arc::clone(&self.pipeline))
    }

    /// Returns where health, readiness and metrics are served, if they are.
    pub fn admin_address(&self) -> Option<std::net::SocketAddr> {
        self.admin.as_ref().map(Admin::address)
    }

    /// Counts clicks until `shutdown` turns true, then finishes the batches in hand and leaves the stream.
    pub async fn run(self, shutdown: watch::Receiver<bool>) {
        let Self { pipeline, admin } = self;
        let mut stop = Stop::new(shutdown);
        let mut tasks = JoinSet::new();
        if let Some(admin) = admin {
            tasks.spawn(admin.serve(WorkerHandle(Arc::clone(&pipeline)), stop.clone()));
        }
        report_geoip(&pipeline.enricher.geoip().status());
        tasks.spawn(schedule::watch_geoip(Arc::clone(&pipeline), stop.clone()));
        if schedule::make_partitions(&pipeline, &mut stop).await && purges::learn(&pipeline, &mut stop).await
        {
            tasks.spawn(ingest::read(Arc::clone(&pipeline), stop.clone()));
            tasks.spawn(ingest::reclaim(Arc::clone(&pipeline), stop.clone()));
            tasks.spawn(schedule::trim(Arc::clone(&pipeline), stop.clone()));
            tasks.spawn(schedule::keep_house(Arc::clone(&pipeline), stop.clone()));
            tasks.spawn(purges::keep_purging(Arc::clone(&pipeline), stop.clone()));
            if let Some(issuer) = issuer(&pipeline) {
                tasks.spawn(issuer.run(stop.clone()));
            }
        }
        if let Some(ended) = until_stopped(&mut stop, &mut tasks).await {
            tracing::error!(?ended, "a part of the worker ended by itself; the worker stops");
        }
        finish(&pipeline, tasks).await;
    }
}

/// Counts clicks until `shutdown` turns true; see [`Worker`].
pub async fn run(
    settings: WorkerSettings,
    deps: WorkerDeps,
    shutdown: watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    Worker::new(settings, deps).await?.run(shutdown).await;
    Ok(())
}

/// Returns what issues certificates, if that is wanted.
fn issuer(pipeline: &Pipeline) -> Option<Issuer> {
    let deps = &pipeline.deps;
    let config = Arc::clone(pipeline.settings.acme.as_ref()?);
    Some(Issuer::new(
        config,
        pipeline.settings.default_host.clone(),
        deps.certificates.clone()?,
        Arc::clone(&deps.clock),
        Arc::clone(&deps.rng),
        Arc::clone(&pipeline.metrics.certificates),
    ))
}

/// Waits until stopping is asked for. None of the tasks ends by itself; one that does has failed, and the rest
/// would go on unnoticed: then returns how it ended.
async fn until_stopped(stop: &mut Stop, tasks: &mut JoinSet<()>) -> Option<Result<(), JoinError>> {
    tokio::select! {
        () = stop.requested() => None,
        // A task may be woken by the request, and end, before this is.
        Some(ended) = tasks.join_next() => (!stop.is_requested()).then_some(ended),
    }
}

async fn finish(pipeline: &Pipeline, mut tasks: JoinSet<()>) {
    let all = async { while tasks.join_next().await.is_some() {} };
    drop(tokio::time::timeout(pipeline.settings.stop_timeout + STOP_MARGIN, all).await);
    tasks.shutdown().await;
    match tokio::time::timeout(LEAVE_TIMEOUT, pipeline.deps.stream.leave()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let cause = causes(&error);
            tracing::warn!(error = cause, "the click stream was not told that this worker left: {cause}");
        }
        Err(_) => tracing::warn!("the click stream was not told in time that this worker left"),
    }
}

fn report_geoip(status: &GeoIpStatus) {
    match status {
        GeoIpStatus::Off => {
            tracing::info!("no GeoIP database is configured; places of visitors stay unknown");
        }
        GeoIpStatus::Missing { file } => tracing::warn!(
            file = %file.display(),
            "the GeoIP file {} is not there; places of visitors stay unknown until it is",
            file.display()
        ),
        GeoIpStatus::Loaded { info, .. } => tracing::info!(
            geoip.database = info.database_type,
            geoip.built_at = %info.built_at,
            "GeoIP database {} of {} is in use",
            info.database_type,
            info.built_at
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn tasks_that_were_told_to_end_have_not_failed() {
        // More threads than cores, and many rounds: who is woken first is up to chance.
        for _ in 0..2_000 {
            let (told, hears) = watch::channel(false);
            let mut stop = Stop::new(hears);
            let mut tasks = JoinSet::new();
            for _ in 0..8 {
                let mut stop = stop.clone();
                tasks.spawn(async move { stop.requested().await });
            }
            let waiting = tokio::spawn(async move { until_stopped(&mut stop, &mut tasks).await.is_none() });
            tokio::task::yield_now().await;
            told.send_replace(true);
            assert!(waiting.await.unwrap(), "a task's end counted as a failure");
        }
    }

    #[tokio::test]
    async fn a_task_that_ends_untold_has_failed() {
        let (_told, hears) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(async {});
        assert!(until_stopped(&mut Stop::new(hears), &mut tasks).await.is_some());
    }
}
