//! The formats of an export.

use super::csv::CsvEncoder;
use super::parquet::ParquetEncoder;
use crate::events::EventView;

/// A click could not be written.
pub(super) type EncodeError = Box<dyn std::error::Error + Send + Sync>;

/// What an export is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Jsonl,
    Parquet,
}

impl Format {
    pub(super) const ALL: [Self; 3] = [Self::Csv, Self::Jsonl, Self::Parquet];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Parquet => "parquet",
        }
    }

    /// Reads a format's name.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::as_str).join(", ");
        let found = Self::ALL.into_iter().find(|format| format.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is none of {}", names()))
    }

    pub(super) const fn extension(self) -> &'static str {
        self.as_str()
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Jsonl => "application/x-ndjson",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// Begins a file.
    pub(super) fn encoder(self) -> Result<Encoder, parquet::errors::ParquetError> {
        Ok(match self {
            Self::Csv => Encoder::Csv(CsvEncoder::default()),
            Self::Jsonl => Encoder::Jsonl,
            Self::Parquet => Encoder::Parquet(Box::new(ParquetEncoder::new()?)),
        })
    }
}

/// Writes clicks, page by page; what a call returns is the next piece of the file and may be empty.
pub(super) enum Encoder {
    Csv(CsvEncoder),
    Jsonl,
    Parquet(Box<ParquetEncoder>),
}

impl Encoder {
    /// Adds a page.
    pub(super) fn push(&mut self, events: Vec<EventView>) -> Result<Vec<u8>, EncodeError> {
        match self {
            Self::Csv(encoder) => encoder.push(&events),
            Self::Jsonl => {
                let mut lines = Vec::new();
                for event in &events {
                    serde_json::to_writer(&mut lines, event)?;
                    lines.push(b'\n');
                }
                Ok(lines)
            }
            Self::Parquet(encoder) => Ok(encoder.push(events)?),
        }
    }

    /// Ends the file.
    pub(super) fn finish(self) -> Result<Vec<u8>, EncodeError> {
        match self {
            // A file without clicks still has its head.
            Self::Csv(mut encoder) => encoder.push(&[]),
            Self::Jsonl => Ok(Vec::new()),
            Self::Parquet(encoder) => Ok(encoder.finish()?),
        }
    }
}
