//! `vayro key create`.

use clap::Args;
use vayro_core::access::Scope;

use crate::client::accounts::NewKey;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::when::When;

/// Make an API key and print it once
///
/// The key is shown now and never again; the server keeps only a hash of it.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Name for people, such as what will use it
    name: String,

    /// What it may be used for; may be repeated [default: links:read, links:write, analytics:read]
    #[arg(long, value_parser = scope, value_name = "SCOPE")]
    scope: Vec<Scope>,

    /// When it stops working: a time, a day, or a span such as 90d
    #[arg(long, value_name = "WHEN")]
    expires: Option<When>,
}

/// What a key may do if nobody says.
const SCOPES_DEFAULT: [Scope; 3] = [Scope::LinksRead, Scope::LinksWrite, Scope::AnalyticsRead];

fn scope(text: &str) -> Result<Scope, String> {
    Scope::from_name(text).ok_or_else(|| {
        let names = Scope::ALL.map(Scope::as_str).join(", ");
        format!("`{text}` is not a scope; there are {names}")
    })
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: CreateArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let scopes = if args.scope.is_empty() { SCOPES_DEFAULT.to_vec() } else { args.scope };
    let expires_at = args.expires.map(|when| when.ahead_of(context.now()));
    let created = api.create_key(&NewKey { name: args.name, scopes, expires_at }, None).await?;
    if ui.is_json() {
        ui.json(&created)?;
    } else {
        ui.line(&created.key)?;
    }
    ui.note("This key is shown only now; keep it somewhere safe");
    ui.suggest(&format!("vayro key revoke {}", created.details.prefix));
    Ok(())
}
