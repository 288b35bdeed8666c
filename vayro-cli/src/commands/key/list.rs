//! `vayro key list`.

use clap::Args;
use vayro_core::timestamp::Timestamp;

use crate::client::accounts::ApiKey;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::ui::table::{Column, Table, Tone, Value};

/// List API keys, newest first
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Show revoked and expired keys too
    #[arg(long)]
    all: bool,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: ListArgs) -> Result<(), CommandError> {
    let mut keys = context.api()?.list_keys().await?;
    let now = context.now();
    if !args.all {
        keys.retain(|key| state(key, now) == "active");
    }
    ui.show(&keys, |keys| table(keys, now))
}

fn state(key: &ApiKey, now: Timestamp) -> &'static str {
    if key.revoked_at.is_some() {
        "revoked"
    } else if key.expires_at.is_some_and(|at| at <= now) {
        "expired"
    } else {
        "active"
    }
}

fn table(keys: &[ApiKey], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::left("PREFIX"),
        Column::left("NAME"),
        Column::left("STATE"),
        Column::left("CREATED"),
        Column::left("LAST USED"),
        Column::left("EXPIRES"),
        Column::left("SCOPES"),
        Column::left("ID").pipe_only(),
    ]);
    for key in keys {
        let state = state(key, now);
        let tone = if state == "active" { Tone::Good } else { Tone::Dim };
        table.push([
            Value::text(&key.prefix),
            Value::text(&key.name),
            Value::Toned(state.to_owned(), tone),
            Value::Time(key.created_at),
            Value::time(key.last_used_at),
            Value::time(key.expires_at),
            Value::text(key.scopes.join(" ")),
            Value::text(&key.id),
        ]);
    }
    table
}
