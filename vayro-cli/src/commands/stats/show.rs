//! How statistics look.

use vayro_core::analytics::{BucketSize, Dimension, local_text, time_zone};
use vayro_core::click::ClickClass;
use vayro_core::timestamp::Timestamp;

use crate::client::analytics::{Analytics, Breakdown, BreakdownRow, Count, Point};
use crate::client::links::Link;
use crate::ui::table::{Column, Table, Tone, Value};
use crate::ui::{Ui, bars, text};

/// Most columns of the chart over time.
const SPARKLINE_COLUMNS_MAX: usize = 72;
/// Widest first column that the tables of the overview share.
const NAME_COLUMNS_MAX: u16 = 32;
/// What stands for a value that could not be found out, also in filters.
const UNKNOWN: &str = "unknown";

/// Returns the breakdowns of the overview.
pub(super) fn overview_dimensions(is_workspace: bool) -> Vec<Dimension> {
    let own = is_workspace.then_some(Dimension::Link);
    let main =
        [Dimension::Country, Dimension::Referrer, Dimension::Device, Dimension::Browser, Dimension::Os];
    own.into_iter().chain(main).collect()
}

/// Draws totals, clicks over time, and the main breakdowns.
pub(super) fn overview(
    ui: &Ui,
    link: Option<&Link>,
    interval: Option<&str>,
    analytics: &Analytics,
    left_out: Option<Count>,
) -> String {
    let mut parts = vec![heading(ui, link, interval, analytics), totals(ui, analytics, left_out)];
    let names = analytics.breakdowns.values().flat_map(|breakdown| &breakdown.rows);
    let widest = names.map(|row| text::width(&name(row, true).to_human(Timestamp::EPOCH))).max().unwrap_or(0);
    let width = u16::try_from(widest).unwrap_or(NAME_COLUMNS_MAX).min(NAME_COLUMNS_MAX);
    if analytics.totals.clicks > 0 {
        for dimension in overview_dimensions(link.is_none()) {
            if analytics.breakdowns.contains_key(dimension.as_str()) {
                parts.push(breakdown(ui, analytics, dimension, width));
            }
        }
    }
    parts.join("\n")
}

fn heading(ui: &Ui, link: Option<&Link>, interval: Option<&str>, analytics: &Analytics) -> String {
    let title = match link {
        Some(link) => format!("{} → {}", link.short_url, link.target_url),
        None => "All links".to_owned(),
    };
    let columns = usize::from(ui.columns());
    let title = text::truncate(&text::clean(&title), columns).into_owned();
    let period = match interval {
        Some("all") => "everything so far, ".to_owned(),
        Some(interval) => format!("last {interval}, "),
        None => String::new(),
    };
    // The end is not included, so the last day is the one of the microsecond before.
    let last = analytics.end.minus(std::time::Duration::from_micros(1));
    let days = (day(analytics.start, &analytics.timezone), day(last, &analytics.timezone));
    let period = period.replace("last mtd", "this month").replace("last ytd", "this year");
    let span = format!("{period}{} to {}, {}", days.0, days.1, analytics.timezone);
    format!("{}\n{}\n", ui.bold(&title), ui.dim(&text::truncate(&span, columns)))
}

fn day(at: Timestamp, zone: &str) -> String {
    let zone = time_zone(zone).unwrap_or(jiff::tz::TimeZone::UTC);
    local_text(at, &zone).chars().take(10).collect()
}

fn totals(ui: &Ui, analytics: &Analytics, left_out: Option<Count>) -> String {
    let mut rows = vec![
        ("Clicks", Value::Count(analytics.totals.clicks)),
        ("Visitors", Value::Count(analytics.totals.visitors)),
    ];
    if let Some(left_out) = left_out.filter(|count| count.clicks > 0) {
        let count = text::number(left_out.clicks);
        let said = if analytics.classes.iter().any(|class| class == ClickClass::Bot.as_str()) {
            format!("{count}: previews, prefetches, repeats, excluded")
        } else {
            format!("{count}: robots, previews, prefetches, repeats, excluded; see `--bots`")
        };
        rows.push(("Left out", Value::Toned(said, Tone::Dim)));
    }
    let counts = Table::properties(rows);
    let mut drawn = ui.render(&counts);
    let values: Vec<i64> = analytics.series.iter().map(|point| point.count.clicks).collect();
    let columns = usize::from(ui.columns()).min(SPARKLINE_COLUMNS_MAX);
    if analytics.totals.clicks > 0 && values.len() > 1 {
        let sparkline = ui.accent(&bars::sparkline(&values, columns));
        drawn = format!("{drawn}\n{sparkline}\n");
        if let Some(peak) = analytics.series.iter().max_by_key(|point| point.count.clicks) {
            let said = format!(
                "per {}, most {} on {}",
                unit(analytics.bucket),
                text::number(peak.count.clicks),
                label(peak, analytics.bucket)
            );
            drawn = format!("{drawn}{}\n", ui.dim(&said));
        }
    }
    drawn
}

/// Draws one breakdown; `width` is the least width of its first column.
pub(super) fn breakdown(ui: &Ui, analytics: &Analytics, dimension: Dimension, width: u16) -> String {
    let empty = Breakdown { rows: Vec::new(), total: 0, others: 0 };
    let breakdown = analytics.breakdowns.get(dimension.as_str()).unwrap_or(&empty);
    if breakdown.rows.is_empty() && ui.is_human() {
        return "No clicks.\n".to_owned();
    }
    let mut table = Table::new([
        Column::left(title(dimension)).at_least(width).whole(),
        Column::right("CLICKS"),
        Column::right("SHARE").terminal_only(),
        Column::left("").terminal_only(),
    ]);
    let max = breakdown.rows.iter().map(|row| row.clicks).max().unwrap_or(0);
    for row in &breakdown.rows {
        table.push([
            name(row, ui.is_human()),
            Value::Count(row.clicks),
            Value::text(text::percent(row.clicks, breakdown.total)),
            Value::Bar { value: row.clicks, max },
        ]);
    }
    if breakdown.others > 0 && ui.is_human() {
        table.push([
            Value::Toned("others".to_owned(), Tone::Dim),
            Value::Count(breakdown.others),
            Value::text(text::percent(breakdown.others, breakdown.total)),
            Value::None,
        ]);
    }
    ui.render(&table)
}

fn name(row: &BreakdownRow, is_human: bool) -> Value {
    match &row.link {
        Some(link) if is_human => {
            let bare = link.short_url.split_once("://").map_or(&*link.short_url, |(_, bare)| bare);
            Value::text(bare)
        }
        Some(link) => Value::text(&link.short_url),
        None if row.value.is_empty() => Value::Toned(UNKNOWN.to_owned(), Tone::Dim),
        None => Value::text(&row.value),
    }
}

/// Returns clicks over time as a table.
pub(super) fn series(analytics: &Analytics) -> Table {
    let mut table = Table::new([
        Column::left(match analytics.bucket {
            BucketSize::Hour => "HOUR",
            BucketSize::Day => "DAY",
            BucketSize::Week => "WEEK FROM",
            BucketSize::Month => "MONTH",
        })
        .terminal_only(),
        Column::left("START").pipe_only(),
        Column::right("CLICKS"),
        Column::left("").terminal_only(),
        Column::right("VISITORS"),
    ]);
    let max = analytics.series.iter().map(|point| point.count.clicks).max().unwrap_or(0);
    for point in &analytics.series {
        table.push([
            Value::text(label(point, analytics.bucket)),
            Value::text(&point.start),
            Value::Count(point.count.clicks),
            Value::Bar { value: point.count.clicks, max },
            Value::Count(point.count.visitors),
        ]);
    }
    table
}

/// Returns the overview for a program: dimension, value, clicks, and visitors where they are known.
pub(super) fn plain(analytics: &Analytics, left_out: Option<Count>) -> Table {
    let mut table = Table::new([Column::left(""), Column::left(""), Column::right(""), Column::right("")]);
    let count =
        |count: crate::client::analytics::Count| [Value::Count(count.clicks), Value::Count(count.visitors)];
    let mut push = |dimension: &str, value: Value, counts: [Value; 2]| {
        let [clicks, visitors] = counts;
        table.push([Value::text(dimension), value, clicks, visitors]);
    };
    push("total", Value::None, count(analytics.totals));
    if let Some(left_out) = left_out {
        push("left_out", Value::None, count(left_out));
    }
    for (dimension, breakdown) in &analytics.breakdowns {
        for row in &breakdown.rows {
            push(dimension, name(row, false), [Value::Count(row.clicks), Value::None]);
        }
    }
    table
}

/// Writes where a point begins, as short as its width allows.
fn label(point: &Point, bucket: BucketSize) -> String {
    let len = match bucket {
        BucketSize::Hour => 16,
        BucketSize::Day | BucketSize::Week => 10,
        BucketSize::Month => 7,
    };
    point.start.chars().take(len).collect::<String>().replace('T', " ")
}

const fn unit(bucket: BucketSize) -> &'static str {
    match bucket {
        BucketSize::Hour => "hour",
        BucketSize::Day => "day",
        BucketSize::Week => "week",
        BucketSize::Month => "month",
    }
}

const fn title(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Country => "COUNTRY",
        Dimension::Region => "REGION",
        Dimension::City => "CITY",
        Dimension::Device => "DEVICE",
        Dimension::Browser => "BROWSER",
        Dimension::Os => "OS",
        Dimension::Language => "LANGUAGE",
        Dimension::Referrer => "REFERRER",
        Dimension::Link => "LINK",
        Dimension::Domain => "DOMAIN",
        Dimension::Trigger => "TRIGGER",
        Dimension::UtmSource => "UTM SOURCE",
        Dimension::UtmMedium => "UTM MEDIUM",
        Dimension::UtmCampaign => "UTM CAMPAIGN",
        Dimension::UtmTerm => "UTM TERM",
        Dimension::UtmContent => "UTM CONTENT",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ui::testing::terminal;

    fn sample() -> Analytics {
        let point = |day: u32, clicks: i64| json!({ "start": format!("2026-05-{day:02}T00:00:00+02:00"), "clicks": clicks, "visitors": clicks / 2 });
        let row =
            |value: &str, clicks: i64| json!({ "value": value, "clicks": clicks, "visitors": clicks / 2 });
        let breakdown = |rows: Vec<serde_json::Value>| json!({ "rows": rows, "total": 1300, "others": 66 });
        serde_json::from_value(json!({
            "link_id": null,
            "start": "2026-04-30T22:00:00Z",
            "end": "2026-05-05T12:00:00.000001Z",
            "timezone": "Europe/Berlin",
            "bucket": "day",
            "classes": ["counted"],
            "totals": { "clicks": 1300, "visitors": 650 },
            "series": [point(1, 100), point(2, 0), point(3, 700), point(4, 400), point(5, 100)],
            "breakdowns": {
                "country": breakdown(vec![row("DE", 1000), row("", 234)]),
                "referrer": breakdown(vec![row("news.ycombinator.com", 1234)]),
            },
        }))
        .expect("it is the API's form")
    }

    #[test]
    fn the_overview_fits_its_terminal() {
        let ui = terminal(80);
        let left_out = Some(Count { clicks: 12, visitors: 3 });
        insta::assert_snapshot!("overview", overview(&ui, None, Some("30d"), &sample(), left_out));
        for columns in [40, 60, 80, 200] {
            for line in overview(&terminal(columns), None, Some("30d"), &sample(), left_out).lines() {
                assert!(text::width(line) <= usize::from(columns), "{columns}: {line}");
            }
        }
    }

    #[test]
    fn points_over_time_have_bars() {
        insta::assert_snapshot!("series", terminal(80).render(&series(&sample())));
    }

    #[test]
    fn nobody_came_is_said() {
        let mut nothing = sample();
        nothing.breakdowns.clear();
        nothing.totals = Count { clicks: 0, visitors: 0 };
        let ui = terminal(80);
        insta::assert_snapshot!("overview_empty", overview(&ui, None, Some("mtd"), &nothing, None));
        assert_eq!(breakdown(&ui, &nothing, Dimension::City, 0), "No clicks.\n");
    }
}
