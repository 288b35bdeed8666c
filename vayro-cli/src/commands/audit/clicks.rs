//! `vayro audit clicks`.

use std::time::{Duration, Instant};

use clap::Args;
use vayro_core::day::Day;

use crate::client::audit::{ClickAudit, DayAudit};
use crate::context::Context;
use crate::error::{CommandError, ErrorKind};
use crate::ui::table::{Column, Table, Tone, Value};
use crate::ui::{Ui, text};
use crate::when::parse_span;

/// Time between two measurements while something may still be moving.
const AGAIN_EVERY: Duration = Duration::from_secs(2);

/// Compare the clicks that edges accepted with what became of them
///
/// Edges count what they accept by themselves, on their own disks, before anything else happens to a
/// click. Per UTC day, `accepted` is the sum of these figures, and must equal clicks stored, put aside as
/// dead letters, on their way, dropped at a named limit, and removed on purpose. `unsure` are clicks that
/// an edge held at the moment it was killed. `untold` are clicks stored that are newer than the figures.
///
/// The account is exact when nothing is on the way. It cannot know what an edge accepted that is away and
/// has not told since; such edges are named. Exits with status 5 if a day does not add up.
#[derive(Debug, Args)]
pub struct ClicksArgs {
    /// Only this UTC day, such as `2026-05-01` [default: the last seven]
    #[arg(long, value_name = "DAY")]
    day: Option<Day>,

    /// How long to measure again while the days do not add up: clicks may be moving
    #[arg(long, value_name = "SPAN", default_value = "15s", value_parser = parse_span)]
    wait: Duration,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: ClicksArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let started = Instant::now();
    let audit = loop {
        let audit = api.audit_clicks(args.day).await?;
        if !audit.is_unbalanced() || started.elapsed() >= args.wait {
            break audit;
        }
        tokio::time::sleep(AGAIN_EVERY.min(args.wait)).await;
    };
    ui.set_now(audit.at);
    ui.show(&audit, table)?;
    explain(ui, &audit);
    if audit.is_unbalanced() { Err(unbalanced(&audit)) } else { Ok(()) }
}

fn table(audit: &ClickAudit) -> Table {
    let mut table = Table::new([
        Column::left("DAY"),
        Column::right("ACCEPTED"),
        Column::right("UNTOLD"),
        Column::right("STORED"),
        Column::right("DEAD"),
        Column::right("IN FLIGHT"),
        Column::right("DROPPED"),
        Column::right("REMOVED"),
        Column::right("UNSURE"),
        Column::right("UNACCOUNTED"),
        Column::left("VERDICT"),
    ]);
    for day in &audit.days {
        let dropped = day.dropped.total();
        table.push([
            Value::text(day.day.to_string()),
            Value::count(day.accepted),
            Value::count(day.untold),
            Value::count(day.stored),
            Value::count(day.dead_letters),
            Value::count(day.in_flight),
            if dropped == 0 { Value::count(0) } else { Value::Toned(text::count(dropped), Tone::Warn) },
            Value::count(day.removed),
            Value::count(day.unsure),
            if day.unaccounted == 0 {
                Value::Count(0)
            } else {
                Value::Toned(text::number(day.unaccounted), Tone::Bad)
            },
            Value::Toned(day.verdict.clone(), tone(&day.verdict)),
        ]);
    }
    table
}

fn tone(verdict: &str) -> Tone {
    match verdict {
        "balanced" => Tone::Good,
        "unbalanced" => Tone::Bad,
        _ => Tone::Warn,
    }
}

/// Says what the figures do not.
fn explain(ui: &mut Ui, audit: &ClickAudit) {
    if audit.days.is_empty() {
        ui.note("No clicks on these days.");
    }
    for day in &audit.days {
        for (count, why) in [
            (day.dropped.ring_full, "a ring was full (edge.click_ring_len)"),
            (day.dropped.shutdown, "the edge ended and nothing took its clicks (edge.flush_timeout)"),
            (day.dropped.disk, "the disk of a spool failed"),
        ] {
            if count > 0 {
                ui.note(&format!("{}: {} dropped because {why}.", day.day, clicks(count)));
            }
        }
        if day.verdict == "unknown" {
            ui.note(&format!("{}: no edge counted on that day.", day.day));
        }
        if day.unsure > 0 {
            let held = clicks(day.unsure);
            ui.note(&format!(
                "{}: {held} were in the hands of edges that were killed, and are lost.",
                day.day
            ));
        }
    }
    if audit.undated > 0 {
        ui.note(&format!("{} carry no readable click id and count under no day.", entries(audit.undated)));
    }
    for edge in audit.edges.iter().filter(|edge| edge.is_silent) {
        ui.warn(&format!(
            "edge {} is away since {}: what it accepted after that is not in the figures",
            edge.edge, edge.heard_at
        ));
    }
}

fn unbalanced(audit: &ClickAudit) -> CommandError {
    let mut error = CommandError::new(ErrorKind::Unbalanced, "the clicks do not add up");
    for DayAudit { day, unaccounted, .. } in audit.days.iter().filter(|day| day.unaccounted != 0) {
        let count = clicks(unaccounted.unsigned_abs());
        error = error.detail(if *unaccounted > 0 {
            format!("{day}: {count} were accepted and are nowhere")
        } else {
            format!("{day}: {count} are there that no edge accepted")
        });
    }
    error.hint("docs/operations.md says what may be lost, and when")
}

fn clicks(count: u64) -> String {
    text::plural(usize::try_from(count).unwrap_or(usize::MAX), "click")
}

fn entries(count: u64) -> String {
    format!("{} dead letters or stream entries", text::count(count))
}
