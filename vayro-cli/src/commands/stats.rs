//! `vayro stats`.

mod live;
mod show;

use clap::Args;
use serde::Serialize;
use vayro_core::analytics::{BREAKDOWN_ROWS_MAX, BucketSize, Comparison, Dimension, Interval, time_zone};
use vayro_core::click::ClickClass;
use vayro_core::ids::LinkId;

use super::link::reference::LinkRef;
use crate::client::Api;
use crate::client::analytics::{Analytics, AnalyticsQuery, Count};
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Rows per breakdown of the overview.
const OVERVIEW_ROWS: u16 = 5;
/// Rows of a single breakdown when nobody says.
const ROWS_DEFAULT: u16 = 20;

/// Show who clicked, when, and from where
///
/// Without `--by` it shows totals, clicks over time and the top values of the main breakdowns. Robots,
/// previews, prefetches, repeats within moments and excluded addresses are counted apart.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Short code, short address or id
    #[arg(value_name = "CODE_OR_ID", required_unless_present_any = ["all", "live"])]
    link: Option<LinkRef>,

    /// All links of the workspace
    #[arg(long, conflicts_with = "link")]
    all: bool,

    /// Break down by country, region, city, device, browser, os, language, referrer, link, domain,
    /// trigger, `utm_source`, `utm_medium`, `utm_campaign`, `utm_term` or `utm_content`; or over time by
    /// hour, day, week or month
    #[arg(long, value_name = "WHAT", value_parser = parse_by)]
    by: Option<By>,

    /// Period: 1h, 24h, 7d, 30d, 90d, 1y, mtd (this month), ytd (this year) or all [default: 30d]
    #[arg(long, short, value_parser = parse_interval)]
    interval: Option<String>,

    /// Begin at this time or day instead
    #[arg(long, value_name = "TIME", conflicts_with = "interval")]
    start: Option<String>,

    /// End at this time, or with this day [default: now]
    #[arg(long, value_name = "TIME", requires = "start")]
    end: Option<String>,

    /// Time zone that days and hours follow, such as Europe/Berlin [default: this machine's]
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    timezone: Option<String>,

    /// Rows per breakdown [default: 5 in the overview, 20 with `--by`]
    #[arg(long, short, value_name = "COUNT",
          value_parser = clap::value_parser!(u16).range(1..=i64::from(BREAKDOWN_ROWS_MAX)))]
    limit: Option<u16>,

    /// Only clicks with this value, such as country=DE or device=mobile,tablet; `-` in front of the value
    /// means without; may be repeated
    #[arg(long = "where", value_name = "NAME=VALUE", value_parser = parse_filter)]
    filters: Vec<(Dimension, String)>,

    /// Show the change in percent against the `previous` period of the same length, or against the same
    /// days a `year` before
    #[arg(long, value_name = "PERIOD", value_parser = parse_comparison)]
    compare: Option<Comparison>,

    /// Count robots too
    #[arg(long)]
    bots: bool,

    /// Follow clicks as they come, robots too, one line each, until Ctrl-C; of all links unless one is named.
    /// With `--json` each line is a JSON object
    #[arg(long, conflicts_with_all = ["by", "interval", "start", "end", "limit", "filters", "compare", "bots"])]
    live: bool,
}

/// What to break clicks down by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The values of a dimension.
    Dimension(Dimension),
    /// Time.
    Time(BucketSize),
}

fn parse_by(text: &str) -> Result<By, String> {
    Ok(match text {
        "hour" => By::Time(BucketSize::Hour),
        "day" => By::Time(BucketSize::Day),
        "week" => By::Time(BucketSize::Week),
        "month" => By::Time(BucketSize::Month),
        name => By::Dimension(parse_dimension(name)?),
    })
}

fn parse_dimension(name: &str) -> Result<Dimension, String> {
    Dimension::from_name(name).ok_or_else(|| {
        let names = Dimension::ALL.map(Dimension::as_str).join(", ");
        format!("there are {names}")
    })
}

pub(crate) fn parse_interval(text: &str) -> Result<String, String> {
    let names = || Interval::ALL.map(|(name, _)| name).join(", ");
    Interval::from_name(text).map(|_| text.to_owned()).ok_or_else(|| format!("there are {}", names()))
}

fn parse_comparison(text: &str) -> Result<Comparison, String> {
    let names = || Comparison::ALL.map(Comparison::as_str).join(" and ");
    Comparison::from_name(text).ok_or_else(|| format!("there are {}", names()))
}

pub(crate) fn parse_zone(text: &str) -> Result<String, String> {
    time_zone(text)
        .map(|_| text.to_owned())
        .ok_or_else(|| "it is no IANA time zone such as Europe/Berlin".to_owned())
}

pub(crate) fn parse_filter(text: &str) -> Result<(Dimension, String), String> {
    let (name, value) = text.split_once('=').ok_or("it should look like country=DE")?;
    if value.is_empty() {
        return Err(
            "there is no value behind `=`; `unknown` stands for what could not be found out".to_owned()
        );
    }
    Ok((parse_dimension(name)?, value.to_owned()))
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    analytics: Analytics,
    /// Clicks of the other classes, in the overview.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<Count>,
}

/// Counts the clicks that are not in the headline, so that nobody wonders where their visit is.
async fn count_left_out(
    api: &Api,
    link: Option<LinkId>,
    query: AnalyticsQuery,
) -> Result<Option<Count>, CommandError> {
    let classes = ClickClass::ALL.into_iter().filter(|class| !query.classes.contains(class)).collect();
    let query = AnalyticsQuery { classes, group_by: Vec::new(), compare: None, ..query };
    Ok(Some(api.analytics(link, &query).await?.totals))
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: StatsArgs) -> Result<(), CommandError> {
    if args.compare.is_some() && matches!(args.by, Some(By::Dimension(_))) {
        return Err(CommandError::usage("only totals and points over time are compared")
            .hint("leave `--by` out, or use it with hour, day, week or month"));
    }
    let api = context.api()?;
    let link = match &args.link {
        Some(reference) => Some(reference.find(&api).await?),
        None => None,
    };
    if args.live {
        let zone = args.timezone.unwrap_or_else(|| context.time_zone_name());
        let mut follower = live::Follower::new(link.map(|link| link.id), &zone);
        return follower.run(ui, context, &api).await;
    }
    let interval = args.start.is_none().then(|| args.interval.unwrap_or_else(|| "30d".to_owned()));
    let query = AnalyticsQuery {
        interval: interval.clone(),
        start: args.start,
        end: args.end,
        timezone: Some(args.timezone.unwrap_or_else(|| context.time_zone_name())),
        bucket: match args.by {
            Some(By::Time(size)) => Some(size),
            _ => None,
        },
        compare: args.compare,
        group_by: match args.by {
            Some(By::Dimension(dimension)) => vec![dimension],
            Some(By::Time(_)) => Vec::new(),
            None => show::overview_dimensions(link.is_none()),
        },
        limit: Some(args.limit.unwrap_or(if args.by.is_some() { ROWS_DEFAULT } else { OVERVIEW_ROWS })),
        classes: if args.bots {
            vec![ClickClass::Counted, ClickClass::Bot]
        } else {
            vec![ClickClass::Counted]
        },
        filters: args.filters,
    };
    let id = link.as_ref().map(|link| link.id);
    let analytics = api.analytics(id, &query).await?;
    let left_out = if args.by.is_none() { count_left_out(&api, id, query).await? } else { None };
    if ui.is_json() {
        return ui.json(&Answer { analytics, left_out });
    }
    let text = match args.by {
        Some(By::Dimension(dimension)) => show::breakdown(ui, &analytics, dimension, 0),
        Some(By::Time(_)) => ui.render(&show::series(&analytics)),
        None if ui.is_human() => show::overview(ui, link.as_ref(), interval.as_deref(), &analytics, left_out),
        None => ui.render(&show::plain(&analytics, left_out)),
    };
    ui.write(&text)?;
    let is_unvisited = left_out.is_none_or(|count| count.clicks == 0) && analytics.totals.clicks == 0;
    if is_unvisited && let Some(link) = &link {
        ui.suggest(&format!("curl -i {}", link.short_url));
    }
    Ok(())
}
