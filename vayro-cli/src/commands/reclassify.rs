//! `vayro reclassify`.

use std::collections::HashMap;

use clap::Args;
use vayro_backends::Roles;
use vayro_core::amendment::{AmendmentKind, Changes, ClassChange, StoredClick, reclassify};
use vayro_core::click::ClickClass;
use vayro_worker::enrich::Bots;

use super::amend::{self, AmendArgs, Knowledge, Tally};
use crate::context::Context;
use crate::error::CommandError;
use crate::server::config::{checked, connect};
use crate::server::settings::ServerSettings;
use crate::ui::Ui;

/// Apply the present list of robots to stored clicks
///
/// The list is the worker's: `worker.bot_rules`, or the one built in. Clicks of robots that it sees do not
/// count any more, and those of robots that it does not see count. HEAD requests, prefetches and excluded
/// addresses stay what they are. Clicks that were stored without a user agent stay as they are.
///
/// Charts follow day by day. Needs the database, not the API, and may run beside a running system. After an
/// interruption the same command goes on where it ended.
#[derive(Debug, Args)]
pub struct ReclassifyArgs {
    #[command(flatten)]
    args: AmendArgs,
}

struct Robots(Bots);

/// What a change is called in the summary.
const fn kind(change: &ClassChange) -> &'static str {
    match (change.before, change.class) {
        (ClickClass::Bot, ClickClass::Counted) => "former_robots",
        (before, ClickClass::Bot) if !matches!(before, ClickClass::Bot) => "new_robots",
        _ => "other_rules",
    }
}

impl Knowledge for Robots {
    const KIND: AmendmentKind = AmendmentKind::Reclassify;

    fn basis(&self) -> String {
        self.0.fingerprint()
    }

    fn judge(&self, clicks: &[StoredClick], tally: &mut Tally) -> Changes {
        let mut changes = Vec::new();
        // A few user agents make up most clicks.
        let mut seen: HashMap<&str, Option<&str>> = HashMap::new();
        for click in clicks {
            if click.user_agent.is_empty() {
                tally.unknown += 1;
                continue;
            }
            let bot = *seen.entry(&click.user_agent).or_insert_with(|| self.0.find(&click.user_agent));
            if let Some(change) = reclassify(click, bot) {
                *tally.kinds.entry(kind(&change)).or_default() += 1;
                changes.push(change);
            }
        }
        Changes::Classes(changes)
    }
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: &ReclassifyArgs) -> Result<(), CommandError> {
    let settings = checked(&args.args.config.layers(context, &[])?, ServerSettings::read)?;
    let bots = Bots::load(settings.worker.enrich.bot_rules.as_deref()).map_err(|error| {
        CommandError::failed("the rules for robots cannot be used")
            .caused_by(error)
            .hint("is `worker.bot_rules` the right file?")
    })?;
    let backends = connect(&settings.common.backend, Roles::TOOLS).await?;
    let done = amend::run(ui, context, &args.args, &backends, &Robots(bots)).await;
    backends.close().await;
    done
}
