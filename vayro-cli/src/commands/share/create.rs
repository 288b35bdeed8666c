//! `vayro share create`.

use clap::Args;

use crate::client::shares::NewShare;
use crate::commands::link::reference::LinkRef;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::when::When;

/// Share the statistics of a link, or of all, and print their address once
///
/// Whoever has the address may read the statistics and nothing else. It is shown now and never again; the
/// server keeps only a hash of the token in it.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Short code, short address or id
    #[arg(value_name = "CODE_OR_ID", required_unless_present = "all")]
    link: Option<LinkRef>,

    /// All links of the workspace
    #[arg(long, conflicts_with = "link")]
    all: bool,

    /// Name for people, such as whom it is for
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,

    /// Want a password as well; it is asked for without echo, or read from stdin
    #[arg(long)]
    password: bool,

    /// When it stops working: a time, a day, or a span such as 90d
    #[arg(long, value_name = "WHEN")]
    expires: Option<When>,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: CreateArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let link_id = match &args.link {
        Some(reference) => Some(reference.find(&api).await?.id),
        None => None,
    };
    let password = if args.password { Some(ask(ui).await?) } else { None };
    let expires_at = args.expires.map(|when| when.ahead_of(context.now()));
    let created = api.create_share(&NewShare { link_id, name: args.name, password, expires_at }).await?;
    if ui.is_json() {
        ui.json(&created)?;
    } else {
        ui.line(&created.url)?;
    }
    ui.note("This address is shown only now; whoever has it may read the statistics");
    ui.suggest(&format!("vayro share revoke {}", created.details.prefix));
    Ok(())
}

async fn ask(ui: &mut Ui) -> Result<String, CommandError> {
    let password = ui.read_secret("Password for the statistics: ").await?.unwrap_or_default();
    if password.is_empty() {
        return Err(CommandError::usage("there is no password on stdin").hint("pipe one in"));
    }
    Ok(password)
}
