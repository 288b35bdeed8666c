//! How a reading looks.

use std::time::Duration;

use vayro_core::stream::BoundedCount;

use super::super::shard_table::table;
use super::reading::{Reading, Trend};
use crate::error::CommandError;
use crate::ui::table::{Column, Table, Tone, Value};
use crate::ui::{Ui, text};

/// A consumer that has not asked for work for this long is worth a look.
const IDLE_LONG: Duration = Duration::from_mins(1);
/// A click that waits this long is worth a look.
const OLD: Duration = Duration::from_mins(1);
const UNKNOWN: &str = "unknown";

/// Prints one reading.
pub(super) fn once(ui: &mut Ui, reading: &Reading) -> Result<(), CommandError> {
    if ui.is_json() {
        return ui.json(reading);
    }
    let text = if ui.is_human() { screen(ui, reading) } else { plain(ui, reading) };
    ui.write(&text)
}

/// Prints one reading of many: over the last one, or as one line.
pub(super) fn again(ui: &mut Ui, reading: &Reading) -> Result<(), CommandError> {
    if ui.is_json() {
        return ui.json_line(reading);
    }
    if ui.is_human() {
        let text = screen(ui, reading);
        return ui.redraw(&text);
    }
    let mut table = Table::new([Column::left(""); 9]);
    let rate = |rate: Option<f64>| Value::text(rate.map_or(UNKNOWN.to_owned(), |rate| rate.to_string()));
    table.push([
        Value::Time(reading.at),
        Value::text(bounded_plain(reading.undelivered)),
        age(reading.undelivered_oldest_ms, reading.undelivered.count),
        Value::count(reading.pending),
        rate(reading.in_per_second),
        rate(reading.out_per_second),
        Value::text(known(reading.drain_seconds)),
        Value::count(reading.dead_letters),
        Value::count(reading.spool_bytes),
    ]);
    ui.write(&table.to_plain())
}

/// Draws a reading for a person.
fn screen(ui: &Ui, reading: &Reading) -> String {
    let mut parts = vec![ui.render(&summary(reading))];
    if reading.shards.len() > 1 {
        parts.push(ui.render(&table(&reading.shards)));
    }
    if reading.consumers.is_empty() {
        parts.push("No workers: clicks wait until one starts.\n".to_owned());
    } else {
        parts.push(ui.render(&consumers(reading)));
    }
    if !reading.edges.is_empty() {
        parts.push(ui.render(&edges(reading)));
    }
    parts.join("\n")
}

/// Writes a reading as lines of name and value.
fn plain(ui: &Ui, reading: &Reading) -> String {
    let rate = |rate: Option<f64>| rate.map_or(UNKNOWN.to_owned(), |rate| rate.to_string());
    let mut table = Table::properties([
        ("at", Value::Time(reading.at)),
        ("undelivered", Value::text(bounded_plain(reading.undelivered))),
        ("undelivered_oldest_ms", age(reading.undelivered_oldest_ms, reading.undelivered.count)),
        ("pending", Value::count(reading.pending)),
        ("pending_oldest_ms", age(reading.pending_oldest_ms, reading.pending)),
        ("in_per_second", Value::text(rate(reading.in_per_second))),
        ("out_per_second", Value::text(rate(reading.out_per_second))),
        ("drain_seconds", Value::text(known(reading.drain_seconds))),
        ("dead_letters", Value::count(reading.dead_letters)),
        ("length", Value::count(reading.length)),
        ("server_lag", Value::text(known(reading.server_lag))),
        ("spool_bytes", Value::count(reading.spool_bytes)),
    ]);
    for consumer in &reading.consumers {
        let said = format!("{} pending={} idle_ms={}", consumer.name, consumer.pending, consumer.idle_ms);
        table.push([Value::text("consumer"), Value::text(said)]);
    }
    if reading.shards.len() > 1 {
        for shard in &reading.shards {
            let said = format!(
                "{} undelivered={} pending={} length={} dead_letters={}",
                shard.name,
                bounded_plain(shard.undelivered),
                shard.pending,
                shard.length,
                shard.dead_letters
            );
            table.push([Value::text("shard"), Value::text(said)]);
        }
    }
    for edge in &reading.edges {
        let said = format!(
            "{} spool_bytes={} accepted={} shipped={} dropped={}",
            edge.edge, edge.spool_bytes, edge.clicks_accepted, edge.clicks_shipped, edge.clicks_dropped
        );
        table.push([Value::text("edge"), Value::text(said)]);
    }
    ui.render(&table)
}

fn summary(reading: &Reading) -> Table {
    let rate = |rate: Option<f64>| match rate {
        Some(rate) => Value::text(format!("{rate:.1}/s")),
        None => Value::Toned(UNKNOWN.to_owned(), Tone::Dim),
    };
    let dead = reading.dead_letters;
    let dead_tone = if dead == 0 { Tone::Good } else { Tone::Bad };
    Table::properties([
        ("Undelivered", waiting(&bounded_human(reading.undelivered), reading.undelivered_oldest_ms)),
        ("Pending", waiting(&text::count(reading.pending), reading.pending_oldest_ms)),
        ("Rate in", rate(reading.in_per_second)),
        ("Rate out", rate(reading.out_per_second)),
        ("Time to drain", time_to_drain(reading)),
        ("Dead letters", Value::Toned(text::count(dead), dead_tone)),
        ("Stream length", Value::count(reading.length)),
        (
            "Server's own estimate",
            match reading.server_lag {
                Some(lag) => Value::count(lag),
                None => Value::Toned(UNKNOWN.to_owned(), Tone::Dim),
            },
        ),
    ])
}

fn waiting(count: &str, oldest_ms: Option<u64>) -> Value {
    let Some(age) = oldest_ms.map(Duration::from_millis) else { return Value::text(count) };
    let text = format!("{count}, oldest {}", text::duration(age));
    if age >= OLD { Value::Toned(text, Tone::Warn) } else { Value::text(text) }
}

fn time_to_drain(reading: &Reading) -> Value {
    match (reading.trend, reading.drain_seconds) {
        (Trend::Idle, _) => Value::Toned("nothing to drain".to_owned(), Tone::Good),
        (Trend::Draining, Some(seconds)) => {
            let span = text::duration(Duration::from_secs(seconds));
            let bound = if reading.undelivered.is_capped { "at least " } else { "" };
            Value::text(format!("{bound}{span}"))
        }
        (Trend::Growing, _) => Value::Toned("never at this rate".to_owned(), Tone::Bad),
        (Trend::Draining | Trend::Unknown, _) => Value::Toned(UNKNOWN.to_owned(), Tone::Dim),
    }
}

fn consumers(reading: &Reading) -> Table {
    let mut table = Table::new([Column::left("WORKER"), Column::right("PENDING"), Column::left("IDLE")]);
    for consumer in &reading.consumers {
        let idle = Duration::from_millis(consumer.idle_ms);
        let said = text::duration(idle);
        table.push([
            Value::text(&consumer.name),
            Value::count(consumer.pending),
            if idle >= IDLE_LONG { Value::Toned(said, Tone::Warn) } else { Value::text(said) },
        ]);
    }
    table
}

fn edges(reading: &Reading) -> Table {
    let mut table = Table::new([
        Column::left("EDGE"),
        Column::right("SPOOL"),
        Column::left("OLDEST"),
        Column::right("ACCEPTED"),
        Column::right("SHIPPED"),
        Column::right("DROPPED"),
        Column::left("REPORTED"),
    ]);
    for edge in &reading.edges {
        let dropped = text::count(edge.clicks_dropped);
        table.push([
            Value::text(&edge.edge),
            Value::text(text::bytes(edge.spool_bytes)),
            edge.spool_oldest_ms
                .map_or(Value::None, |ms| Value::text(text::duration(Duration::from_millis(ms)))),
            Value::count(edge.clicks_accepted),
            Value::count(edge.clicks_shipped),
            if edge.clicks_dropped == 0 { Value::text(dropped) } else { Value::Toned(dropped, Tone::Bad) },
            Value::Time(edge.at),
        ]);
    }
    table
}

fn bounded_human(count: BoundedCount) -> String {
    let plus = if count.is_capped { "+" } else { "" };
    format!("{}{plus}", text::count(count.count))
}

fn bounded_plain(count: BoundedCount) -> String {
    let plus = if count.is_capped { "+" } else { "" };
    format!("{}{plus}", count.count)
}

/// Writes the age of the oldest of `count` clicks; there is none if there are no clicks.
fn age(oldest_ms: Option<u64>, count: u64) -> Value {
    if count == 0 { Value::None } else { Value::text(known(oldest_ms)) }
}

fn known(value: Option<u64>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vayro_core::stream::ShardStats;
    use vayro_core::timestamp::Timestamp;

    use super::*;
    use crate::client::operations::StreamState;
    use crate::ui::Manner;
    use crate::ui::testing::{PIPE, terminal, ui};

    /// A stream with a backlog; `acked` is what the workers have stored so far, if that is known.
    fn state(at: &str, added: u64, acked: Option<u64>) -> StreamState {
        serde_json::from_value(json!({
            "at": at,
            "undelivered": { "count": 10_000, "is_capped": true },
            "undelivered_oldest_ms": 125_000,
            "pending": 2000,
            "pending_oldest_ms": 800,
            "length": 40_000,
            "added_total": added,
            "acked_total": acked,
            "dead_letters": 3,
            "server_lag": null,
            "consumers": [{ "name": "host:one", "pending": 2000, "idle_ms": 40 },
                          { "name": "host:two", "pending": 0, "idle_ms": 300_000 }],
            "edges": [{ "edge": "edge:one", "clicks_accepted": 9, "clicks_shipped": 7, "clicks_dropped": 1,
                        "spool_bytes": 2_097_152, "spool_oldest_ms": 65_000, "at": "2026-05-10T11:59:58Z" }],
        }))
        .expect("it is the API's form")
    }

    fn reading(acked: [Option<u64>; 2]) -> Reading {
        let before = state("2026-05-10T12:00:00Z", 1000, acked[0]);
        Reading::between(&before, &state("2026-05-10T12:00:02Z", 1200, acked[1]))
    }

    #[test]
    fn a_backlog_is_told_with_its_bounds() {
        let ui = terminal(100);
        insta::assert_snapshot!("lag_draining", screen(&ui, &reading([Some(0), Some(1000)])));
        insta::assert_snapshot!("lag_growing", ui.render(&summary(&reading([Some(0), Some(100)]))));
    }

    #[test]
    fn what_the_stream_cannot_tell_is_unknown() {
        let unknown = reading([None, None]);
        insta::assert_snapshot!("lag_unknown", terminal(100).render(&summary(&unknown)));
        let (mut ui, out, _) = ui(PIPE, Manner::default(), "");
        again(&mut ui, &unknown).expect("it is written");
        assert_eq!(
            out.text(),
            "2026-05-10T12:00:02Z\t10000+\t125000\t2000\t100\tunknown\tunknown\t3\t2097152\n"
        );
    }

    #[test]
    fn several_shards_are_told_one_by_one_below_their_sum() {
        let mut reading = reading([Some(0), Some(1000)]);
        let shard = |name: &str, is_retiring, worker: Option<&str>, count| ShardStats {
            name: name.to_owned(),
            is_retiring,
            worker: worker.map(str::to_owned),
            undelivered: BoundedCount { count, is_capped: count == 10_000 },
            undelivered_oldest_ms: Some(1000),
            pending: 10,
            length: 20_000,
            dead_letters: 1,
        };
        reading.shards = vec![
            shard("stream:clicks:{0}", false, Some("host:one"), 10_000),
            shard("stream:clicks:{1}", false, Some("host:two"), 0),
            shard("stream:clicks", true, None, 7),
        ];
        insta::assert_snapshot!("lag_shards", screen(&terminal(100), &reading));
    }

    #[test]
    fn nothing_waiting_has_no_age() {
        assert_eq!(age(None, 0), Value::None);
        assert_eq!(age(None, 1), Value::text(UNKNOWN));
        assert!(waiting("0", None) == Value::text("0"));
        let at = Timestamp::EPOCH;
        assert!(waiting("5", Some(1500)).to_human(at).contains("oldest 1 s"));
    }
}
