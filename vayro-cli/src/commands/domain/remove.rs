//! `vayro domain remove`.

use clap::Args;
use vayro_core::host::Host;

use super::own_domain;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Remove a domain that has no links any more
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Host, such as go.example.com
    host: Host,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: RemoveArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let host = args.host.as_str();
    let domain = own_domain(&api, host).await?;
    if !args.yes && !ui.confirm(&format!("Remove {host}?"), "remove a domain").await? {
        return Err(CommandError::failed("not confirmed, nothing was removed"));
    }
    api.delete_domain(&domain.id).await?;
    if ui.is_json() {
        ui.json(&serde_json::json!({ "removed": domain.id }))?;
    }
    ui.note(&format!("Removed {host}"));
    Ok(())
}
