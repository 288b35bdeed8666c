//! The shards of the click stream as a table.

use vayro_core::stream::{BoundedCount, ShardStats};

use crate::ui::table::{Column, Table, Tone, Value};

/// Returns a row for each shard.
pub(super) fn table(shards: &[ShardStats]) -> Table {
    let mut table = Table::new([
        Column::left("SHARD"),
        Column::left("STATE"),
        Column::left("WORKER"),
        Column::right("UNDELIVERED"),
        Column::right("PENDING"),
        Column::right("LENGTH"),
        Column::right("DEAD LETTERS"),
    ]);
    for shard in shards {
        let BoundedCount { count, is_capped } = shard.undelivered;
        table.push([
            Value::text(&shard.name),
            if shard.is_retiring {
                Value::Toned("retiring".to_owned(), Tone::Warn)
            } else {
                Value::text("active")
            },
            shard.worker.as_ref().map_or(Value::None, Value::text),
            if is_capped { Value::text(format!("{count}+")) } else { Value::count(count) },
            Value::count(shard.pending),
            Value::count(shard.length),
            Value::count(shard.dead_letters),
        ]);
    }
    table
}
