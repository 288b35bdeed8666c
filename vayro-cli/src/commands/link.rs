//! Commands about links.

pub mod create;
pub mod delete;
pub mod export;
pub mod get;
pub mod import;
pub mod list;
pub mod reference;
pub mod restore;
pub mod show;
pub mod update;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Create, change and move links
#[derive(Debug, Subcommand)]
pub enum LinkCommand {
    Create(create::CreateArgs),
    List(list::ListArgs),
    Get(get::GetArgs),
    Update(update::UpdateArgs),
    Delete(delete::DeleteArgs),
    Restore(restore::RestoreArgs),
    Import(import::ImportArgs),
    Export(export::ExportArgs),
}

impl LinkCommand {
    /// Runs the command.
    pub async fn run(self, ui: &mut Ui, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Create(args) => create::run(ui, context, args).await,
            Self::List(args) => list::run(ui, context, args).await,
            Self::Get(args) => get::run(ui, context, args).await,
            Self::Update(args) => update::run(ui, context, args).await,
            Self::Delete(args) => delete::run(ui, context, args).await,
            Self::Restore(args) => restore::run(ui, context, args).await,
            Self::Import(args) => import::run(ui, context, args).await,
            Self::Export(args) => export::run(ui, context, args).await,
        }
    }
}
