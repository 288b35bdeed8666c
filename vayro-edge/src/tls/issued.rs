//! Certificates that the instance's own issuer got, out of the database.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tokio::sync::{Mutex, Notify, watch};
use vayro_backends::config::AcmeConfig;
use vayro_backends::vault::{OpenError, key_purpose};
use vayro_core::certificate::{CERTIFICATES_MAX, Certificate, CertificateName};
use vayro_core::ports::{ServedCertificates, StoreError};
use vayro_core::timestamp::Timestamp;

use super::Table;
use crate::shutdown::until_told;

/// Certificates loaded by one call.
const LOAD_BATCH: usize = 200;
/// How long one call may take.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a failed read.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a stored certificate cannot be served.
#[derive(Debug, thiserror::Error)]
enum UnusableError {
    #[error("its key cannot be opened")]
    Key(#[from] OpenError),
    #[error("it is no PEM")]
    Pem(#[from] rustls::pki_types::pem::Error),
    #[error("it cannot be used")]
    Use(#[from] rustls::Error),
}

/// The version of a stored certificate, and what is served of it.
type Known = (Timestamp, Option<Arc<CertifiedKey>>);

/// What is served of it, and how to learn what changed.
pub(crate) struct IssuedCertificates {
    config: Arc<AcmeConfig>,
    store: Arc<dyn ServedCertificates>,
    /// By name, with the version it has.
    known: Mutex<HashMap<CertificateName, Known>>,
    table: Arc<ArcSwap<Table>>,
    unusable: AtomicUsize,
    /// Wakes whoever keeps it current.
    pub(crate) changed: Notify,
}

impl IssuedCertificates {
    /// Makes an empty one.
    pub(crate) fn new(config: Arc<AcmeConfig>, store: Arc<dyn ServedCertificates>) -> Self {
        Self {
            config,
            store,
            known: Mutex::default(),
            table: Arc::default(),
            unusable: AtomicUsize::new(0),
            changed: Notify::new(),
        }
    }

    /// What handshakes look into.
    pub(super) fn table(&self) -> &Arc<ArcSwap<Table>> {
        &self.table
    }

    /// Returns how many stored certificates cannot be served.
    pub(crate) fn unusable_count(&self) -> usize {
        self.unusable.load(Ordering::Relaxed)
    }

    /// Takes over what is stored now, and tells whether that succeeded. A new certificate that cannot be used leaves
    /// the one before it in place.
    pub(crate) async fn refresh(&self) -> bool {
        match tokio::time::timeout(READ_TIMEOUT, self.read()).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "certificates cannot be read");
                false
            }
            Err(_) => {
                tracing::warn!("reading certificates took too long");
                false
            }
        }
    }

    async fn read(&self) -> Result<(), StoreError> {
        let mut known = self.known.lock().await;
        let versions: HashMap<_, _> = self.store.versions(CERTIFICATES_MAX).await?.into_iter().collect();
        let is_new = |(name, at): &(&CertificateName, &Timestamp)| {
            known.get(*name).is_none_or(|(known_at, _)| known_at != *at)
        };
        let news: Vec<CertificateName> =
            versions.iter().filter(is_new).map(|(name, _)| name.clone()).collect();
        let before = known.len();
        known.retain(|name, _| versions.contains_key(name));
        if news.is_empty() && known.len() == before {
            return Ok(());
        }
        for names in news.chunks(LOAD_BATCH) {
            for certificate in self.store.load(names).await? {
                let served = match self.certify(&certificate) {
                    Ok(certified) => Some(Arc::new(certified)),
                    Err(error) => {
                        let name = &certificate.name;
                        let cause = vayro_backends::causes(&error);
                        tracing::error!(certificate.name = %name, error = cause, "certificate of {name} cannot be served: {cause}");
                        known.get(name).and_then(|(_, served)| served.clone())
                    }
                };
                known.insert(certificate.name, (certificate.issued_at, served));
            }
        }
        let mut table = Table::default();
        for (name, (_, served)) in &*known {
            if let Some(served) = served {
                table.insert(name.as_str(), served);
            }
        }
        self.unusable.store(known.values().filter(|(_, served)| served.is_none()).count(), Ordering::Relaxed);
        self.table.store(Arc::new(table));
        tracing::info!(
            news = news.len(),
            names = known.len(),
            "took {} new certificates into use",
            news.len()
        );
        Ok(())
    }

    fn certify(&self, certificate: &Certificate) -> Result<CertifiedKey, UnusableError> {
        let key = self.config.vault.open(&key_purpose(&certificate.name), &certificate.sealed_key)?;
        let chain =
            CertificateDer::pem_slice_iter(certificate.chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        if chain.is_empty() {
            return Err(rustls::Error::NoCertificatesPresented.into());
        }
        let key = PrivateKeyDer::from_pem_slice(&key)?;
        Ok(CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?)
    }

    /// Keeps it current until `stopping` turns true.
    pub(crate) async fn keep_current(&self, mut stopping: watch::Receiver<bool>) {
        loop {
            let pause = if self.refresh().await { self.config.poll } else { RETRY_AFTER };
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(pause) => {}
                () = until_told(&mut stopping) => return,
            }
        }
    }
}

impl std::fmt::Debug for IssuedCertificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedCertificates").field("table", &self.table).finish_non_exhaustive()
    }
}
