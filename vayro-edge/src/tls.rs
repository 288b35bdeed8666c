//! Certificates from files and those that were issued, and which one a client gets.

mod issued;
mod tickets;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use vayro_backends::config::AcmeConfig;
use vayro_core::ports::TicketKeyStore;

use crate::settings::CertificateSettings;
use crate::shared::Clock;
use crate::shutdown::until_told;

pub(crate) use issued::IssuedCertificates;
pub(crate) use tickets::SharedTickets;

/// Sessions remembered for clients that resume without a ticket; the default of 256 is for a test server.
const SESSIONS_MAX: usize = 10_240;

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read or holds something else.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The files do not make a certificate that can be served.
    #[error("cannot use certificate `{}`", path.display())]
    Use {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// TLS itself cannot be set up.
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
}

#[derive(Debug, Default)]
struct Table {
    exact: HashMap<Box<str>, Arc<CertifiedKey>, RandomState>,
    /// By the part behind `*.`.
    wildcard: HashMap<Box<str>, Arc<CertifiedKey>, RandomState>,
    fallback: Option<Arc<CertifiedKey>>,
}

impl Table {
    fn find(&self, host: &str) -> Option<&Arc<CertifiedKey>> {
        // A wildcard stands for exactly one label.
        self.exact.get(host).or_else(|| self.wildcard.get(host.split_once('.')?.1))
    }

    /// Adds a certificate for `name` unless there is one.
    fn insert(&mut self, name: &str, certified: &Arc<CertifiedKey>) {
        match name.strip_prefix("*.") {
            Some(parent) => self.wildcard.entry(parent.into()),
            None => self.exact.entry(name.into()),
        }
        .or_insert_with(|| Arc::clone(certified));
    }

    fn len(&self) -> usize {
        self.exact.len() + self.wildcard.len()
    }
}

/// The certificates of this edge; cheap to ask, replaced as a whole.
#[derive(Debug)]
pub(crate) struct Certificates {
    table: Arc<ArcSwap<Table>>,
    /// Those that an ACME server issued, if any are wanted.
    issued: Option<IssuedCertificates>,
    /// Keys of tickets that all edges have, if there can be any.
    tickets: Option<Arc<SharedTickets>>,
    files: Vec<CertificateSettings>,
    stamps: Mutex<Vec<Option<SystemTime>>>,
}

impl Certificates {
    /// Reads every file.
    pub(crate) fn load(
        files: Vec<CertificateSettings>,
        issued: Option<IssuedCertificates>,
    ) -> Result<Self, CertificateError> {
        // Pingora installs `ring` unless somebody was faster. This one has the post-quantum key exchange
        // and the faster RSA.
        drop(aws_lc_rs::default_provider().install_default());
        let stamps = stamps(&files);
        let table = read_all(&files)?;
        Ok(Self {
            table: Arc::new(ArcSwap::from_pointee(table)),
            issued,
            tickets: None,
            files,
            stamps: Mutex::new(stamps),
        })
    }

    /// No certificates, where somebody else ends TLS.
    pub(crate) fn none() -> Self {
        Self {
            table: Arc::default(),
            files: Vec::new(),
            stamps: Mutex::default(),
            issued: None,
            tickets: None,
        }
    }

    /// Tells whether a client that asks for `host` gets a certificate for it.
    pub(crate) fn covers(&self, host: &str) -> bool {
        self.table.load().find(host).is_some()
            || self.issued.as_ref().is_some_and(|issued| issued.table().load().find(host).is_some())
    }

    /// Shares the keys of session tickets with all edges.
    ///
    /// # Errors
    ///
    /// [`CertificateError::Setup`].
    pub(crate) fn share_tickets(
        &mut self,
        config: Arc<AcmeConfig>,
        store: Arc<dyn TicketKeyStore>,
        clock: Clock,
    ) -> Result<Arc<SharedTickets>, CertificateError> {
        let own = aws_lc_rs::Ticketer::new().map_err(CertificateError::Setup)?;
        let shared = Arc::new(SharedTickets::new(config, store, clock, own));
        self.tickets = Some(Arc::clone(&shared));
        Ok(shared)
    }

    /// Returns the keys of session tickets that all edges have, if there can be any.
    pub(crate) const fn tickets(&self) -> Option<&Arc<SharedTickets>> {
        self.tickets.as_ref()
    }

    /// Returns the certificates that an ACME server issued, if any are wanted.
    pub(crate) const fn issued(&self) -> Option<&IssuedCertificates> {
        self.issued.as_ref()
    }

    /// Returns how many names there are.
    pub(crate) fn name_count(&self) -> usize {
        self.table.load().len() + self.issued.as_ref().map_or(0, |issued| issued.table().load().len())
    }

    /// Makes what listeners accept with.
    pub(crate) fn server_config(&self) -> Result<ServerConfig, CertificateError> {
        let resolver = Resolver {
            files: Arc::clone(&self.table),
            issued: self.issued.as_ref().map(|issued| Arc::clone(issued.table())),
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // By default rustls gives no tickets, so that a returning visitor pays a full handshake.
        config.ticketer = match &self.tickets {
            Some(shared) => Arc::clone(shared) as _,
            None => aws_lc_rs::Ticketer::new().map_err(CertificateError::Setup)?,
        };
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
        Ok(config)
    }

    /// Looks at the files every `pause` and takes over what changed, until `stopping` turns true. Files
    /// that cannot be used leave the certificates as they are.
    pub(crate) async fn keep_current(&self, pause: Duration, mut stopping: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = until_told(&mut stopping) => return,
            }
            self.reload().await;
        }
    }

    async fn reload(&self) {
        let files = self.files.clone();
        let before = self.stamps.lock().clone();
        let read = tokio::task::spawn_blocking(move || {
            let now = stamps(&files);
            (now != before).then(|| (now, read_all(&files)))
        });
        match read.await {
            Ok(Some((now, Ok(table)))) => {
                self.table.store(Arc::new(table));
                *self.stamps.lock() = now;
                tracing::info!(names = self.name_count(), "certificates were read again");
            }
            Ok(Some((_, Err(error)))) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "certificates changed but cannot be used, keeping the old ones");
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "reading certificates died");
            }
        }
    }
}

fn stamps(files: &[CertificateSettings]) -> Vec<Option<SystemTime>> {
    let stamp = |path: &Path| std::fs::metadata(path).and_then(|data| data.modified()).ok();
    files.iter().flat_map(|file| [stamp(&file.certificate), stamp(&file.key)]).collect()
}

fn read_all(files: &[CertificateSettings]) -> Result<Table, CertificateError> {
    let provider = aws_lc_rs::default_provider();
    let mut table = Table::default();
    for file in files {
        let certified = Arc::new(read_one(file, &provider)?);
        for name in names(&certified) {
            table.insert(&name, &certified);
        }
        table.fallback.get_or_insert(certified);
    }
    Ok(table)
}

fn read_one(file: &CertificateSettings, provider: &CryptoProvider) -> Result<CertifiedKey, CertificateError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| CertificateError::Read { path, source }
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&file.certificate)
        .and_then(Iterator::collect)
        .map_err(unreadable(&file.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&file.key).map_err(unreadable(&file.key))?;
    let unusable = |source| CertificateError::Use { path: file.certificate.clone(), source };
    if chain.is_empty() {
        return Err(unusable(rustls::Error::NoCertificatesPresented));
    }
    CertifiedKey::from_der(chain, key, provider).map_err(unusable)
}

/// Returns the names the certificate is for, lower case.
fn names(certified: &CertifiedKey) -> Vec<Box<str>> {
    let Some(leaf) = certified.cert.first() else { return Vec::new() };
    match webpki::EndEntityCert::try_from(leaf) {
        Ok(leaf) => leaf.valid_dns_names().map(|name| name.to_ascii_lowercase().into()).collect(),
        Err(_) => Vec::new(),
    }
}

/// Chooses by the name the client asks for, without waiting for anything.
#[derive(Debug)]
struct Resolver {
    files: Arc<ArcSwap<Table>>,
    issued: Option<Arc<ArcSwap<Table>>>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let files = self.files.load();
        // rustls hands the name over in lower case; addresses are never named.
        let named = hello.server_name().and_then(|name| {
            let issued = || self.issued.as_ref()?.load().find(name).cloned();
            files.find(name).cloned().or_else(issued)
        });
        // Clients that name none, or one we do not have, get the first certificate of the files. Without one their
        // handshake ends in an alert; nothing is ever ordered because of it.
        named.or_else(|| files.fallback.clone())
    }
}
