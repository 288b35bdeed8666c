//! `vayro domain list`.

use clap::Args;

use crate::client::accounts::Domain;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::ui::table::{Column, Table, Tone, Value};

/// List the domains your links may live on
#[derive(Debug, Args)]
pub struct ListArgs {}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, _: ListArgs) -> Result<(), CommandError> {
    let domains = context.api()?.list_domains().await?;
    ui.show(&domains, |domains| table(domains))?;
    for domain in &domains {
        if let Some(reason) = &domain.certificate.reason {
            ui.note(&format!("{}: {reason}", domain.host));
        }
    }
    Ok(())
}

/// Returns a table of domains.
pub fn table(domains: &[Domain]) -> Table {
    let mut table = Table::new([
        Column::left("HOST"),
        Column::left("KIND"),
        Column::left("VERIFIED"),
        Column::left("CERTIFICATE"),
        Column::left("UNTIL"),
        Column::left("ADDED"),
        Column::left("ID").pipe_only(),
    ]);
    for domain in domains {
        table.push([
            Value::text(&domain.host),
            Value::text(if domain.is_default { "default" } else { "own" }),
            Value::time(domain.verified_at),
            state(&domain.certificate.state),
            Value::time(domain.certificate.not_after),
            Value::Time(domain.created_at),
            Value::text(&domain.id),
        ]);
    }
    table
}

/// Shows how far a certificate is; nothing if none is wanted.
fn state(state: &str) -> Value {
    let tone = match state {
        "" | "none" => return Value::None,
        "issued" => Tone::Good,
        "failed" => Tone::Bad,
        _ => Tone::Dim,
    };
    Value::Toned(state.to_owned(), tone)
}
