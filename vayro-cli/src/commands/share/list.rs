//! `vayro share list`.

use clap::Args;
use vayro_core::timestamp::Timestamp;

use crate::client::shares::Share;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::ui::table::{Column, Table, Tone, Value};

/// List shares, newest first
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Show revoked and expired shares too
    #[arg(long)]
    all: bool,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: ListArgs) -> Result<(), CommandError> {
    let mut shares = context.api()?.list_shares().await?;
    let now = context.now();
    if !args.all {
        shares.retain(|share| state(share, now) == "active");
    }
    if shares.is_empty() && ui.is_human() {
        ui.note("Nothing is shared.");
        return Ok(());
    }
    ui.show(&shares, |shares| table(shares, now))
}

fn state(share: &Share, now: Timestamp) -> &'static str {
    if share.revoked_at.is_some() {
        "revoked"
    } else if share.expires_at.is_some_and(|at| at <= now) {
        "expired"
    } else {
        "active"
    }
}

fn table(shares: &[Share], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::left("PREFIX"),
        Column::left("NAME"),
        Column::left("STATE"),
        Column::left("LINK"),
        Column::left("PASSWORD"),
        Column::left("CREATED"),
        Column::left("EXPIRES"),
        Column::left("ID").pipe_only(),
    ]);
    for share in shares {
        let state = state(share, now);
        let tone = if state == "active" { Tone::Good } else { Tone::Dim };
        table.push([
            Value::text(&share.prefix),
            Value::text(&share.name),
            Value::Toned(state.to_owned(), tone),
            share.link_id.map_or_else(|| Value::text("all"), |id| Value::text(id.to_string())),
            Value::text(if share.has_password { "yes" } else { "no" }),
            Value::Time(share.created_at),
            Value::time(share.expires_at),
            Value::text(&share.id),
        ]);
    }
    table
}
