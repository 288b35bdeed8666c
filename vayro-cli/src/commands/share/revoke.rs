//! `vayro share revoke`.

use clap::Args;

use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Revoke a share for good
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Id or prefix of the share, as `vayro share list` shows them
    #[arg(value_name = "SHARE")]
    share: String,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: RevokeArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let shares = api.list_shares().await?;
    let mut found = shares.into_iter().filter(|share| share.id == args.share || share.prefix == args.share);
    let share = match (found.next(), found.next()) {
        (Some(share), None) => share,
        (None, _) => {
            return Err(CommandError::not_found(format!("there is no share `{}`", args.share))
                .hint("`vayro share list` shows ids and prefixes"));
        }
        (Some(_), Some(_)) => {
            return Err(CommandError::usage(format!("several shares have the prefix `{}`", args.share))
                .hint("name it by its id"));
        }
    };
    let label =
        if share.name.is_empty() { share.prefix } else { format!("{} ({})", share.prefix, share.name) };
    if !args.yes {
        let question = format!("Revoke {label}? Whoever has its address sees nothing any more.");
        if !ui.confirm(&question, "revoke a share").await? {
            return Err(CommandError::failed("not confirmed, nothing was revoked"));
        }
    }
    api.revoke_share(&share.id).await?;
    if ui.is_json() {
        ui.json(&serde_json::json!({ "revoked": share.id }))?;
    }
    ui.note(&format!("Revoked {label}"));
    Ok(())
}
