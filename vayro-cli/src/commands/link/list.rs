//! `vayro link list`.

use clap::{Args, ValueEnum};
use vayro_core::host::Host;

use super::show;
use crate::client::Api;
use crate::client::links::{Link, LinkQuery, PAGE_LEN_MAX};
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::{Ui, text};

/// List links, newest first
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only links with this in code, target or title
    #[arg(long, short, value_name = "TEXT")]
    search: Option<String>,

    /// Only links in this state; may be repeated [default: active, disabled, expired]
    #[arg(long, value_enum)]
    state: Vec<State>,

    /// Only links on this host
    #[arg(long, value_name = "HOST")]
    domain: Option<Host>,

    /// Order of the list
    #[arg(long, value_enum, default_value = "created")]
    sort: Sort,

    /// Turn the order around
    #[arg(long, short)]
    reverse: bool,

    /// Most links to show
    #[arg(long, short, value_name = "COUNT", default_value_t = 50)]
    limit: usize,

    /// Show all links, however many
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// What a link can be.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum State {
    /// Redirects
    Active,
    /// Switched off
    Disabled,
    /// Past its expiry
    Expired,
    /// In the archive
    Archived,
    /// Deleted, and can be restored
    Deleted,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Archived => "archived",
            Self::Deleted => "deleted",
        }
    }
}

/// What links can be ordered by.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Sort {
    /// Newest first
    Created,
    /// Last changed first
    Updated,
    /// Most clicked first
    Clicks,
    /// Last clicked first
    LastClick,
    /// By code
    Code,
}

impl Sort {
    const fn api_name(self) -> &'static str {
        match self {
            Self::Created => "created_at",
            Self::Updated => "updated_at",
            Self::Clicks => "clicks",
            Self::LastClick => "last_click_at",
            Self::Code => "short_code",
        }
    }

    const fn is_descending(self) -> bool {
        !matches!(self, Self::Code)
    }
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: ListArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let is_descending = args.sort.is_descending() != args.reverse;
    let query = LinkQuery {
        search: args.search,
        domain: args.domain.map(|host| host.as_str().to_owned()),
        states: args.state.into_iter().map(|state| state.as_str().to_owned()).collect(),
        sort: Some(args.sort.api_name().to_owned()),
        order: Some(if is_descending { "desc" } else { "asc" }.to_owned()),
        ..LinkQuery::default()
    };
    let limit = if args.all { usize::MAX } else { args.limit };
    let (links, has_more) = collect(&api, &query, limit).await?;
    if links.is_empty() && ui.is_human() {
        ui.note("No links.");
        ui.suggest("vayro link create https://example.com/");
        return Ok(());
    }
    ui.show(&links, |links| show::table(links))?;
    if has_more {
        ui.note(&format!(
            "Showing the first {}; `--limit` or `--all` shows more.",
            text::plural(limit, "link")
        ));
    }
    Ok(())
}

/// Collects links over as many pages as it takes, at most `limit`; says whether there are more.
async fn collect(api: &Api, query: &LinkQuery, limit: usize) -> Result<(Vec<Link>, bool), CommandError> {
    let mut links: Vec<Link> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let wanted = (limit - links.len()).min(PAGE_LEN_MAX);
        if wanted == 0 {
            return Ok((links, true));
        }
        let page = api.list_links(query, cursor.as_deref(), wanted).await?;
        links.extend(page.items);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok((links, false)),
        }
    }
}
