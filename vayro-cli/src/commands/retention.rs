//! Commands about what goes by age, straight on the database.

pub mod run;
pub mod show;

use clap::{Args, Subcommand};
use vayro_backends::config::{ConfigErrors, Layers, retention};
use vayro_backends::{Backends, Roles, SchemaState};
use vayro_core::ports::StoreError;
use vayro_core::retention::Retention;

use crate::context::Context;
use crate::error::CommandError;
use crate::server::config::{CommonSettings, ConfigArgs, checked, connect};
use crate::ui::Ui;

/// See or remove what is older than it is kept
///
/// How long clicks are kept is in the section `[retention]` of the configuration, by the plan of their
/// workspace. The worker removes what is older by itself. These commands need the database, not the API,
/// and may run beside a running system.
#[derive(Debug, Subcommand)]
pub enum RetentionCommand {
    Show(show::ShowArgs),
    Run(run::RunArgs),
}

impl RetentionCommand {
    /// Runs the command.
    pub async fn run(self, ui: &mut Ui, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Show(args) => show::run(ui, context, args).await,
            Self::Run(args) => run::run(ui, context, args).await,
        }
    }
}

/// Where the configuration comes from.
#[derive(Debug, Args)]
struct SourceArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

fn failed(error: StoreError) -> CommandError {
    CommandError::failed("the database does not answer").caused_by(error)
}

fn read(layers: &Layers, errors: &mut ConfigErrors) -> Option<(CommonSettings, Retention)> {
    let common = CommonSettings::read(layers, errors);
    let retention = retention(layers, errors);
    common.zip(retention)
}

/// Reads the configuration and connects the database.
async fn open(context: &Context, args: &SourceArgs) -> Result<(Backends, Retention), CommandError> {
    let (common, retention) = checked(&args.config.layers(context, &[])?, read)?;
    let backends = connect(&common.backend, Roles::TOOLS).await?;
    if backends.schema_state().await.map_err(failed)? != SchemaState::Current {
        backends.close().await;
        return Err(CommandError::failed("the database has not the schema of this release")
            .hint("run `vayro migrate`, or use the release that the database belongs to"));
    }
    Ok((backends, retention))
}
