//! `vayro config show`.

use clap::Args;
use vayro_backends::config::ShownSetting;

use crate::context::Context;
use crate::error::CommandError;
use crate::server::config::ConfigArgs;
use crate::ui::Ui;
use crate::ui::table::{Column, Table, Tone, Value};

/// Show every setting, its value and where it comes from
///
/// Secrets are left out. Variables are named `VAYRO_<SECTION>__<KEY>`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Only settings that differ from their default
    #[arg(long)]
    changed: bool,

    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command.
pub fn run(ui: &mut Ui, context: &Context, args: &ShowArgs) -> Result<(), CommandError> {
    let layers = args.config.layers(context, &[])?;
    let mut settings = layers.show();
    settings.retain(|setting| !args.changed || !setting.is_default);
    ui.show(&settings, |settings| table(settings))
}

fn table(settings: &[ShownSetting]) -> Table {
    let mut table = Table::new([Column::left("SETTING"), Column::left("VALUE"), Column::left("SOURCE")]);
    for setting in settings {
        table.push([
            Value::text(&setting.key),
            Value::text(&setting.value),
            if setting.is_default {
                Value::Toned(setting.source.clone(), Tone::Dim)
            } else {
                Value::text(&setting.source)
            },
        ]);
    }
    table
}
