//! `vayro config check`.

use clap::Args;

use crate::context::Context;
use crate::error::CommandError;
use crate::server::config::{ConfigArgs, checked};
use crate::server::settings::ServerSettings;
use crate::ui::Ui;

/// Check the configuration and report every mistake
///
/// Exit status 64 if there is any.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command.
pub fn run(ui: &mut Ui, context: &Context, args: &CheckArgs) -> Result<(), CommandError> {
    let layers = args.config.layers(context, &[])?;
    checked(&layers, ServerSettings::read)?;
    let changed = layers.show().iter().filter(|setting| !setting.is_default).count();
    if ui.is_json() {
        ui.json(&serde_json::json!({ "mistakes": [], "changed": changed }))?;
    }
    ui.note(&format!("The configuration is sound; {changed} settings differ from their defaults"));
    Ok(())
}
