//! Draws what benchmarks wrote as one picture: bars of some columns, and how much of its bound each aim needs.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

/// Benchmark, column and heading of each group of bars; those of benchmarks that were not run are left out.
const GROUPS: [(&str, &str, &str); 7] = [
    ("edge", "cpu us/redirect", "CPU per redirect, microseconds"),
    ("latency", "p99 us", "99th percentile of latency at half load, microseconds"),
    ("scaling", "cpu us, fixed load", "CPU per redirect by threads at a fixed load, microseconds"),
    ("idle", "bytes/conn", "memory of an idle connection, bytes"),
    ("flood", "visits p99 us", "99th percentile of real visits beside a flood, microseconds"),
    ("flood", "transactions", "transactions of the database beside a flood"),
    ("survival", "MiB peak", "most memory of the edge while it is attacked, MiB"),
];
/// Benchmarks whose aims are drawn.
const WITH_AIMS: [&str; 10] = [
    "edge",
    "latency",
    "scaling",
    "idle",
    "links",
    "flood",
    "survival",
    "pipeline",
    "analytics",
    "freshness",
];

/// Width of the picture, of the names and of the longest bar; height of a line and of a bar.
const WIDTH: f64 = 960.0;
const NAMES: f64 = 330.0;
const LONGEST: f64 = 520.0;
const LINE: f64 = 20.0;
const BAR: f64 = 13.0;
/// Longest bar of an aim, as a multiple of the bound.
const OVER_MAX: f64 = 2.0;

const PLAIN: &str = "#4c72b0";
const MET: &str = "#55a868";
const SHORT: &str = "#c44e52";

/// A bar with its name and the text at its end.
struct Bar {
    name: String,
    share: f64,
    text: String,
    color: &'static str,
}

/// Draws the results in `dir` into the file `to`.
///
/// # Errors
///
/// When a file cannot be read or written.
pub fn run(dir: &Path, to: &Path) -> std::io::Result<()> {
    let read = |name: &str| -> std::io::Result<Option<Value>> {
        let file = dir.join(format!("{name}.json"));
        if !file.exists() {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&std::fs::read_to_string(file)?)?))
    };
    let mut groups = Vec::new();
    for (bench, column, heading) in GROUPS {
        if let Some(document) = read(bench)? {
            groups.push((heading, bars(&document, column)));
        }
    }
    let mut aims = Vec::new();
    for bench in WITH_AIMS {
        if let Some(document) = read(bench)? {
            aims.extend(aims_of(&document));
        }
    }
    groups.push(("aims: how much of its bound each needs; shorter is better, the line is the bound", aims));
    groups.retain(|(_, bars)| !bars.is_empty());
    std::fs::write(to, draw(&groups))
}

/// One bar per row, the longest of which is the greatest figure.
fn bars(document: &Value, column: &str) -> Vec<Bar> {
    let rows = document["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    let figures: Vec<(&str, f64)> =
        rows.iter().filter_map(|row| Some((row["name"].as_str()?, row[column].as_f64()?))).collect();
    let most = figures.iter().map(|figure| figure.1).fold(f64::MIN_POSITIVE, f64::max);
    figures
        .into_iter()
        .map(|(name, figure)| Bar {
            name: name.to_owned(),
            share: figure / most,
            text: number(figure),
            color: PLAIN,
        })
        .collect()
}

fn aims_of(document: &Value) -> Vec<Bar> {
    let aims = document["aims"].as_array().map(Vec::as_slice).unwrap_or_default();
    aims.iter().filter_map(aim).collect()
}

fn aim(aim: &Value) -> Option<Bar> {
    let (name, figure, bound) = (aim["name"].as_str()?, aim["figure"].as_f64()?, aim["bound"].as_str()?);
    let (needs, bound_figure) = if let Some(most) = bound.strip_prefix("<=") {
        let most: f64 = most.parse().ok()?;
        (
            if figure <= most { figure / most.max(f64::MIN_POSITIVE) } else { (figure / most).min(OVER_MAX) },
            most,
        )
    } else {
        let least: f64 = bound.strip_prefix(">=")?.parse().ok()?;
        ((least / figure.max(f64::MIN_POSITIVE)).min(OVER_MAX), least)
    };
    let sign = &bound[..2];
    Some(Bar {
        name: name.to_owned(),
        share: needs / OVER_MAX,
        text: format!("{} ({sign} {})", number(figure), number(bound_figure)),
        color: if aim["met"] == true { MET } else { SHORT },
    })
}

/// Three digits that matter, or all before the point.
fn number(figure: f64) -> String {
    if figure >= 100.0 || figure.fract() == 0.0 {
        format!("{figure:.0}")
    } else if figure >= 10.0 {
        format!("{figure:.1}")
    } else {
        format!("{figure:.2}")
    }
}

fn draw(groups: &[(&str, Vec<Bar>)]) -> String {
    let lines: usize = groups.iter().map(|(_, bars)| bars.len() + 2).sum();
    let height = LINE * (lines as f64 + 1.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let mut y = LINE;
    for (index, (heading, bars)) in groups.iter().enumerate() {
        y += LINE;
        text(&mut out, 10.0, y, "start", " font-weight=\"bold\"", heading);
        let top = y + LINE - BAR;
        for bar in bars {
            y += LINE;
            text(&mut out, NAMES - 8.0, y, "end", "", &bar.name);
            let (bar_y, width) = (y - BAR + 2.0, (bar.share * LONGEST).max(1.0));
            write(
                &mut out,
                format_args!(
                    "<rect x=\"{NAMES}\" y=\"{bar_y}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{}\"/>\n",
                    bar.color
                ),
            );
            text(&mut out, NAMES + width + 6.0, y, "start", "", &bar.text);
        }
        if index + 1 == groups.len() {
            let x = NAMES + LONGEST / OVER_MAX;
            write(
                &mut out,
                format_args!(
                    "<line x1=\"{x}\" y1=\"{top}\" x2=\"{x}\" y2=\"{}\" stroke=\"black\"/>\n",
                    y + 4.0
                ),
            );
        }
        y += LINE;
    }
    out.push_str("</svg>\n");
    out
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, more: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    write(out, format_args!("<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\"{more}>{words}</text>\n"));
}

fn write(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bars_are_as_long_as_their_figures() {
        let document = json!({ "rows": [
            { "name": "a", "us": 10.0 }, { "name": "b", "us": 5.0 }, { "name": "c", "us": null },
        ] });
        let bars = bars(&document, "us");
        assert_eq!(bars.iter().map(|bar| bar.share).collect::<Vec<_>>(), [1.0, 0.5]);
        assert_eq!(bars[0].text, "10");
    }

    #[test]
    fn an_aim_that_is_short_passes_the_line() {
        let of = |figure: f64, bound: &str, met: bool| {
            let bar =
                aim(&json!({ "name": "a", "figure": figure, "bound": bound, "met": met })).expect("an aim");
            (bar.share * OVER_MAX, bar.color)
        };
        assert_eq!(of(0.5, "<=1", true), (0.5, MET));
        assert_eq!(of(9.0, "<=1", false), (OVER_MAX, SHORT));
        assert_eq!(of(0.0, "<=0", true), (0.0, MET));
        assert_eq!(of(3.0, "<=0", false), (OVER_MAX, SHORT));
        assert_eq!(of(4.0, ">=2", true), (0.5, MET));
        assert_eq!(of(1.6, ">=2", false), (1.25, SHORT));
    }

    #[test]
    fn names_cannot_break_the_picture() {
        let bar = Bar { name: "<&>".to_owned(), share: 1.0, text: "1".to_owned(), color: PLAIN };
        assert!(draw(&[("all", vec![bar])]).contains("&lt;&amp;&gt;"));
    }
}
