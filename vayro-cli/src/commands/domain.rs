//! Commands about domains.

pub mod add;
pub mod list;
pub mod remove;
pub mod retry;

use clap::Subcommand;

use crate::client::Api;
use crate::client::accounts::Domain;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Manage the hosts that short links live on
#[derive(Debug, Subcommand)]
pub enum DomainCommand {
    List(list::ListArgs),
    Add(add::AddArgs),
    Retry(retry::RetryArgs),
    Remove(remove::RemoveArgs),
}

impl DomainCommand {
    /// Runs the command.
    pub async fn run(self, ui: &mut Ui, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::List(args) => list::run(ui, context, args).await,
            Self::Add(args) => add::run(ui, context, args).await,
            Self::Retry(args) => retry::run(ui, context, args).await,
            Self::Remove(args) => remove::run(ui, context, args).await,
        }
    }
}

/// Finds the domain that the workspace itself registered under `host`.
async fn own_domain(api: &Api, host: &str) -> Result<Domain, CommandError> {
    let mut domains = api.list_domains().await?.into_iter();
    domains.find(|domain| domain.host == host && !domain.is_default).ok_or_else(|| {
        CommandError::not_found(format!("`{host}` is not one of your domains"))
            .hint("`vayro domain list` shows them")
    })
}
