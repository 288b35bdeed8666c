//! Session tickets that every edge of an instance takes, so that a visitor resumes wherever it comes back to.
//!
//! The keys are in the database, sealed, one per period, and whoever needs one first makes it. A key that is over is
//! removed there and forgotten here: nobody can open recorded tickets with what is left.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use rustls::server::ProducesTickets;
use tokio::sync::watch;
use vayro_backends::config::AcmeConfig;
use vayro_backends::vault::{Vault, ticket_purpose};
use vayro_core::certificate::{TICKET_PERIOD, TicketKey, ticket_period};
use vayro_core::ports::{StoreError, TicketKeyStore};

use crate::shared::Clock;
use crate::shutdown::until_told;

/// How often keys are looked after; far less than a period, of which the next one's key is there all the time.
const LOOK_EVERY: Duration = Duration::from_mins(5);
/// Pause after a failed look.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How long a look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// What tickets themselves are sealed for.
const TICKET: &str = "ticket";

/// Keys by their period.
type Keys = Vec<(i64, Vault)>;

/// Makes and opens tickets under the keys of the instance; under one of its own while those cannot be read.
pub(crate) struct SharedTickets {
    config: Arc<AcmeConfig>,
    store: Arc<dyn TicketKeyStore>,
    clock: Clock,
    keys: ArcSwap<Keys>,
    own: Arc<dyn ProducesTickets>,
}

impl SharedTickets {
    /// Makes one that has no key of the instance yet.
    pub(super) fn new(
        config: Arc<AcmeConfig>,
        store: Arc<dyn TicketKeyStore>,
        clock: Clock,
        own: Arc<dyn ProducesTickets>,
    ) -> Self {
        Self { config, store, clock, keys: ArcSwap::default(), own }
    }

    /// Takes over the keys of the instance, making those that are missing, and tells whether that succeeded.
    pub(crate) async fn refresh(&self) -> bool {
        let error = match tokio::time::timeout(LOOK_TIMEOUT, self.exchange()).await {
            Ok(Ok(keys)) => {
                self.keys.store(Arc::new(keys));
                return true;
            }
            Ok(Err(error)) => vayro_backends::causes(&error),
            Err(elapsed) => elapsed.to_string(),
        };
        tracing::warn!(
            error,
            "keys of session tickets cannot be read; other edges cannot resume ours: {error}"
        );
        false
    }

    async fn exchange(&self) -> Result<Keys, StoreError> {
        let period = ticket_period((self.clock)());
        let mut proposed = Vec::new();
        for period in [period, period + 1] {
            let mut secret = [0; 32];
            OsRng.try_fill_bytes(&mut secret).map_err(|error| StoreError::Unavailable(error.into()))?;
            proposed
                .push(TicketKey { period, sealed: self.config.vault.seal(&ticket_purpose(period), &secret) });
        }
        let stored = self.store.exchange(&proposed, period - 1).await?;
        let open = |key: &TicketKey| {
            let secret = self.config.vault.open(&ticket_purpose(key.period), &key.sealed);
            let vault = secret.ok().and_then(|secret| Vault::from_bytes(&secret).ok());
            if vault.is_none() {
                tracing::warn!(key.period, "a key of session tickets was sealed with another acme.key");
            }
            Some((key.period, vault?))
        };
        Ok(stored.iter().filter_map(open).collect())
    }

    /// Keeps the keys current until `stopping` turns true.
    pub(crate) async fn keep_current(&self, mut stopping: watch::Receiver<bool>) {
        loop {
            let pause = if self.refresh().await { LOOK_EVERY } else { RETRY_AFTER };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = until_told(&mut stopping) => return,
            }
        }
    }
}

impl ProducesTickets for SharedTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(TICKET_PERIOD.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let period = ticket_period((self.clock)());
        let keys = self.keys.load();
        match keys.iter().find(|(of, _)| *of == period) {
            Some((_, key)) => Some(key.seal(TICKET, plain)),
            None => self.own.encrypt(plain),
        }
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let oldest = ticket_period((self.clock)()) - 1;
        let keys = self.keys.load();
        let mut usable = keys.iter().filter(|(period, _)| *period >= oldest);
        usable.find_map(|(_, key)| key.open(TICKET, cipher).ok()).or_else(|| self.own.decrypt(cipher))
    }
}

impl fmt::Debug for SharedTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTickets").finish_non_exhaustive()
    }
}
