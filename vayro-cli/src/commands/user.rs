//! Commands about accounts, for operators.

pub mod create;
pub mod list;
pub mod update;

use clap::{Subcommand, ValueEnum};

use crate::client::accounts::User;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::ui::table::{Column, Table, Tone, Value};

/// Manage accounts; for operators
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    Create(create::CreateArgs),
    List(list::ListArgs),
    Update(update::UpdateArgs),
}

impl UserCommand {
    /// Runs the command.
    pub async fn run(self, ui: &mut Ui, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Create(args) => create::run(ui, context, args).await,
            Self::List(args) => list::run(ui, context, args).await,
            Self::Update(args) => update::run(ui, context, args).await,
        }
    }
}

/// What an account may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Plan {
    /// The default
    Free,
    /// Paid
    Pro,
    /// Paid by contract
    Enterprise,
}

impl Plan {
    /// Returns its name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Pro => "pro",
            Self::Enterprise => "enterprise",
        }
    }
}

impl From<Plan> for vayro_core::account::Plan {
    fn from(plan: Plan) -> Self {
        match plan {
            Plan::Free => Self::Free,
            Plan::Pro => Self::Pro,
            Plan::Enterprise => Self::Enterprise,
        }
    }
}

/// Returns a table of accounts.
fn table(users: &[User]) -> Table {
    let mut table = Table::new([
        Column::left("EMAIL"),
        Column::left("OPERATOR"),
        Column::left("STATE"),
        Column::left("CREATED"),
        Column::left("ID").pipe_only(),
    ]);
    for user in users {
        let (state, tone) = match user.disabled_at {
            None => ("active", Tone::Good),
            Some(_) => ("disabled", Tone::Warn),
        };
        table.push([
            Value::text(&user.email),
            Value::text(if user.is_operator { "yes" } else { "no" }),
            Value::Toned(state.to_owned(), tone),
            Value::Time(user.created_at),
            Value::text(&user.id),
        ]);
    }
    table
}
