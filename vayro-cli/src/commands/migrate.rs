//! `vayro migrate`.

use clap::Args;
use vayro_backends::{Roles, SchemaState};

use crate::context::Context;
use crate::error::CommandError;
use crate::server::config::{CommonSettings, ConfigArgs, checked, connect};
use crate::ui::{Ui, text};

/// Bring the database to the schema of this release
///
/// Run it once per release, before the new processes start. `vayro up` does it by itself.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Only tell whether something would be done; exit status 1 if so
    #[arg(long)]
    check: bool,

    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: MigrateArgs) -> Result<(), CommandError> {
    let layers = args.config.layers(context, &[])?;
    let settings = checked(&layers, CommonSettings::read)?;
    let backends = connect(&settings.backend, Roles::TOOLS).await?;
    let failed = |error| CommandError::failed("the database cannot be migrated").caused_by(error);
    let state = backends.schema_state().await.map_err(failed)?;
    let result = match state {
        SchemaState::Current => {
            ui.note("The schema is current");
            Ok(0)
        }
        SchemaState::Ahead => {
            Err(CommandError::failed("the database was migrated by a newer release").hint("use that release"))
        }
        SchemaState::Behind(count) if args.check => {
            Err(CommandError::failed(format!("{} to apply", migrations(count))).hint("run `vayro migrate`"))
        }
        SchemaState::Behind(count) => match backends.migrate().await {
            Ok(()) => {
                ui.note(&format!("Applied {}", migrations(count)));
                Ok(count)
            }
            Err(error) => Err(failed(error)),
        },
    };
    backends.close().await;
    let applied = result?;
    if ui.is_json() {
        ui.json(&serde_json::json!({ "applied": applied }))?;
    }
    Ok(())
}

fn migrations(count: u32) -> String {
    text::plural(usize::try_from(count).unwrap_or(usize::MAX), "migration")
}
