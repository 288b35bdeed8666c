//! `vayro dlq show`.

use clap::Args;

use super::selection;
use crate::client::operations::DeadLetter;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::ui::table::{Table, Value};

/// Show everything about a dead letter
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Id of the letter, as `vayro dlq list` shows it
    id: String,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: ShowArgs) -> Result<(), CommandError> {
    let letter = selection::find(&context.api()?, &args.id).await?;
    ui.show(&letter, properties)?;
    ui.suggest(&format!("vayro dlq replay {}", letter.id));
    Ok(())
}

fn properties(letter: &DeadLetter) -> Table {
    let mut table = Table::properties([
        ("id", Value::text(&letter.id)),
        ("stream_id", Value::text(&letter.stream_id)),
        ("reason", Value::text(letter.reason.as_str())),
        ("error", Value::text(&letter.error)),
        ("attempts", Value::count(u64::from(letter.attempts))),
        ("dead_at", Value::Time(letter.dead_at)),
    ]);
    for field in &letter.fields {
        table.push([Value::text(format!("field {}", field.name)), Value::text(&field.value)]);
    }
    table
}
