//! `vayro link update`.

use clap::Args;

use super::create::{redirect_status, with_scheme};
use super::reference::LinkRef;
use super::show;
use crate::client::links::LinkPatch;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::when::When;

/// Change a link
///
/// Every edge uses the new state at once.
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Short code, short address or id
    #[arg(value_name = "LINK")]
    link: LinkRef,

    /// Lead somewhere else
    #[arg(long, value_name = "URL")]
    target: Option<String>,

    /// Give it another name for people
    #[arg(long, short)]
    title: Option<String>,

    /// Redirect with status 301, 302, 303, 307 or 308
    #[arg(long, value_name = "STATUS", value_parser = redirect_status)]
    status: Option<u16>,

    /// Stop redirecting then: a time, a day, or a span such as 30d
    #[arg(long, value_name = "WHEN")]
    expires: Option<When>,

    /// Never expire
    #[arg(long, conflicts_with = "expires")]
    no_expiry: bool,

    /// Switch it on
    #[arg(long)]
    enable: bool,

    /// Switch it off; visitors get 404
    #[arg(long, conflicts_with = "enable")]
    disable: bool,

    /// Hide it from lists; it goes on redirecting
    #[arg(long)]
    archive: bool,

    /// Show it in lists again
    #[arg(long, conflicts_with = "archive")]
    unarchive: bool,

    /// Change it only if it still has this version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<i32>,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: UpdateArgs) -> Result<(), CommandError> {
    let patch = LinkPatch {
        target_url: args.target.map(with_scheme),
        title: args.title,
        redirect_status: args.status,
        is_active: switch(args.enable, args.disable),
        expires_at: match (args.expires, args.no_expiry) {
            (Some(when), _) => Some(Some(when.ahead_of(context.now()))),
            (None, true) => Some(None),
            (None, false) => None,
        },
        is_archived: switch(args.archive, args.unarchive),
    };
    if patch == LinkPatch::default() {
        return Err(CommandError::usage("there is nothing to change")
            .hint("`vayro link update --help` lists what can be changed"));
    }
    let api = context.api()?;
    let link = args.link.find_undeleted(&api).await?;
    let link = api.update_link(link.id, &patch, args.if_version).await.map_err(|error| {
        let is_stale = error.code() == "version_mismatch";
        let error = CommandError::from(error);
        if is_stale { error.hint("somebody changed it; look at it with `vayro link get`") } else { error }
    })?;
    ui.show(&link, show::properties)?;
    ui.note(&format!("Updated {}, now version {}", link.short_code, link.version));
    Ok(())
}

/// Returns what a pair of opposite switches says.
const fn switch(is_on: bool, is_off: bool) -> Option<bool> {
    match (is_on, is_off) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    }
}
