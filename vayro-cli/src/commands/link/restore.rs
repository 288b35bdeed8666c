//! `vayro link restore`.

use clap::Args;

use super::reference::LinkRef;
use super::show;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Restore deleted links
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// Short codes, short addresses or ids
    #[arg(required = true, value_name = "LINK")]
    links: Vec<LinkRef>,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: RestoreArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let mut restored = Vec::new();
    for reference in &args.links {
        let link = reference.find(&api).await?;
        if link.deleted_at.is_none() {
            return Err(CommandError::failed(format!("`{}` is not deleted", reference.label())));
        }
        let link = api.restore_link(link.id).await?;
        ui.note(&format!("Restored {} → {}", link.short_code, link.target_url));
        restored.push(link);
    }
    ui.show(&restored, |links| show::table(links))
}
