//! `vayro link delete`.

use clap::Args;
use vayro_core::link::RESTORE_WINDOW_DAYS;

use super::reference::LinkRef;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Delete links; they can be restored for 30 days
///
/// Visitors get 404 at once. A deleted link keeps its code and its clicks until it is gone for good.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Short codes, short addresses or ids
    #[arg(required = true, value_name = "LINK")]
    links: Vec<LinkRef>,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: DeleteArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let mut deleted = Vec::new();
    for reference in &args.links {
        let link = reference.find_undeleted(&api).await?;
        api.delete_link(link.id).await?;
        if !ui.is_json() {
            ui.line(&link.short_url)?;
        }
        ui.note(&format!("Deleted {}; it can be restored for {RESTORE_WINDOW_DAYS} days", link.short_code));
        deleted.push(link.id);
    }
    if ui.is_json() {
        ui.json(&serde_json::json!({ "deleted": deleted }))?;
    }
    if let [only] = args.links.as_slice() {
        ui.suggest(&format!("vayro link restore {}", only.label()));
    }
    Ok(())
}
