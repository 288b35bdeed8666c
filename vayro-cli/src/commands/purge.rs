//! Commands that remove clicks for good, for operators.

pub mod link;
pub mod visits;

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};

use crate::client::Api;
use crate::client::purges::{NewPurge, Purge};
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::table::{Table, Value};
use crate::ui::{Ui, text};
use crate::when::parse_span;

/// Time between two looks at a purge that is not done.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Remove clicks for good, because somebody asked to have them removed; for operators
///
/// Removes rows, what they were counted in, and what of them lies in the stream and among the dead letters.
/// Clicks that arrive late, as from the spool of an edge that was away, are not stored either, for 30 days.
/// Backups, and tables of months kept aside, are not reached: docs/privacy.md says what is where.
#[derive(Debug, Subcommand)]
pub enum PurgeCommand {
    Link(link::LinkArgs),
    Visits(visits::VisitsArgs),
}

impl PurgeCommand {
    /// Runs the command.
    pub async fn run(self, ui: &mut Ui, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Link(args) => link::run(ui, context, args).await,
            Self::Visits(args) => visits::run(ui, context, args).await,
        }
    }
}

/// How it is done.
#[derive(Debug, Args)]
struct HowArgs {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    /// How long to wait for a worker to do it
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = parse_span)]
    wait: Duration,
}

/// Asks for confirmation, then for the purge, and waits until it is carried out.
async fn purge(
    ui: &mut Ui,
    api: &Api,
    new: &NewPurge,
    what: &str,
    how: &HowArgs,
) -> Result<(), CommandError> {
    if !how.yes {
        let question = format!("Remove {what} for good? They are lost to every count.");
        if !ui.confirm(&question, "remove clicks").await? {
            return Err(CommandError::failed("not confirmed, nothing was removed"));
        }
    }
    let mut purge = api.create_purge(new).await?;
    let started = Instant::now();
    while purge.is_waiting() && started.elapsed() < how.wait {
        tokio::time::sleep(LOOK_EVERY.min(how.wait)).await;
        purge = api.find_purge(&purge.id).await?;
    }
    ui.show(&purge, properties)?;
    if purge.is_waiting() {
        return Err(CommandError::failed(format!("purge {} waits for a worker", purge.id))
            .hint("it is not lost: a worker carries it out when one runs; `vayro stream lag` shows them"));
    }
    let removed = text::plural(usize::try_from(purge.clicks).unwrap_or(usize::MAX), "click");
    ui.note(&format!("Removed {removed}. What was on its way meanwhile goes within some minutes."));
    Ok(())
}

fn properties(purge: &Purge) -> Table {
    Table::properties([
        ("id", Value::text(&purge.id)),
        ("link_id", Value::text(purge.link_id.as_deref().unwrap_or_default())),
        ("from", Value::time(purge.from)),
        ("to", Value::time(purge.to)),
        ("network", Value::text(purge.network.as_deref().unwrap_or_default())),
        ("state", Value::text(&purge.state)),
        ("clicks", Value::count(purge.clicks)),
        ("forget_at", Value::time(Some(purge.forget_at))),
    ])
}
