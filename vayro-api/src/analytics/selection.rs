//! Which clicks a request is about: link, span of time, classes and filters, the same on every route.

use jiff::ToSpan as _;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Required, Type};
use vayro_core::analytics::{
    BucketSize, ClickScope, Dimension, DimensionFilter, FILTER_VALUES_MAX, Interval, bucket_edges, time_zone,
};
use vayro_core::click::ClickClass;
use vayro_core::ids::{LinkId, WorkspaceId};
use vayro_core::timestamp::Timestamp;

use crate::extract::Query;
use crate::problem::Problem;
use crate::state::ApiState;

/// Longest value of a filter, in bytes; no column keeps more.
const FILTER_VALUE_LEN_MAX: usize = 253;
/// What filters call the value that could not be found out.
const UNKNOWN: &str = "unknown";
/// No instance has older clicks, not even imported ones.
const EARLIEST: Date = date(2010, 1, 1);

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) workspace_id: WorkspaceId,
    pub(crate) link_id: Option<LinkId>,
    /// When it was made.
    pub(crate) since: Timestamp,
}

impl Subject {
    /// Finds the link of a workspace, or takes all of it.
    pub(crate) async fn find(
        workspace_id: WorkspaceId,
        link_id: Option<LinkId>,
        state: &ApiState,
    ) -> Result<Self, Problem> {
        let since = if let Some(id) = link_id {
            let link = state.ports.links.find(workspace_id, id).await?;
            link.ok_or_else(|| Problem::not_found("link"))?.created_at
        } else {
            let workspace = state.ports.workspaces.find(workspace_id).await?;
            workspace.ok_or_else(|| Problem::not_found("workspace"))?.created_at
        };
        Ok(Self { workspace_id, link_id, since })
    }
}

/// The parameters that choose clicks, read and not yet set in time.
pub(crate) struct Selection {
    pub(crate) zone: TimeZone,
    pub(crate) zone_name: String,
    span: Span,
    classes: Vec<ClickClass>,
    filters: Vec<DimensionFilter>,
}

enum Span {
    Interval(Interval),
    Between(Timestamp, Option<Timestamp>),
}

impl Selection {
    /// Takes the parameters; `classes` are those of a request that names none.
    pub(crate) fn take(query: &mut Query, classes: &[ClickClass]) -> Self {
        let zone_name = query.take("timezone").unwrap_or_else(|| "UTC".to_owned());
        let zone = time_zone(&zone_name).unwrap_or_else(|| {
            query.reject(
                "timezone",
                format!("`{zone_name}` is not an IANA time zone such as `Europe/Berlin`"),
            );
            TimeZone::UTC
        });
        let span = read_span(query, &zone);
        let classes = take_classes(query, classes);
        Self { zone, zone_name, span, classes, filters: read_filters(query) }
    }

    /// Returns the period's name if it has one.
    pub(crate) const fn interval(&self) -> Option<Interval> {
        match self.span {
            Span::Interval(interval) => Some(interval),
            Span::Between(..) => None,
        }
    }

    /// Returns the clicks of `subject` that are meant now. The end may lie before the start.
    pub(crate) async fn scope(self, subject: &Subject, state: &ApiState) -> Result<ClickScope, Problem> {
        let now = state.clock.now();
        let mut scope = ClickScope {
            workspace_id: subject.workspace_id,
            link_id: subject.link_id,
            start: Timestamp::EPOCH,
            end: now,
            classes: self.classes,
            filters: self.filters,
        };
        (scope.start, scope.end) = match self.span {
            Span::Between(start, end) => (start, end.unwrap_or(now)),
            Span::Interval(Interval::All) => {
                let first = first_click(&scope, subject.since, now, &self.zone, state).await?;
                Interval::All.bounds(now, &self.zone, first)
            }
            Span::Interval(interval) => interval.bounds(now, &self.zone, subject.since),
        };
        Ok(scope)
    }
}

/// Returns from when on there are clicks. Imported ones may be older than their link.
async fn first_click(
    scope: &ClickScope,
    since: Timestamp,
    now: Timestamp,
    zone: &TimeZone,
    state: &ApiState,
) -> Result<Timestamp, Problem> {
    let earliest = EARLIEST.to_zoned(zone.clone()).map_or(since, |at| Timestamp::from(at.timestamp()));
    let Ok(edges) = bucket_edges(earliest, now, BucketSize::Month, zone) else { return Ok(since) };
    let whole = ClickScope { start: earliest, end: now, ..scope.clone() };
    let months = state.ports.analytics.series(&whole, &edges).await?;
    let first = months.iter().zip(&edges).find(|(count, _)| count.clicks > 0).map(|(_, edge)| *edge);
    Ok(first.map_or(since, |first| first.min(since)))
}

fn read_span(query: &mut Query, zone: &TimeZone) -> Span {
    let interval = query.take_with("interval", |text| {
        Interval::from_name(text).ok_or_else(|| {
            let names = Interval::ALL.map(|(name, _)| name).join(", ");
            format!("`{text}` is none of {names}")
        })
    });
    let start = query.take_with("start", |text| read_instant(text, zone, 0));
    // A day named as the end is meant to be in the answer.
    let end = query.take_with("end", |text| read_instant(text, zone, 1));
    if interval.is_some() && (start.is_some() || end.is_some()) {
        query.reject("interval", "give either `interval` or `start` and `end`");
    }
    if start.is_none() && end.is_some() {
        query.reject("start", "is missing beside `end`");
    }
    match start {
        Some(start) => Span::Between(start, end),
        None => Span::Interval(interval.unwrap_or(Interval::Last30Days)),
    }
}

fn read_instant(text: &str, zone: &TimeZone, days_later: i32) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let error = || format!("`{text}` is neither an RFC 3339 timestamp nor a date such as `2026-05-01`");
    // jiff reads the date of a longer text too, which would hide a malformed time.
    let day: Date = if text.len() == 10 { text.parse().map_err(|_| error())? } else { return Err(error()) };
    let day = day.checked_add(days_later.days()).map_err(|_| error())?;
    let at = day.to_zoned(zone.clone()).map_err(|_| error())?;
    Ok(Timestamp::from(at.timestamp()))
}

/// Takes the classes of clicks that are meant; `default` if none is named.
pub(crate) fn take_classes(query: &mut Query, default: &[ClickClass]) -> Vec<ClickClass> {
    let named = query.take_list("classes", |part| {
        let class = ClickClass::ALL.into_iter().find(|class| class.as_str() == part);
        class.ok_or_else(|| {
            format!("`{part}` is none of {}", ClickClass::ALL.map(ClickClass::as_str).join(", "))
        })
    });
    let included = query.take_list("include", |part| match part {
        "bots" => Ok(ClickClass::Bot),
        other => Err(format!("`{other}` is not `bots`")),
    });
    if named.is_some() && included.is_some() {
        query.reject("include", "give either `include` or `classes`");
    }
    let mut classes = named.unwrap_or_else(|| default.to_vec());
    classes.extend(included.unwrap_or_default());
    // Same order and once each, whatever the client wrote.
    ClickClass::ALL.into_iter().filter(|class| classes.contains(class)).collect()
}

fn read_filters(query: &mut Query) -> Vec<DimensionFilter> {
    let mut filters = Vec::new();
    for dimension in Dimension::ALL {
        filters.extend(query.take_with(dimension.as_str(), |text| read_filter(dimension, text)));
    }
    filters
}

fn read_filter(dimension: Dimension, text: &str) -> Result<DimensionFilter, String> {
    let (is_negated, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut values = Vec::new();
    for value in split(text) {
        if values.len() == FILTER_VALUES_MAX {
            return Err(format!("names more than {FILTER_VALUES_MAX} values"));
        }
        if value.is_empty() || value.len() > FILTER_VALUE_LEN_MAX {
            return Err(format!(
                "a value has 1 to {FILTER_VALUE_LEN_MAX} bytes; `{UNKNOWN}` stands for the empty one"
            ));
        }
        let value = match (dimension, value.as_str()) {
            (Dimension::Link, id) => {
                id.parse::<LinkId>().map_err(|_| format!("`{id}` is not the id of a link"))?.to_string()
            }
            (_, UNKNOWN) => String::new(),
            (Dimension::Country, code) => code.to_ascii_uppercase(),
            _ => value,
        };
        if !values.contains(&value) {
            values.push(value);
        }
    }
    Ok(DimensionFilter { dimension, values, is_negated })
}

/// Splits at commas; a backslash takes the next character as it stands.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let last = parts.len() - 1;
        match c {
            ',' => parts.push(String::new()),
            '\\' => parts[last].extend(chars.next()),
            other => parts[last].push(other),
        }
    }
    parts
}

/// Describes a parameter of the query that is a text.
pub(crate) fn parameter(name: &str, description: String) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

/// Describes the parameters of [`Selection::take`]; `classes` says what is left in when nobody says.
pub(crate) fn parameters(classes: &str) -> impl Iterator<Item = Parameter> {
    let intervals = Interval::ALL.map(|(name, _)| format!("`{name}`")).join(", ");
    let own = [
        ("interval", format!("{intervals}; `30d` if nothing is said")),
        ("start", "From this instant, or this day, on; instead of `interval`".to_owned()),
        ("end", "Up to this instant, or the end of this day; now if left out".to_owned()),
        ("timezone", "IANA name of the zone that days and hours follow, `UTC` if left out".to_owned()),
        ("include", "`bots` adds the clicks of robots".to_owned()),
    ];
    let filters = Dimension::ALL.map(|dimension| {
        let name = dimension.as_str();
        parameter(name, format!("Only clicks with one of these values of `{name}`; `-` in front: without"))
    });
    let own = own.into_iter().map(|(name, text)| parameter(name, text));
    own.chain([classes_parameter(classes)]).chain(filters)
}

/// Describes `classes`; `default` says what is left in when nobody says.
pub(crate) fn classes_parameter(default: &str) -> Parameter {
    let names = ClickClass::ALL.map(|class| format!("`{}`", class.as_str())).join(", ");
    parameter("classes", format!("Classes of clicks: {names}; {default} if left out"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(text: &str) -> (Vec<String>, bool) {
        let filter = read_filter(Dimension::City, text).expect(text);
        (filter.values, filter.is_negated)
    }

    #[test]
    fn filters_have_lists_negation_unknown_and_escapes() {
        assert_eq!(filter("Berlin,Paris"), (vec!["Berlin".to_owned(), "Paris".to_owned()], false));
        assert_eq!(filter("-Berlin,unknown"), (vec!["Berlin".to_owned(), String::new()], true));
        assert_eq!(filter(r"Washington\, D.C."), (vec!["Washington, D.C.".to_owned()], false));
        assert_eq!(filter(r"\-dash"), (vec!["-dash".to_owned()], false));
        assert_eq!(read_filter(Dimension::Country, "de").expect("valid").values, ["DE"]);
        assert!(read_filter(Dimension::Link, "nope").is_err());
        assert!(read_filter(Dimension::City, "a,,b").is_err());
        assert!(
            read_filter(
                Dimension::City,
                &["x"; 51].iter().enumerate().map(|(i, x)| format!("{x}{i}")).collect::<Vec<_>>().join(",")
            )
            .is_err()
        );
    }

    #[test]
    fn days_are_local_and_the_last_one_counts() {
        let berlin = time_zone("Europe/Berlin").expect("known");
        let start = read_instant("2026-03-29", &berlin, 0).expect("valid");
        let end = read_instant("2026-03-29", &berlin, 1).expect("valid");
        assert_eq!(start.to_string(), "2026-03-28T23:00:00Z");
        assert_eq!(end.since(start).as_secs(), 23 * 3600);
        for bad in ["yesterday", "2026-13-01", "2026-03-29T", "2026-03-29 nonsense"] {
            assert!(read_instant(bad, &berlin, 0).is_err(), "{bad}");
        }
    }

    #[test]
    fn classes_are_the_headline_unless_asked() {
        let classes = |text: &str| {
            let mut query = Query::parse(text).expect("fits");
            let classes = take_classes(&mut query, &[ClickClass::Counted]);
            query.finish().map(|()| classes)
        };
        assert_eq!(classes(""), Ok(vec![ClickClass::Counted]));
        assert_eq!(classes("include=bots"), Ok(vec![ClickClass::Counted, ClickClass::Bot]));
        assert_eq!(classes("classes=bot,bot"), Ok(vec![ClickClass::Bot]));
        assert!(classes("classes=bot&include=bots").is_err());
        assert!(classes("classes=human").is_err());
    }

    proptest! {
        #[test]
        fn rubbish_never_panics(text in ".{0,60}") {
            drop(read_filter(Dimension::City, &text));
            drop(read_filter(Dimension::Link, &text));
            drop(read_instant(&text, &TimeZone::UTC, 1));
            if let Ok(mut query) = Query::parse(&text) {
                drop(Selection::take(&mut query, &ClickClass::ALL));
            }
        }

        #[test]
        fn splitting_undoes_escaping(values in prop::collection::vec("[a-z,\\\\-]{1,8}", 1..6)) {
            let escaped: Vec<String> =
                values.iter().map(|v| v.replace('\\', r"\\").replace(',', r"\,")).collect();
            prop_assert_eq!(split(&escaped.join(",")), values);
        }
    }
}
