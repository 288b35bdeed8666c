//! `vayro user update`.

use clap::Args;

use super::Plan;
use crate::client::accounts::{User, UserPatch};
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Change an account: password, plan, rights
///
/// A new password and `--disable` end every session of the account.
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// E-mail address or id
    #[arg(value_name = "USER")]
    user: String,

    /// Set a new password, asked for without echo or read from stdin
    #[arg(long)]
    password: bool,

    /// What it may use
    #[arg(long, value_enum)]
    plan: Option<Plan>,

    /// Let it operate the instance
    #[arg(long)]
    operator: bool,

    /// Let it operate the instance no longer
    #[arg(long, conflicts_with = "operator")]
    no_operator: bool,

    /// Switch it off, so that nobody can sign in with it
    #[arg(long)]
    disable: bool,

    /// Switch it on again
    #[arg(long, conflicts_with = "disable")]
    enable: bool,

    #[cfg(feature = "server")]
    #[command(flatten)]
    direct: crate::server::accounts::DirectArgs,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: UpdateArgs) -> Result<(), CommandError> {
    let switch = |is_on: bool, is_off: bool| (is_on || is_off).then_some(is_on);
    let mut patch = UserPatch {
        password: None,
        plan: args.plan.map(|plan| plan.as_str().to_owned()),
        is_operator: switch(args.operator, args.no_operator),
        is_disabled: switch(args.disable, args.enable),
    };
    if patch == UserPatch::default() && !args.password {
        return Err(CommandError::usage("there is nothing to change")
            .hint("`vayro user update --help` lists what can be changed"));
    }
    #[cfg(feature = "server")]
    if args.direct.direct {
        let user = update_directly(ui, context, &args, &patch).await?;
        return tell(ui, &user);
    }
    let api = context.api()?;
    let wanted = args.user.to_lowercase();
    let users = api.list_users().await?;
    let Some(user) = users.into_iter().find(|user| user.email == wanted || user.id == wanted) else {
        return Err(CommandError::not_found(format!("there is no account `{}`", args.user))
            .hint("`vayro user list` shows them"));
    };
    if args.password {
        patch.password = Some(ask(ui).await?);
    }
    let user = api.update_user(&user.id, &patch).await?;
    tell(ui, &user)
}

/// Changes the account in the database itself.
#[cfg(feature = "server")]
async fn update_directly(
    ui: &mut Ui,
    context: &Context,
    args: &UpdateArgs,
    patch: &UserPatch,
) -> Result<User, CommandError> {
    let email = args.user.parse().map_err(|error: vayro_core::account::EmailError| {
        CommandError::usage(error.to_string()).hint("with `--direct` an account is named by its address")
    })?;
    let accounts = args.direct.open(context).await?;
    let password = if args.password { Some(ask(ui).await?) } else { None };
    let change = vayro_core::account::UserPatch {
        password_hash: None,
        plan: args.plan.map(Into::into),
        is_operator: patch.is_operator,
        is_disabled: patch.is_disabled,
    };
    Ok(accounts.update(&email, password, change).await?.into())
}

async fn ask(ui: &mut Ui) -> Result<String, CommandError> {
    let password = ui.read_secret("New password: ").await?.unwrap_or_default();
    if password.is_empty() {
        return Err(CommandError::usage("there is no password on stdin"));
    }
    Ok(password)
}

fn tell(ui: &mut Ui, user: &User) -> Result<(), CommandError> {
    ui.show(user, |user| super::table(std::slice::from_ref(user)))?;
    ui.note(&format!("Updated {}", user.email));
    Ok(())
}
