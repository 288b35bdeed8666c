//! `vayro purge link`.

use clap::Args;

use super::{HowArgs, purge};
use crate::client::purges::NewPurge;
use crate::commands::link::reference::LinkRef;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Remove every click of a link up to now
///
/// The link stays as it is; `vayro link delete` deletes it. It begins to count anew.
#[derive(Debug, Args)]
pub struct LinkArgs {
    /// The link: its id, short code or short address
    link: LinkRef,

    #[command(flatten)]
    how: HowArgs,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: LinkArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let link_id = args.link.id(&api).await?;
    let new = NewPurge { link_id: Some(link_id), ..NewPurge::default() };
    purge(ui, &api, &new, &format!("every click of `{}`", args.link.label()), &args.how).await
}
