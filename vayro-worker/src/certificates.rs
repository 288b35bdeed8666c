//! Getting certificates from an ACME server and renewing them, ahead of time and by one worker at a time.
//!
//! Whatever was begun is in the database before it is gone on with, the private key first: the next issuer finishes the
//! order of one that died, instead of making another one.

mod check;
mod dns_hook;
mod issue;
mod leaf;
mod server;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use vayro_backends::causes;
use vayro_backends::config::AcmeConfig;
use vayro_core::certificate::{
    CERTIFICATES_MAX, CertificateName, CertificateRecord, Failure, clear_reason, retry_pause, wanted,
};
use vayro_core::host::Host;
use vayro_core::ports::{CertificateStore, DomainStore, IssuerStore, ServedCertificates, StoreError};

use crate::deps::{Clock, SharedRng};
use crate::metrics::CertificateMetrics;
use crate::stop::Stop;
use server::Server;
use trouble::Trouble;

/// How often the issuer looks for something to do.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How long the right to be the issuer lasts after its holder was last heard of.
const LEASE: Duration = Duration::from_secs(30);
/// How often the holder says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Names worked on between two looks at which are wanted.
const BATCH: u16 = 20;
/// How long one certificate may take, without the wait for DNS records.
const ISSUE_TIMEOUT: Duration = Duration::from_mins(3);
/// Pause of the whole issuer after the first time that the server could not be worked with; doubles up to the last.
const SERVER_PAUSES: [Duration; 2] = [Duration::from_secs(15), Duration::from_mins(30)];
/// How often the gauges are brought up to date, and all wanted names written down again.
const SURVEY_EVERY: Duration = Duration::from_secs(30);

/// The ports of an issuer.
#[derive(Clone)]
pub struct CertificateDeps {
    /// Name of this process.
    pub holder: Arc<str>,
    /// Domains, which get certificates.
    pub domains: Arc<dyn DomainStore>,
    /// How far certificates are.
    pub certificates: Arc<dyn CertificateStore>,
    /// What the issuer keeps beside that.
    pub issuer: Arc<dyn IssuerStore>,
    /// The certificates themselves.
    pub served: Arc<dyn ServedCertificates>,
}

/// What issues certificates.
pub(crate) struct Issuer {
    config: Arc<AcmeConfig>,
    default_host: Host,
    deps: CertificateDeps,
    clock: Clock,
    rng: SharedRng,
    metrics: Arc<CertificateMetrics>,
    server: Server,
    wanted: Vec<CertificateName>,
    surveyed_at: Option<Instant>,
    /// When the right to be the issuer was last taken or kept.
    leased_at: Option<Instant>,
    /// Until when the server is left alone, and how often in a row that was so.
    paused: Option<(Instant, u32)>,
}

impl Issuer {
    pub(crate) fn new(
        config: Arc<AcmeConfig>,
        default_host: Host,
        deps: CertificateDeps,
        clock: Clock,
        rng: SharedRng,
        metrics: Arc<CertificateMetrics>,
    ) -> Self {
        Self {
            server: Server::new(Arc::clone(&config), Arc::clone(&deps.issuer), Arc::clone(&clock)),
            config,
            default_host,
            deps,
            clock,
            rng,
            metrics,
            wanted: Vec::new(),
            surveyed_at: None,
            leased_at: None,
            paused: None,
        }
    }

    /// Issues what is due until stopping is asked for.
    pub(crate) async fn run(mut self, mut stop: Stop) {
        while stop.pause(LOOK_EVERY).await {
            if let Err(error) = self.look(&mut stop).await {
                let cause = causes(&error);
                tracing::warn!(error = cause, "certificates have to wait: {cause}");
            }
        }
        // Best effort: another one takes over a little later anyway.
        drop(timeout(HEARTBEAT, self.deps.issuer.release(&self.deps.holder)).await);
    }

    async fn look(&mut self, stop: &mut Stop) -> Result<(), StoreError> {
        let is_survey = self.surveyed_at.is_none_or(|at| at.elapsed() >= SURVEY_EVERY);
        if is_survey {
            let records = self.deps.certificates.list(CERTIFICATES_MAX).await?;
            self.metrics.survey(&records, (self.clock)());
            self.surveyed_at = Some(Instant::now());
        }
        // Whoever was heard of a moment ago need not say it again.
        if self.leased_at.is_none_or(|at| at.elapsed() >= HEARTBEAT) {
            self.leased_at = None;
            if !self.lease().await? {
                return Ok(());
            }
            self.leased_at = Some(Instant::now());
        }
        let mut hosts = self.deps.domains.hosts().await?;
        hosts.push(self.default_host.clone());
        let names = wanted(&self.config.names, &hosts);
        if is_survey || names != self.wanted {
            self.deps.certificates.want(&names, (self.clock)()).await?;
            self.wanted = names;
        }
        if self.paused.is_some_and(|(until, _)| Instant::now() < until) {
            return Ok(());
        }
        let due = self.deps.certificates.due((self.clock)(), BATCH).await?;
        if !due.is_empty() {
            // It is taken anew before each of them, and may be lost meanwhile.
            self.leased_at = None;
        }
        for record in due {
            if stop.is_requested() || !self.lease().await? {
                return Ok(());
            }
            let ended = tokio::select! {
                ended = timeout(ISSUE_TIMEOUT + self.config.dns_wait, self.work_on(&record)) => {
                    ended.unwrap_or_else(|_| Err(Trouble::server("the ACME server takes too long")))
                }
                lost = self.keep_lease() => return lost,
                () = stop.requested() => return Ok(()),
            };
            self.surveyed_at = None;
            if !self.note(&record, ended).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn lease(&self) -> Result<bool, StoreError> {
        let now = (self.clock)();
        self.deps.issuer.lease(&self.deps.holder, now, now.plus(LEASE)).await
    }

    /// Keeps the right to be the issuer; returns when it is lost.
    async fn keep_lease(&self) -> Result<(), StoreError> {
        let mut heard_at = Instant::now();
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            match self.lease().await {
                Ok(true) => heard_at = Instant::now(),
                Ok(false) => return Ok(()),
                Err(error) if heard_at.elapsed() + HEARTBEAT > LEASE => return Err(error),
                Err(error) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "no sign of life could be given"
                    );
                }
            }
        }
    }

    /// Notes how it ended, and tells whether to go on with the next name.
    async fn note(
        &mut self,
        record: &CertificateRecord,
        ended: Result<(), Trouble>,
    ) -> Result<bool, StoreError> {
        let name = &record.name;
        let now = (self.clock)();
        let failures = record.failure.as_ref().map_or(0, |failure| failure.count);
        let (reason, count, due_at, goes_on) = match ended {
            Ok(()) => {
                self.paused = None;
                return Ok(true);
            }
            Err(Trouble::Store(error)) => return Err(error),
            Err(Trouble::Name(reason)) => {
                self.metrics.failed("failed");
                let count = failures.saturating_add(1);
                let pause = retry_pause(count, &mut *self.rng.lock());
                (reason, count, now.plus(pause), true)
            }
            Err(Trouble::Again) => return Ok(true),
            Err(Trouble::Server { reason, pause }) => {
                self.metrics.failed("unavailable");
                let times = self.paused.map_or(0, |(_, times)| times);
                let [first, longest] = SERVER_PAUSES;
                let pause = pause.unwrap_or_else(|| (first * 2_u32.pow(times.min(10))).min(longest));
                self.paused = Some((Instant::now() + pause, times.saturating_add(1)));
                (reason, failures, now.plus(pause), false)
            }
        };
        let reason = clear_reason(&reason);
        tracing::warn!(
            certificate.name = %name,
            failures = count,
            again_at = %due_at,
            "no certificate for {name}: {reason}"
        );
        let failure = Failure { reason, at: now, count };
        self.deps.certificates.fail(name, &failure, due_at).await?;
        Ok(goes_on)
    }
}
