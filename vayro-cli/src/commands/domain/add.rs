//! `vayro domain add`.

use clap::Args;
use vayro_core::host::Host;

use super::list;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Add a domain of your own
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Host, such as go.example.com; its DNS must lead to an edge
    host: Host,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: AddArgs) -> Result<(), CommandError> {
    let domain = context.api()?.create_domain(args.host.as_str()).await?;
    ui.show(&domain, |domain| list::table(std::slice::from_ref(domain)))?;
    ui.note(&format!("Added {}", domain.host));
    ui.suggest(&format!("vayro link create https://example.com/ --domain {}", domain.host));
    Ok(())
}
