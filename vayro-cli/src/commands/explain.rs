//! `vayro explain`.

use std::net::IpAddr;
use std::str::FromStr;

use clap::Args;

use crate::client::explain::{Explanation, Header, Visit};
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::ui::table::{Column, Table, Tone, Value};
use crate::when::When;

/// Show what a visit to a short address gets, and why
///
/// Goes through what edge and worker would do with the visit: host, code, the caches and the database, the link,
/// the answer with its headers, and what the visit counts as. Nothing is counted. For links of your workspace; for
/// operators, for all links.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The short address, with its query
    #[arg(value_name = "URL")]
    url: String,

    /// Method of the request
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: String,

    /// User agent of the visitor
    #[arg(long, value_name = "TEXT")]
    ua: Option<String>,

    /// Header of the request, such as `Sec-GPC: 1`; can be given several times
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<HeaderLine>,

    /// Address the edge sees, that of the visitor or of a proxy
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,

    /// Country of the visitor, in place of what the GeoIP file says about the address
    #[arg(long, value_name = "CC")]
    country: Option<String>,

    /// When the visit is, such as `2026-05-01T12:00:00Z`, or `12h` from now
    #[arg(long, value_name = "TIME")]
    at: Option<When>,
}

/// A header as it is written in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HeaderLine(Header);

impl FromStr for HeaderLine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((name, value)) if !name.trim().is_empty() => {
                Ok(Self(Header { name: name.trim().to_owned(), value: value.trim().to_owned() }))
            }
            _ => Err("is not a header such as `Sec-GPC: 1`".to_owned()),
        }
    }
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: ExplainArgs) -> Result<(), CommandError> {
    // Nobody writes the scheme of a short link.
    let url = if args.url.contains("://") { args.url } else { format!("https://{}", args.url) };
    let agent = args.ua.map(|value| Header { name: "User-Agent".to_owned(), value });
    let visit = Visit {
        url,
        method: args.method,
        headers: args.headers.into_iter().map(|HeaderLine(header)| header).chain(agent).collect(),
        address: args.address,
        at: args.at.map(|at| at.ahead_of(context.now())),
        country: args.country,
    };
    let explanation = context.api()?.explain(&visit).await?;
    ui.show(&explanation, table)
}

fn table(explanation: &Explanation) -> Table {
    let mut table = Table::new([
        Column::left("STEP").whole(),
        Column::left("RESULT").whole(),
        Column::left("DETAIL"),
        Column::right("µs").whole(),
    ])
    .wrapped();
    for step in &explanation.steps {
        table.push([
            Value::text(&step.step),
            Value::Toned(step.result.clone(), tone(&step.step, &step.result)),
            Value::text(&step.detail),
            Value::count(step.took_us),
        ]);
    }
    for header in explanation.answer.iter().flat_map(|answer| &answer.headers) {
        table.push([
            Value::text("header"),
            Value::text(&header.name),
            Value::text(&header.value),
            Value::None,
        ]);
    }
    table
}

/// Returns the tone that a result deserves.
fn tone(step: &str, result: &str) -> Tone {
    match (step, result) {
        ("link", "active") | ("count", "counted") | (_, "hit" | "fresh" | "valid") => Tone::Good,
        ("answer", status) if status.starts_with('3') => Tone::Good,
        ("link", "disabled" | "expired") | (_, "aging" | "stale" | "newer") => Tone::Warn,
        ("link", "deleted" | "unknown" | "gone") | (_, "unavailable" | "unknown" | "invalid") => Tone::Bad,
        ("answer", status) if status.starts_with(['4', '5']) => Tone::Bad,
        _ => Tone::Dim,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ui::testing::terminal;

    #[test]
    fn a_header_has_a_name() {
        let read =
            |text: &str| text.parse::<HeaderLine>().map(|HeaderLine(header)| (header.name, header.value));
        assert_eq!(read("Sec-GPC: 1"), Ok(("Sec-GPC".to_owned(), "1".to_owned())));
        assert_eq!(read("x:"), Ok(("x".to_owned(), String::new())));
        for bad in ["", "Sec-GPC", ": 1"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_terminal_gets_a_table() {
        let explanation = serde_json::from_value(json!({
            "url": "https://vay.ro/launch", "method": "GET", "at": "2026-05-10T12:00:00Z", "short_code": "launch",
            "steps": [
                { "step": "host", "result": "default", "detail": "`vay.ro` is the default domain", "took_us": 12 },
                { "step": "link", "result": "expired", "detail": "expired at 2026-05-09T12:00:00Z", "took_us": 1234 },
                { "step": "answer", "result": "410", "detail": "a page", "took_us": 0 },
            ],
            "link": null, "count": {}, "took_us": 1246,
            "answer": { "status": 410, "headers": [{ "name": "cache-control", "value": "no-store" }] },
        }))
        .expect("it is the API's form");
        insta::assert_snapshot!("explanation", terminal(70).render(&table(&explanation)));
    }
}
