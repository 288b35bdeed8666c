//! `vayro user list`.

use clap::Args;

use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// List the accounts of the instance
#[derive(Debug, Args)]
pub struct ListArgs {}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, _: ListArgs) -> Result<(), CommandError> {
    let users = context.api()?.list_users().await?;
    ui.show(&users, |users| super::table(users))
}
