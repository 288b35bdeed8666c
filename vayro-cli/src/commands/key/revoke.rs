//! `vayro key revoke`.

use clap::Args;

use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Revoke an API key for good
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Id or prefix of the key, as `vayro key list` shows them
    #[arg(value_name = "KEY")]
    key: String,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: RevokeArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let keys = api.list_keys().await?;
    let mut found = keys.into_iter().filter(|key| key.id == args.key || key.prefix == args.key);
    let key = match (found.next(), found.next()) {
        (Some(key), None) => key,
        (None, _) => {
            return Err(CommandError::not_found(format!("there is no key `{}`", args.key))
                .hint("`vayro key list` shows ids and prefixes"));
        }
        (Some(_), Some(_)) => {
            return Err(CommandError::usage(format!("several keys have the prefix `{}`", args.key))
                .hint("name it by its id"));
        }
    };
    if !args.yes {
        let question = format!("Revoke {} ({})? Whatever uses it stops working.", key.prefix, key.name);
        if !ui.confirm(&question, "revoke a key").await? {
            return Err(CommandError::failed("not confirmed, nothing was revoked"));
        }
    }
    api.revoke_key(&key.id).await?;
    if ui.is_json() {
        ui.json(&serde_json::json!({ "revoked": key.id }))?;
    }
    ui.note(&format!("Revoked {} ({})", key.prefix, key.name));
    Ok(())
}
