//! `vayro logout`.

use clap::Args;

use crate::client::Api;
use crate::context::Context;
use crate::error::CommandError;
use crate::profile::ProfileFile;
use crate::ui::Ui;

/// Sign out: forget the profile and revoke the key that `vayro login` made
#[derive(Debug, Args)]
pub struct LogoutArgs {}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, _: LogoutArgs) -> Result<(), CommandError> {
    let name = context.profile_name();
    let mut file = ProfileFile::load(&context.environment)?;
    let Some(profile) = file.remove(name)? else {
        ui.note("Nobody was signed in");
        return Ok(());
    };
    // A key that was handed in from outside may be in use elsewhere, so only our own is revoked.
    if let Some(id) = &profile.key_id {
        let api = Api::new(&profile.api_url, Some(profile.api_key.clone()))?;
        if let Err(error) = api.revoke_key(id).await {
            ui.warn(&format!("key {id} could not be revoked ({error}); revoke it with `vayro key revoke`"));
        }
    }
    ui.note(&format!("Signed out of {}", profile.api_url));
    Ok(())
}
