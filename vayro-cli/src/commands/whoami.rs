//! `vayro whoami`.

use clap::Args;

use crate::client::accounts::{Credential, Me};
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::ui::table::{Table, Value};

/// Show who is signed in, where, and what the key may do
#[derive(Debug, Args)]
pub struct WhoamiArgs {}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, _: WhoamiArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let me = api.me(None).await?;
    ui.show(&me, |me| properties(me, api.url()))
}

fn properties(me: &Me, api_url: &str) -> Table {
    let mut rows = vec![
        ("api_url", Value::text(api_url)),
        ("email", Value::text(&me.user.email)),
        ("operator", Value::text(if me.user.is_operator { "yes" } else { "no" })),
    ];
    for workspace in &me.workspaces {
        let said = format!("{} ({}, {})", workspace.name, workspace.role, workspace.plan);
        rows.push(("workspace", Value::text(said)));
    }
    match &me.credential {
        Credential::Session { expires_at } => rows.push(("session_expires_at", Value::Time(*expires_at))),
        Credential::ApiKey { name, prefix, scopes, expires_at, .. } => {
            rows.push(("key", Value::text(format!("{prefix} ({name})"))));
            rows.push(("key_expires_at", Value::time(*expires_at)));
            rows.push(("scopes", Value::text(scopes.join(" "))));
        }
    }
    Table::properties(rows)
}
