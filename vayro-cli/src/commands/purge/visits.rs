//! `vayro purge visits`.

use std::net::IpAddr;

use clap::Args;

use super::{HowArgs, purge};
use crate::client::purges::NewPurge;
use crate::commands::link::reference::LinkRef;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::when::When;

/// Remove clicks of a time, of one link or network if one is named
///
/// For somebody who says when they visited and from which address. Of an address only the network is stored
/// (IPv4 /24, IPv6 /48), so the clicks of everybody from that network in that time go. Nothing can be found by
/// address where none is stored (`worker.ip = "none"`, `edge.click_address = "none"`, visitors who asked for
/// privacy); leave it out there, and name a short time.
#[derive(Debug, Args)]
pub struct VisitsArgs {
    /// First instant: a time, a day, or a span such as 2h ago
    #[arg(long, value_name = "WHEN")]
    from: When,

    /// Instant before which it ends
    #[arg(long, value_name = "WHEN")]
    to: When,

    /// Only of this link: its id, short code or short address
    #[arg(long, value_name = "LINK")]
    link: Option<LinkRef>,

    /// Only from the network of this address
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,

    #[command(flatten)]
    how: HowArgs,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: VisitsArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let (from, to) = (args.from.before(context.now()), args.to.before(context.now()));
    let link_id = match &args.link {
        Some(link) => Some(link.id(&api).await?),
        None => None,
    };
    let of_link = args.link.as_ref().map(|link| format!(" of `{}`", link.label())).unwrap_or_default();
    let of_network =
        args.address.map(|address| format!(" from the network of {address}")).unwrap_or_default();
    let what = format!("clicks from {from} to {to}{of_link}{of_network}");
    let new = NewPurge {
        link_id,
        from: Some(from),
        to: Some(to),
        address: args.address.map(|address| address.to_string()),
    };
    purge(ui, &api, &new, &what, &args.how).await
}
