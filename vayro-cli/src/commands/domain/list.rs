//! `vayro domain list`.

use clap::Args;

use crate::client::accounts::Domain;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::ui::table::{Column, Table, Value};

/// List the domains your links may live on
#[derive(Debug, Args)]
pub struct ListArgs {}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, _: ListArgs) -> Result<(), CommandError> {
    let domains = context.api()?.list_domains().await?;
    ui.show(&domains, |domains| table(domains))
}

/// Returns a table of domains.
pub fn table(domains: &[Domain]) -> Table {
    let mut table = Table::new([
        Column::left("HOST"),
        Column::left("KIND"),
        Column::left("VERIFIED"),
        Column::left("ADDED"),
        Column::left("ID").pipe_only(),
    ]);
    for domain in domains {
        table.push([
            Value::text(&domain.host),
            Value::text(if domain.is_default { "default" } else { "own" }),
            Value::time(domain.verified_at),
            Value::Time(domain.created_at),
            Value::text(&domain.id),
        ]);
    }
    table
}
