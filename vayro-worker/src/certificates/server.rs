//! The ACME server and our account there.

use std::sync::Arc;

use instant_acme::{Account, AccountCredentials, Error, NewAccount};
use tokio::sync::Mutex;
use vayro_backends::config::AcmeConfig;
use vayro_backends::vault::account_purpose;
use vayro_core::ports::IssuerStore;

use super::trouble::{Trouble, kind_of};
use crate::deps::Clock;

/// Knows the account, and makes it when there is none.
pub(super) struct Server {
    config: Arc<AcmeConfig>,
    store: Arc<dyn IssuerStore>,
    clock: Clock,
    account: Mutex<Option<Account>>,
}

impl Server {
    pub(super) fn new(config: Arc<AcmeConfig>, store: Arc<dyn IssuerStore>, clock: Clock) -> Self {
        // Pingora installs another one unless somebody was faster; the client takes what is there.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        Self { config, store, clock, account: Mutex::default() }
    }

    /// Returns our account.
    pub(super) async fn account(&self) -> Result<Account, Trouble> {
        let mut known = self.account.lock().await;
        if let Some(account) = &*known {
            return Ok(account.clone());
        }
        let account = match self.stored().await? {
            Some(account) => account,
            None => self.register().await?,
        };
        Ok(known.insert(account).clone())
    }

    async fn stored(&self) -> Result<Option<Account>, Trouble> {
        let directory = self.config.directory.as_str();
        let Some(sealed) = self.store.account(directory).await? else { return Ok(None) };
        let opened = self.config.vault.open(&account_purpose(directory), &sealed);
        let opened =
            opened.map_err(|error| Trouble::server(format!("the ACME account cannot be opened: {error}")))?;
        let credentials: AccountCredentials = serde_json::from_slice(&opened)
            .map_err(|error| Trouble::server(format!("the stored ACME account cannot be read: {error}")))?;
        Ok(Some(self.builder()?.from_credentials(credentials).await?))
    }

    async fn register(&self) -> Result<Account, Trouble> {
        let directory = self.config.directory.as_str();
        let contact = self.config.contact.as_ref().map(|contact| format!("mailto:{contact}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let made = self.builder()?.create(&new, directory.to_owned(), None).await;
        // Nothing about an account is the fault of the name that happens to be first.
        let (account, credentials) = made.map_err(|error| match error {
            Error::Api(problem) => Trouble::server(format!(
                "the ACME server refuses an account: {}",
                super::trouble::words_of(&problem)
            )),
            other => other.into(),
        })?;
        let text = serde_json::to_vec(&credentials)
            .map_err(|error| Trouble::server(format!("the ACME account cannot be written down: {error}")))?;
        let sealed = self.config.vault.seal(&account_purpose(directory), &text);
        self.store.put_account(directory, &sealed, (self.clock)()).await?;
        tracing::info!(acme.account = account.id(), "made an account at {directory}");
        Ok(account)
    }

    fn builder(&self) -> Result<instant_acme::AccountBuilder, Trouble> {
        Ok(match &self.config.root_certificates {
            None => Account::builder()?,
            Some(path) => Account::builder_with_root(path)?,
        })
    }

    /// Returns what an answer to the account's request means. If the server does not know the account any more, another
    /// one is made.
    pub(super) async fn trouble(&self, error: Error) -> Trouble {
        let is_forgotten = matches!(&error, Error::Api(problem) if kind_of(problem) == "accountDoesNotExist");
        if !is_forgotten {
            return error.into();
        }
        match self.register().await {
            Ok(account) => {
                *self.account.lock().await = Some(account);
                Trouble::Again
            }
            Err(trouble) => trouble,
        }
    }
}
