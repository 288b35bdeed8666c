//! `vayro user create`.

use clap::Args;
use vayro_core::account::Email;

use super::Plan;
use crate::client::accounts::{CreatedUser, NewUser};
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Make an account with a workspace of its own
///
/// The password is asked for without echo, or read from stdin; with `--generate` one is made and printed
/// once.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// E-mail address
    email: Email,

    /// What it may use
    #[arg(long, value_enum, default_value = "free")]
    plan: Plan,

    /// Let it operate the instance
    #[arg(long)]
    operator: bool,

    /// Make a password instead of asking for one
    #[arg(long)]
    generate: bool,

    #[cfg(feature = "server")]
    #[command(flatten)]
    direct: crate::server::accounts::DirectArgs,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: CreateArgs) -> Result<(), CommandError> {
    let created = create(ui, context, &args).await?;
    match &created.generated_password {
        _ if ui.is_json() => ui.json(&created)?,
        Some(password) => ui.line(password)?,
        None => ui.show(&created, |created| super::table(std::slice::from_ref(&created.user)))?,
    }
    ui.note(&format!("Created the account {}", created.user.email));
    if created.generated_password.is_some() {
        ui.note("The password is shown only now");
    }
    Ok(())
}

async fn create(ui: &mut Ui, context: &Context, args: &CreateArgs) -> Result<CreatedUser, CommandError> {
    #[cfg(feature = "server")]
    if args.direct.direct {
        let accounts = args.direct.open(context).await?;
        let password = if args.generate { None } else { Some(ask(ui).await?) };
        let plan = args.plan.into();
        let new =
            vayro_api::NewAccount { email: args.email.clone(), password, plan, is_operator: args.operator };
        let created = accounts.create(new).await?;
        return Ok(CreatedUser {
            user: created.user.into(),
            workspace_id: created.workspace.id.to_string(),
            generated_password: created.generated_password,
        });
    }
    let api = context.api()?;
    let password = if args.generate { None } else { Some(ask(ui).await?) };
    let new = NewUser {
        email: args.email.to_string(),
        password,
        plan: args.plan.as_str().to_owned(),
        is_operator: args.operator,
    };
    Ok(api.create_user(&new).await?)
}

async fn ask(ui: &mut Ui) -> Result<String, CommandError> {
    let password = ui.read_secret("Password for the new account: ").await?.unwrap_or_default();
    if password.is_empty() {
        return Err(CommandError::usage("there is no password on stdin")
            .hint("pipe one in, or add `--generate` to have one made"));
    }
    Ok(password)
}
