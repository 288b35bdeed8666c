//! `vayro link get`.

use clap::Args;

use super::reference::LinkRef;
use super::show;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Show everything about a link
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Short code, short address or id
    #[arg(value_name = "LINK")]
    link: LinkRef,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: GetArgs) -> Result<(), CommandError> {
    let link = args.link.find(&context.api()?).await?;
    ui.show(&link, show::properties)
}
