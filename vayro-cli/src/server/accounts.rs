//! Accounts straight in the database, for the first one of a cluster and for lost passwords.

use clap::Args;
use vayro_api::{AccountError, ApiState, CreatedAccount, Explainer, NewAccount};
use vayro_backends::config::{ConfigErrors, Layers};
use vayro_backends::{Backends, Roles};
use vayro_core::account::{Email, User, UserPatch};

use super::config::{CommonSettings, ConfigArgs, checked, connect};
use crate::context::Context;
use crate::error::CommandError;

/// Whether to go past the API, and where the database is.
#[derive(Clone, Debug, Args)]
pub struct DirectArgs {
    /// Change the database itself instead of asking the API, with the rights of whoever runs this
    #[arg(long)]
    pub direct: bool,

    #[command(flatten)]
    config: ConfigArgs,
}

impl DirectArgs {
    /// Opens the database.
    pub async fn open(&self, context: &Context) -> Result<Accounts, CommandError> {
        let layers = self.config.layers(context, &[])?;
        let (common, api) = checked(&layers, read)?;
        let backends = connect(&common.backend, Roles::TOOLS).await?;
        let state = ApiState::new(&backends, api, Explainer::default());
        Ok(Accounts { backends, state })
    }
}

fn read(layers: &Layers, errors: &mut ConfigErrors) -> Option<(CommonSettings, vayro_api::ApiSettings)> {
    let common = CommonSettings::read(layers, errors)?;
    let api = vayro_api::ApiSettings::read(&common.instance, layers, errors)?;
    Some((common, api))
}

/// The accounts of an opened database.
pub struct Accounts {
    backends: Backends,
    state: ApiState,
}

impl Accounts {
    /// Makes an account and closes the database.
    pub async fn create(self, new: NewAccount) -> Result<CreatedAccount, CommandError> {
        let created = vayro_api::create_user(&self.state, new, &vayro_api::system_context(&self.state)).await;
        self.backends.close().await;
        created.map_err(refused)
    }

    /// Changes an account and closes the database.
    pub async fn update(
        self,
        email: &Email,
        password: Option<String>,
        patch: UserPatch,
    ) -> Result<User, CommandError> {
        let updated = self.change(email, password, patch).await;
        self.backends.close().await;
        updated.map_err(refused)
    }

    async fn change(
        &self,
        email: &Email,
        password: Option<String>,
        patch: UserPatch,
    ) -> Result<User, AccountError> {
        let context = vayro_api::system_context(&self.state);
        let mut user = match password {
            Some(password) => vayro_api::set_password(&self.state, email, password, &context).await?,
            None => self.backends.users.find_by_email(email).await?.ok_or(AccountError::Unknown)?.0,
        };
        if patch != UserPatch::default() {
            let context = vayro_api::system_context(&self.state);
            let changed = self.backends.users.update(user.id, &patch, &context).await?;
            user = changed.ok_or(AccountError::Unknown)?;
        }
        Ok(user)
    }
}

fn refused(error: AccountError) -> CommandError {
    let message = error.to_string();
    match error {
        AccountError::Unknown => CommandError::not_found(message),
        AccountError::EmailTaken(_) | AccountError::Password(_) => CommandError::failed(message),
        AccountError::Store(error) => CommandError::failed("the database cannot be used")
            .caused_by(error)
            .hint("is it on the schema of this release? `vayro migrate --check` tells"),
    }
}
