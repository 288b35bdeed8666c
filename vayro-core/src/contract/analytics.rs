//! Rules of [`AnalyticsStore`](crate::ports::AnalyticsStore): totals, series, breakdowns, filters.
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use super::stores::{Owner, Stores, at, click};
use crate::analytics::{
    Breakdown, BreakdownRow, BucketSize, ClickCount, ClickScope, Dimension, DimensionFilter, bucket_edges,
    time_zone,
};
use crate::click::{ClickClass, ClickRow};
use crate::link::Link;
use crate::timestamp::Timestamp;

/// Generates one test per rule; `$fixture` is a future of a value with a field `stores`.
#[macro_export]
macro_rules! analytics_store_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            analytics,
            [
                no_clicks_are_zero_everywhere,
                totals_count_clicks_and_visitors,
                visitors_are_unique_per_day_and_summed_over_days,
                the_span_includes_its_start_and_not_its_end,
                only_asked_for_classes_count,
                a_link_narrows_the_scope,
                other_workspaces_clicks_are_never_counted,
                a_series_has_one_count_per_bucket,
                a_series_ignores_clicks_outside_the_scope,
                days_of_a_zone_are_counted_as_that_zone_has_them,
                every_dimension_breaks_down,
                breakdowns_are_ordered_by_clicks_then_value,
                a_breakdown_sums_up_what_it_leaves_out,
                unknown_values_are_the_empty_text,
                filters_keep_the_named_values,
                negated_filters_exclude_the_named_values,
                all_filters_must_hold,
                filters_are_exact_about_case,
            ]
        );
    };
}

fn scope(owner: &Owner) -> ClickScope {
    ClickScope {
        workspace_id: owner.workspace_id,
        link_id: None,
        start: at(-10 * 86_400),
        end: at(10 * 86_400),
        classes: vec![ClickClass::Counted],
        filters: Vec::new(),
    }
}

fn count(clicks: i64, visitors: i64) -> ClickCount {
    ClickCount { clicks, visitors }
}

fn row(value: &str, clicks: i64) -> BreakdownRow {
    BreakdownRow { value: value.to_owned(), clicks }
}

/// Every question is asked of the rows and of the rollups, which must agree.
async fn totals(stores: &Stores, scope: &ClickScope) -> ClickCount {
    let counted = stores.analytics.totals(scope).await.expect("the database answers");
    let rolled_up = stores.rolled_up.totals(scope).await.expect("the database answers");
    assert_eq!(rolled_up, counted, "rollups differ from rows");
    counted
}

async fn series(stores: &Stores, scope: &ClickScope, edges: &[Timestamp]) -> Vec<ClickCount> {
    let counted = stores.analytics.series(scope, edges).await.expect("the database answers");
    let rolled_up = stores.rolled_up.series(scope, edges).await.expect("the database answers");
    assert_eq!(rolled_up, counted, "rollups differ from rows");
    counted
}

async fn breakdown(stores: &Stores, scope: &ClickScope, dimension: Dimension, max: u16) -> Breakdown {
    let counted = stores.analytics.breakdown(scope, dimension, max).await.expect("the database answers");
    let rolled_up = stores.rolled_up.breakdown(scope, dimension, max).await.expect("the database answers");
    assert_eq!(rolled_up, counted, "rollups differ from rows");
    counted
}

async fn write(stores: &Stores, rows: &[ClickRow]) {
    stores.clicks.write(rows).await.expect("clicks are stored");
}

async fn cast(stores: &Stores) -> (Owner, Link) {
    let owner = stores.owner("ada").await;
    stores.prepare_months().await;
    let link = stores.link(&owner, "launch").await;
    (owner, link)
}

fn visit(link: &Link, at: Timestamp, visitor: i64) -> ClickRow {
    ClickRow { visitor_id: Some(visitor), ..click(link, at) }
}

fn from(link: &Link, country: &str, browser: &str, visitor: i64) -> ClickRow {
    ClickRow {
        country_code: country.to_owned(),
        browser: browser.to_owned(),
        ..visit(link, at(visitor), visitor)
    }
}

fn filter(dimension: Dimension, values: &[&str], is_negated: bool) -> DimensionFilter {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    DimensionFilter { dimension, values, is_negated }
}

/// A workspace without clicks has charts as well.
pub async fn no_clicks_are_zero_everywhere(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let scope = scope(&owner);
    assert_eq!(totals(stores, &scope).await, count(0, 0));
    assert_eq!(series(stores, &scope, &[at(0), at(1), at(2)]).await, [count(0, 0); 2]);
    for dimension in Dimension::ALL {
        let empty = Breakdown { rows: Vec::new(), total: 0, others: 0 };
        assert_eq!(breakdown(stores, &scope, dimension, 10).await, empty);
    }
}

/// A visitor who cannot be known is a click and no visitor.
pub async fn totals_count_clicks_and_visitors(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows = [
        visit(&link, at(1), 1),
        visit(&link, at(2), 1),
        visit(&link, at(3), -2),
        click(&link, at(4)),
        click(&link, at(5)),
    ];
    write(stores, &rows).await;
    assert_eq!(totals(stores, &scope(&owner)).await, count(5, 2));
}

/// The same number on two UTC days is two visitors: the salt changes daily.
pub async fn visitors_are_unique_per_day_and_summed_over_days(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let midnight = 12 * 3600;
    let rows = [
        visit(&link, at(midnight - 7200), 1),
        visit(&link, at(midnight - 1), 1),
        visit(&link, at(midnight), 1),
        visit(&link, at(midnight + 7200), 1),
        visit(&link, at(midnight + 86_400), 1),
    ];
    write(stores, &rows).await;
    let scope = scope(&owner);
    assert_eq!(totals(stores, &scope).await, count(5, 3));
    let edges = [at(midnight - 86_400), at(midnight + 3600), at(midnight + 2 * 86_400)];
    assert_eq!(series(stores, &scope, &edges).await, [count(3, 2), count(2, 2)]);
    let by_trigger = breakdown(stores, &scope, Dimension::Trigger, 10).await;
    assert_eq!(by_trigger.rows, [row("link", 5)]);
}

/// `start` is inside, `end` is not.
pub async fn the_span_includes_its_start_and_not_its_end(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows: Vec<_> = (0..4).map(|n| click(&link, at(n))).collect();
    write(stores, &rows).await;
    let between = |start, end| ClickScope { start: at(start), end: at(end), ..scope(&owner) };
    assert_eq!(totals(stores, &between(1, 3)).await.clicks, 2);
    assert_eq!(totals(stores, &between(1, 1)).await.clicks, 0);
    assert_eq!(breakdown(stores, &between(1, 3), Dimension::Country, 5).await.total, 2);
}

/// Any set of classes; none is nothing.
pub async fn only_asked_for_classes_count(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let mut rows = Vec::new();
    for (class, n) in [
        (ClickClass::Counted, 4),
        (ClickClass::Head, 3),
        (ClickClass::Prefetch, 2),
        (ClickClass::Bot, 1),
        (ClickClass::Repeat, 5),
        (ClickClass::Excluded, 6),
    ] {
        rows.extend((0..n).map(|n| ClickRow { class, ..click(&link, at(n)) }));
    }
    write(stores, &rows).await;
    for (classes, expected) in [
        (vec![], 0),
        (vec![ClickClass::Counted], 4),
        (vec![ClickClass::Bot, ClickClass::Head], 4),
        (vec![ClickClass::Prefetch], 2),
        (vec![ClickClass::Repeat], 5),
        (vec![ClickClass::Excluded, ClickClass::Repeat], 11),
        (ClickClass::ALL.to_vec(), 21),
    ] {
        let scope = ClickScope { classes: classes.clone(), ..scope(&owner) };
        assert_eq!(totals(stores, &scope).await.clicks, expected, "{classes:?}");
        assert_eq!(series(stores, &scope, &[at(0), at(100)]).await[0].clicks, expected);
        assert_eq!(breakdown(stores, &scope, Dimension::Link, 5).await.total, expected);
    }
}

/// Of one link, or of all of the workspace.
pub async fn a_link_narrows_the_scope(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let other = stores.link(&owner, "other").await;
    write(stores, &[visit(&link, at(1), 1), visit(&other, at(2), 1), visit(&other, at(3), 2)]).await;
    for (link_id, expected) in
        [(None, count(3, 2)), (Some(link.id), count(1, 1)), (Some(other.id), count(2, 2))]
    {
        let scope = ClickScope { link_id, ..scope(&owner) };
        assert_eq!(totals(stores, &scope).await, expected);
        assert_eq!(series(stores, &scope, &[at(0), at(100)]).await, [expected]);
        assert_eq!(breakdown(stores, &scope, Dimension::Country, 5).await.rows, [row("", expected.clicks)]);
    }
}

/// Not even by naming the link.
pub async fn other_workspaces_clicks_are_never_counted(stores: &Stores) {
    let (_, link) = cast(stores).await;
    let eve = stores.owner("eve").await;
    write(stores, &[click(&link, at(1))]).await;
    for link_id in [None, Some(link.id)] {
        let filters = vec![filter(Dimension::Link, &[&link.id.to_string()], false)];
        for filters in [Vec::new(), filters] {
            let scope = ClickScope { link_id, filters, ..scope(&eve) };
            assert_eq!(totals(stores, &scope).await, count(0, 0));
            assert_eq!(series(stores, &scope, &[at(0), at(10)]).await, [count(0, 0)]);
            assert_eq!(breakdown(stores, &scope, Dimension::Link, 5).await.total, 0);
        }
    }
}

/// Empty buckets are there too; a bucket includes its start and not its end; buckets may differ in width.
pub async fn a_series_has_one_count_per_bucket(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows: Vec<_> = [0, 9, 10, 10, 29, 30, 100]
        .into_iter()
        .zip(1..)
        .map(|(seconds, visitor)| visit(&link, at(seconds), visitor))
        .collect();
    write(stores, &rows).await;
    let edges = [0, 10, 20, 30, 40, 200].map(at);
    let counts = series(stores, &scope(&owner), &edges).await;
    assert_eq!(counts, [count(2, 2), count(2, 2), count(1, 1), count(1, 1), count(1, 1)]);
    assert!(series(stores, &scope(&owner), &edges[..1]).await.is_empty());
    assert!(series(stores, &scope(&owner), &[]).await.is_empty());
}

/// The first and last bucket of a chart usually reach beyond what was asked for, and clicks beyond the
/// buckets belong to none.
pub async fn a_series_ignores_clicks_outside_the_scope(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows: Vec<_> = (0..10).map(|n| click(&link, at(n))).collect();
    write(stores, &rows).await;
    let scope = ClickScope { start: at(2), end: at(8), ..scope(&owner) };
    let wide: Vec<i64> = series(stores, &scope, &[0, 5, 10].map(at)).await.iter().map(|c| c.clicks).collect();
    assert_eq!(wide, [3, 3]);
    let narrow: Vec<i64> =
        series(stores, &scope, &[4, 5, 6].map(at)).await.iter().map(|c| c.clicks).collect();
    assert_eq!(narrow, [1, 1]);
}

/// Days of 23 and 25 hours, and zones that are 45 minutes off.
pub async fn days_of_a_zone_are_counted_as_that_zone_has_them(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let link = stores.link(&owner, "launch").await;
    for (zone, start, end, hours) in [
        ("Europe/Berlin", "2026-03-28T00:00:00+01:00", "2026-03-31T00:00:00+02:00", [24, 23, 24]),
        ("Europe/Berlin", "2026-10-24T00:00:00+02:00", "2026-10-27T00:00:00+01:00", [24, 25, 24]),
        ("Asia/Kathmandu", "2026-05-01T00:00:00+05:45", "2026-05-04T00:00:00+05:45", [24, 24, 24]),
    ] {
        let (start, end) = (start.parse().expect("valid"), end.parse().expect("valid"));
        stores.clicks.ensure_partitions(start, end).await.expect("months can be prepared");
        let mut rows = Vec::new();
        let mut hour: Timestamp = start;
        while hour < end {
            rows.push(click(&link, hour));
            hour = hour.plus(std::time::Duration::from_hours(1));
        }
        write(stores, &rows).await;
        let zone = time_zone(zone).expect("a known zone");
        let edges = bucket_edges(start, end, BucketSize::Day, &zone).expect("three days fit");
        let scope = ClickScope { start, end, ..scope(&owner) };
        let counts: Vec<i64> = series(stores, &scope, &edges).await.iter().map(|c| c.clicks).collect();
        assert_eq!(counts, hours);
    }
}

/// Each dimension reads the column it is named after.
pub async fn every_dimension_breaks_down(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let row_of = |prefix: &str, country: &str, device: &str, trigger: &str, visitor: i64| ClickRow {
        domain: format!("go.{prefix}.example"),
        country_code: country.to_owned(),
        region: format!("{prefix} region"),
        city: format!("{prefix} city"),
        device_type: device.to_owned(),
        browser: format!("{prefix} browser"),
        os: format!("{prefix} os"),
        language: format!("{prefix}-lang"),
        referer: format!("https://www.{prefix}.example/path"),
        referer_host: format!("{prefix}.example"),
        trigger: trigger.to_owned(),
        utm_source: format!("{prefix} source"),
        utm_medium: format!("{prefix} medium"),
        utm_campaign: format!("{prefix} campaign"),
        utm_term: format!("{prefix} term"),
        utm_content: format!("{prefix} content"),
        ..visit(&link, at(visitor), visitor)
    };
    let rows = [
        row_of("a", "DE", "mobile", "link", 1),
        row_of("a", "DE", "mobile", "link", 2),
        row_of("b", "FR", "tablet", "qr", 3),
    ];
    write(stores, &rows).await;
    let id = link.id.to_string();
    for dimension in Dimension::ALL {
        let (a, b) = match dimension {
            Dimension::Country => ("DE".to_owned(), "FR".to_owned()),
            Dimension::Device => ("mobile".to_owned(), "tablet".to_owned()),
            Dimension::Trigger => ("link".to_owned(), "qr".to_owned()),
            Dimension::Language => ("a-lang".to_owned(), "b-lang".to_owned()),
            Dimension::Domain => ("go.a.example".to_owned(), "go.b.example".to_owned()),
            Dimension::Referrer => ("a.example".to_owned(), "b.example".to_owned()),
            Dimension::Link => {
                let found = breakdown(stores, &scope(&owner), dimension, 10).await;
                assert_eq!(found.rows, [row(&id, 3)]);
                continue;
            }
            other => {
                let name = other.as_str().trim_start_matches("utm_");
                (format!("a {name}"), format!("b {name}"))
            }
        };
        let found = breakdown(stores, &scope(&owner), dimension, 10).await;
        assert_eq!(found, Breakdown { rows: vec![row(&a, 2), row(&b, 1)], total: 3, others: 0 });
        let filters = vec![filter(dimension, &[&b], false)];
        assert_eq!(
            totals(stores, &ClickScope { filters, ..scope(&owner) }).await,
            count(1, 1),
            "{dimension:?}"
        );
    }
}

/// Most clicks first; among equals by the bytes of the value.
pub async fn breakdowns_are_ordered_by_clicks_then_value(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let mut rows = Vec::new();
    for (browser, n) in [("b", 1), ("a", 1), ("B", 1), ("ä", 1), ("z", 3), ("", 1)] {
        rows.extend((0..n).map(|_| from(&link, "DE", browser, 1)));
    }
    write(stores, &rows).await;
    let found = breakdown(stores, &scope(&owner), Dimension::Browser, 10).await;
    let values: Vec<&str> = found.rows.iter().map(|row| row.value.as_str()).collect();
    assert_eq!(values, ["z", "", "B", "a", "b", "ä"]);
}

/// `total` is over all values, `others` what `rows` leave out; also when `max` leaves no row at all.
pub async fn a_breakdown_sums_up_what_it_leaves_out(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let mut rows = Vec::new();
    for (browser, n) in [("a", 5), ("b", 4), ("c", 3), ("d", 1)] {
        rows.extend((0..n).map(|visitor| from(&link, "DE", browser, visitor)));
    }
    write(stores, &rows).await;
    let found = breakdown(stores, &scope(&owner), Dimension::Browser, 2).await;
    assert_eq!(found, Breakdown { rows: vec![row("a", 5), row("b", 4)], total: 13, others: 4 });
    let found = breakdown(stores, &scope(&owner), Dimension::Browser, 4).await;
    assert_eq!((found.rows.len(), found.total, found.others), (4, 13, 0));
    let found = breakdown(stores, &scope(&owner), Dimension::Browser, 0).await;
    assert_eq!(found, Breakdown { rows: Vec::new(), total: 13, others: 13 });
}

/// What is not known is a value like any other: listed, filtered for, excluded.
pub async fn unknown_values_are_the_empty_text(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    write(stores, &[from(&link, "", "a", 1), from(&link, "", "", 2), from(&link, "DE", "", 3)]).await;
    let found = breakdown(stores, &scope(&owner), Dimension::Country, 10).await;
    assert_eq!(found.rows, [row("", 2), row("DE", 1)]);
    for (values, is_negated, expected) in [
        ([""].as_slice(), false, 2),
        (&[""], true, 1),
        (&["", "DE"], false, 3),
        (&["", "DE"], true, 0),
        (&["DE"], true, 2),
    ] {
        let filters = vec![filter(Dimension::Country, values, is_negated)];
        let found = totals(stores, &ClickScope { filters, ..scope(&owner) }).await;
        assert_eq!(found.clicks, expected, "{values:?}, negated: {is_negated}");
    }
}

async fn three_countries(stores: &Stores) -> Owner {
    let (owner, link) = cast(stores).await;
    let rows = [
        from(&link, "DE", "Firefox", 1),
        from(&link, "DE", "Chrome", 2),
        from(&link, "FR", "Firefox", 3),
        from(&link, "US", "Safari", 4),
        from(&link, "", "Firefox", 5),
    ];
    write(stores, &rows).await;
    owner
}

async fn filtered(stores: &Stores, owner: &Owner, filters: Vec<DimensionFilter>) -> i64 {
    let scope = ClickScope { filters, ..scope(owner) };
    let found = totals(stores, &scope).await.clicks;
    assert_eq!(series(stores, &scope, &[at(0), at(100)]).await[0].clicks, found);
    assert_eq!(breakdown(stores, &scope, Dimension::Os, 5).await.total, found);
    found
}

/// One value or several, known or not.
pub async fn filters_keep_the_named_values(stores: &Stores) {
    let owner = three_countries(stores).await;
    for (values, expected) in
        [(["DE"].as_slice(), 2), (&["DE", "FR"], 3), (&["XX"], 0), (&["DE", "XX", "DE"], 2), (&[], 0)]
    {
        let filters = vec![filter(Dimension::Country, values, false)];
        assert_eq!(filtered(stores, &owner, filters).await, expected, "{values:?}");
    }
    let no_link = vec![filter(Dimension::Link, &["not an id"], false)];
    assert_eq!(filtered(stores, &owner, no_link).await, 0);
}

/// Unknown is not DE either.
pub async fn negated_filters_exclude_the_named_values(stores: &Stores) {
    let owner = three_countries(stores).await;
    for (values, expected) in [(["DE"].as_slice(), 3), (&["DE", "FR"], 2), (&["XX"], 5), (&[], 5)] {
        let filters = vec![filter(Dimension::Country, values, true)];
        assert_eq!(filtered(stores, &owner, filters).await, expected, "{values:?}");
    }
    let no_link = vec![filter(Dimension::Link, &["not an id"], true)];
    assert_eq!(filtered(stores, &owner, no_link).await, 5);
}

/// Two filters are both asked for, also on one dimension.
pub async fn all_filters_must_hold(stores: &Stores) {
    let owner = three_countries(stores).await;
    let country = |values: &[&str], is_negated| filter(Dimension::Country, values, is_negated);
    let browser = |values: &[&str], is_negated| filter(Dimension::Browser, values, is_negated);
    for (filters, expected) in [
        (vec![country(&["DE"], false), browser(&["Firefox"], false)], 1),
        (vec![country(&["DE"], true), browser(&["Firefox"], false)], 2),
        (vec![country(&["DE", "US"], false), country(&["US"], true)], 2),
        (vec![country(&["DE"], false), country(&["FR"], false)], 0),
    ] {
        assert_eq!(filtered(stores, &owner, filters.clone()).await, expected, "{filters:?}");
    }
}

/// `firefox` is not `Firefox`, wildcards mean themselves, and a NUL is in no stored text.
pub async fn filters_are_exact_about_case(stores: &Stores) {
    let owner = three_countries(stores).await;
    for value in ["firefox", "Fire%", "Firefo_", " Firefox", "Firefox ", "Firefox\0"] {
        let filters = vec![filter(Dimension::Browser, &[value], false)];
        assert_eq!(filtered(stores, &owner, filters).await, 0, "{value}");
    }
}
