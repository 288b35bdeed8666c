//! Clicks as Parquet.
//!
//! Texts are strings, null where nothing is known; `timestamp` counts microseconds in UTC.

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use crate::events::EventView;

/// Clicks of one row group, which is what is held in memory; some 20 MB at most.
pub(super) const ROW_GROUP_LEN: usize = 20_000;

/// Writes clicks as Parquet.
pub(super) struct ParquetEncoder {
    writer: SerializedFileWriter<Vec<u8>>,
    /// Clicks of the row group that is not full yet.
    waiting: Vec<EventView>,
}

impl ParquetEncoder {
    /// Begins a file.
    pub(super) fn new() -> Result<Self> {
        let known = EventView::KNOWN.map(|name| match name {
            "timestamp" => format!("REQUIRED INT64 {name} (TIMESTAMP(MICROS,true));"),
            _ => format!("REQUIRED BINARY {name} (STRING);"),
        });
        let texts = EventView::TEXTS.map(|(name, _)| format!("OPTIONAL BINARY {name} (STRING);"));
        let schema =
            parse_message_type(&format!("message click {{ {} {} }}", known.concat(), texts.concat()))?;
        // What is kept about each row group stays in memory to the end of the file, so it is little.
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_column_statistics_enabled(ColumnPath::from("timestamp"), EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_created_by(concat!("vayro ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
        Ok(Self { writer, waiting: Vec::new() })
    }

    /// Adds clicks and returns what is ready of the file.
    pub(super) fn push(&mut self, events: Vec<EventView>) -> Result<Vec<u8>> {
        self.waiting.extend(events);
        while self.waiting.len() >= ROW_GROUP_LEN {
            let rest = self.waiting.split_off(ROW_GROUP_LEN);
            let group = std::mem::replace(&mut self.waiting, rest);
            self.write_group(&group)?;
        }
        Ok(std::mem::take(self.writer.inner_mut()))
    }

    /// Writes the last clicks and the file's end.
    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        if !self.waiting.is_empty() {
            let group = std::mem::take(&mut self.waiting);
            self.write_group(&group)?;
        }
        self.writer.finish()?;
        Ok(std::mem::take(self.writer.inner_mut()))
    }

    fn write_group(&mut self, events: &[EventView]) -> Result<()> {
        let mut group = self.writer.next_row_group()?;
        let bytes = |text: &str| ByteArray::from(text.as_bytes().to_vec());
        for name in EventView::KNOWN {
            if name == "timestamp" {
                let values: Vec<i64> = events.iter().map(|event| event.timestamp.as_micros()).collect();
                let mut column = group.next_column()?.ok_or_else(missing)?;
                column.typed::<Int64Type>().write_batch(&values, None, None)?;
                column.close()?;
                continue;
            }
            let values: Vec<ByteArray> = events
                .iter()
                .map(|event| match name {
                    "id" => bytes(&event.id.to_string()),
                    "link_id" => bytes(&event.link_id.to_string()),
                    "short_url" => bytes(&event.short_url),
                    _ => bytes(event.class.as_str()),
                })
                .collect();
            write_texts(&mut group, &values, None)?;
        }
        for (_, read) in EventView::TEXTS {
            let texts = events.iter().map(read);
            let levels: Vec<i16> = texts.clone().map(|text| i16::from(!text.is_empty())).collect();
            let values: Vec<ByteArray> = texts.filter(|text| !text.is_empty()).map(bytes).collect();
            write_texts(&mut group, &values, Some(&levels))?;
        }
        group.close()?;
        Ok(())
    }
}

fn write_texts(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[ByteArray],
    levels: Option<&[i16]>,
) -> Result<()> {
    let mut column = group.next_column()?.ok_or_else(missing)?;
    column.typed::<ByteArrayType>().write_batch(values, levels, None)?;
    column.close()
}

fn missing() -> ParquetError {
    ParquetError::General("the schema has fewer columns than a click".to_owned())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::{Field, RowAccessor as _};

    use super::*;
    use crate::events::sample;

    fn write(count: usize, page: usize) -> Vec<u8> {
        let mut encoder = ParquetEncoder::new().expect("begins");
        let mut file = Vec::new();
        let numbers: Vec<usize> = (0..count).collect();
        for numbers in numbers.chunks(page) {
            let events = numbers.iter().map(|number| sample(*number as u128)).collect();
            file.extend(encoder.push(events).expect("writes"));
            assert!(encoder.waiting.len() < ROW_GROUP_LEN, "no more than a row group waits");
            assert!(encoder.writer.inner().is_empty(), "what is written is handed on");
        }
        file.extend(encoder.finish().expect("ends"));
        file
    }

    #[test]
    fn what_is_written_is_read() {
        let file = write(3, 2);
        let reader = SerializedFileReader::new(Bytes::from(file)).expect("it is a Parquet file");
        let rows: Vec<_> = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect();
        assert_eq!(rows.len(), 3);
        let event = sample(2);
        let row = &rows[2];
        let names: Vec<&String> = row.get_column_iter().map(|(name, _)| name).collect();
        let expected = EventView::KNOWN.into_iter().chain(EventView::TEXTS.map(|(name, _)| name));
        assert!(names.into_iter().eq(expected), "{row}");
        assert_eq!(row.get_string(0).ok(), Some(&event.id.to_string()));
        assert_eq!(row.get_timestamp_micros(1).ok(), Some(event.timestamp.as_micros()));
        assert_eq!(row.get_string(3).ok(), Some(&event.short_url));
        assert_eq!(row.get_string(15).ok(), Some(&event.referrer_url));
        let field = |index: usize| row.get_column_iter().nth(index).map(|(_, field)| field.clone());
        assert_eq!(field(7), Some(Field::Str("DE".to_owned())));
        assert_eq!(field(9), Some(Field::Null), "unknown is null");
    }

    #[test]
    fn a_file_without_clicks_is_a_file() {
        let reader = SerializedFileReader::new(Bytes::from(write(0, 1))).expect("it is a Parquet file");
        assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
    }

    #[test]
    fn row_groups_are_bounded() {
        let count = 2 * ROW_GROUP_LEN + 7;
        let reader = SerializedFileReader::new(Bytes::from(write(count, 999))).expect("it is a Parquet file");
        let groups = reader.metadata().row_groups();
        let lens: Vec<i64> = groups.iter().map(parquet::file::metadata::RowGroupMetaData::num_rows).collect();
        assert_eq!(lens, [20_000, 20_000, 7]);
    }
}
