//! `vayro dlq list`.

use clap::Args;

use super::selection::{self, FilterArgs};
use crate::client::operations::DeadLetter;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::table::{Column, Table, Value};
use crate::ui::{Ui, text};

/// List dead letters, oldest first
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,

    /// Most letters to show
    #[arg(long, short, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: ListArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let query = args.filter.query(&api, context).await?;
    let (letters, has_more) = selection::list(&api, &query, args.limit).await?;
    if letters.is_empty() && ui.is_human() {
        ui.note("No dead letters.");
        return Ok(());
    }
    ui.show(&letters, |letters| table(letters))?;
    if has_more {
        ui.note(&format!(
            "Showing the first {}; `--limit` shows more.",
            text::plural(args.limit, "dead letter")
        ));
    }
    ui.suggest(&format!("vayro dlq show {}", letters.first().map_or("ID", |letter| &letter.id)));
    Ok(())
}

/// Returns a table of letters.
pub fn table(letters: &[DeadLetter]) -> Table {
    let mut table = Table::new([
        Column::left("ID"),
        Column::left("REASON"),
        Column::left("PUT ASIDE"),
        Column::right("ATTEMPTS"),
        Column::left("LINK"),
        Column::left("ERROR"),
    ]);
    for letter in letters {
        table.push([
            Value::text(&letter.id),
            Value::text(letter.reason.as_str()),
            Value::Time(letter.dead_at),
            Value::count(u64::from(letter.attempts)),
            selection::link_of(letter).map_or(Value::None, |link| Value::text(link.to_string())),
            Value::text(&letter.error),
        ]);
    }
    table
}
