//! `vayro events`.

use clap::Args;
use vayro_core::analytics::Dimension;
use vayro_core::click::ClickClass;

use super::link::reference::LinkRef;
use super::stats::{parse_filter, parse_interval, parse_zone};
use crate::client::Api;
use crate::client::events::{Event, EventQuery};
use crate::client::links::PAGE_LEN_MAX;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::table::{Column, Table, Tone, Value};
use crate::ui::{Ui, text};

/// Which clicks are meant.
#[derive(Debug, Args)]
pub struct ChoiceArgs {
    /// Short code, short address or id [default: all links of the workspace]
    #[arg(value_name = "CODE_OR_ID")]
    link: Option<LinkRef>,

    /// Period: 1h, 24h, 7d, 30d, 90d, 1y, mtd (this month), ytd (this year) or all [default: 30d]
    #[arg(long, short, value_parser = parse_interval)]
    interval: Option<String>,

    /// Begin at this time or day instead
    #[arg(long, value_name = "TIME", conflicts_with = "interval")]
    start: Option<String>,

    /// End at this time, or with this day [default: now]
    #[arg(long, value_name = "TIME", requires = "start")]
    end: Option<String>,

    /// Time zone that days follow, such as Europe/Berlin [default: this machine's]
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    timezone: Option<String>,

    /// Only clicks of this class, such as counted or bot; may be repeated [default: all]
    #[arg(long, value_parser = parse_class)]
    class: Vec<ClickClass>,

    /// Only clicks with this value, such as country=DE or device=mobile,tablet; `-` in front of the value
    /// means without; may be repeated
    #[arg(long = "where", value_name = "NAME=VALUE", value_parser = parse_filter)]
    filters: Vec<(Dimension, String)>,
}

/// Reads the name of a class of clicks.
pub(crate) fn parse_class(text: &str) -> Result<ClickClass, String> {
    let names = || ClickClass::ALL.map(ClickClass::as_str).join(", ");
    let class = ClickClass::ALL.into_iter().find(|class| class.as_str() == text);
    class.ok_or_else(|| format!("there are {}", names()))
}

impl ChoiceArgs {
    /// Returns what to ask the API.
    pub(super) async fn query(self, api: &Api, context: &Context) -> Result<EventQuery, CommandError> {
        let link_id = match &self.link {
            Some(reference) => Some(reference.find(api).await?.id),
            None => None,
        };
        Ok(EventQuery {
            link_id,
            interval: self.interval,
            start: self.start,
            end: self.end,
            timezone: Some(self.timezone.unwrap_or_else(|| context.time_zone_name())),
            classes: self.class,
            filters: self.filters,
        })
    }
}

/// List clicks one by one, newest first
///
/// Robots, previews and prefetches are among them, each with its class.
#[derive(Debug, Args)]
pub struct EventsArgs {
    #[command(flatten)]
    choice: ChoiceArgs,

    /// Most clicks to show
    #[arg(long, short, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: EventsArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let query = args.choice.query(&api, context).await?;
    let (events, has_more) = collect(&api, &query, args.limit).await?;
    if events.is_empty() && ui.is_human() {
        ui.note("No clicks.");
        return Ok(());
    }
    ui.show(&events, |events| table(events))?;
    if has_more {
        let shown = text::plural(args.limit, "click");
        ui.note(&format!("Showing the newest {shown}; `--limit` shows more, `vayro export` has all."));
    }
    Ok(())
}

/// Collects clicks over as many pages as it takes, at most `limit`; says whether there are more.
async fn collect(api: &Api, query: &EventQuery, limit: usize) -> Result<(Vec<Event>, bool), CommandError> {
    let mut events: Vec<Event> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let wanted = (limit - events.len()).min(PAGE_LEN_MAX);
        if wanted == 0 {
            return Ok((events, true));
        }
        let page = api.list_events(query, cursor.as_deref(), wanted).await?;
        events.extend(page.items);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok((events, false)),
        }
    }
}

/// Returns the address of a link without what every address has in common.
pub(super) fn bare(short_url: &str) -> &str {
    short_url.split_once("://").map_or(short_url, |(_, bare)| bare)
}

/// Draws clicks: the main things for a person, everything for a program.
fn table(events: &[Event]) -> Table {
    let mut table = Table::new([
        Column::left("WHEN").whole(),
        Column::left("LINK").terminal_only(),
        Column::left("SHORT URL").pipe_only(),
        Column::left("CLASS"),
        Column::left("COUNTRY"),
        Column::left("REGION").pipe_only(),
        Column::left("CITY"),
        Column::left("DEVICE"),
        Column::left("BROWSER"),
        Column::left("OS"),
        Column::left("LANGUAGE").pipe_only(),
        Column::left("REFERRER"),
        Column::left("REFERRER URL").pipe_only(),
        Column::left("IP ADDRESS").pipe_only(),
        Column::left("TRIGGER").pipe_only(),
        Column::left("UTM SOURCE").pipe_only(),
        Column::left("UTM MEDIUM").pipe_only(),
        Column::left("UTM CAMPAIGN").pipe_only(),
        Column::left("UTM TERM").pipe_only(),
        Column::left("UTM CONTENT").pipe_only(),
        Column::left("BOT").pipe_only(),
        Column::left("USER AGENT").pipe_only(),
        Column::left("ID").pipe_only(),
    ]);
    for event in events {
        let is_counted = event.class == ClickClass::Counted.as_str();
        let tone = if is_counted { Tone::Good } else { Tone::Dim };
        table.push([
            Value::Time(event.timestamp),
            Value::text(bare(&event.short_url)),
            Value::text(&event.short_url),
            Value::Toned(event.class.clone(), tone),
            Value::text(&event.country),
            Value::text(&event.region),
            Value::text(&event.city),
            Value::text(&event.device),
            Value::text(&event.browser),
            Value::text(&event.os),
            Value::text(&event.language),
            Value::text(&event.referrer),
            Value::text(&event.referrer_url),
            Value::text(&event.ip_address),
            Value::text(&event.trigger),
            Value::text(&event.utm_source),
            Value::text(&event.utm_medium),
            Value::text(&event.utm_campaign),
            Value::text(&event.utm_term),
            Value::text(&event.utm_content),
            Value::text(&event.bot),
            Value::text(&event.user_agent),
            Value::text(&event.id),
        ]);
    }
    table
}
