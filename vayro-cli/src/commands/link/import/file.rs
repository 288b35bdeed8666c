//! Files of links, read into rows of named fields.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::{Map, Value};

use super::Format;
use super::row::{self, Row};
use crate::error::CommandError;

/// Largest file read, in bytes.
pub(super) const FILE_LEN_MAX: u64 = 256 * 1024 * 1024;
/// Most rows of one import.
pub(super) const ROWS_MAX: usize = 1_000_000;

/// What a file holds.
pub(super) struct Input {
    /// Its rows, numbered from 1.
    pub(super) rows: Vec<Row>,
    /// Names of columns that mean nothing to us.
    pub(super) ignored: Vec<String>,
}

/// Reads a file, `-` being stdin.
pub(super) fn read(path: &Path, format: Option<Format>) -> Result<Input, CommandError> {
    let name = path.display().to_string();
    let is_stdin = path == Path::new("-");
    let format = match (format, path.extension().and_then(|extension| extension.to_str())) {
        (Some(format), _) => format,
        (None, Some("csv")) => Format::Csv,
        (None, Some("json")) => Format::Json,
        (None, Some("jsonl" | "ndjson")) => Format::Jsonl,
        (None, _) => {
            return Err(CommandError::usage(format!("the format of `{name}` cannot be told from its name"))
                .hint("add `--format csv`, `--format json` or `--format jsonl`"));
        }
    };
    let unreadable =
        |error: io::Error| CommandError::failed(format!("cannot read `{name}`")).caused_by(error);
    let source: Box<dyn Read> =
        if is_stdin { Box::new(io::stdin()) } else { Box::new(File::open(path).map_err(unreadable)?) };
    let mut bytes = Vec::new();
    source.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        return Err(CommandError::failed(format!("`{name}` is larger than {} MiB", FILE_LEN_MAX >> 20))
            .hint("split it into several files"));
    }
    // Spreadsheets put a byte order mark in front.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    let parsed = match format {
        Format::Csv => parse_csv(bytes),
        Format::Json => parse_json(bytes),
        Format::Jsonl => parse_lines(bytes),
    };
    parsed.map_err(|reason| CommandError::failed(format!("`{name}` cannot be read: {reason}")))
}

pub(super) fn parse_csv(bytes: &[u8]) -> Result<Input, String> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let header = reader.headers().map_err(|error| error.to_string())?.clone();
    let names: Vec<Option<&'static str>> = header.iter().map(row::field_name).collect();
    if !names.contains(&Some(row::TARGET_URL)) {
        return Err("there is no column `target_url` in its first line".to_owned());
    }
    let ignored = header.iter().filter(|name| row::is_unknown(name)).map(str::to_owned).collect();
    let mut links = Vec::new();
    for (index, row) in reader.records().enumerate() {
        check_count(index)?;
        let link = match row {
            Ok(row) => {
                let cells = names.iter().zip(row.iter());
                let fields = cells.filter_map(|(name, value)| Some(((*name)?, value.to_owned())));
                row::parse(fields)
            }
            Err(error) if error.is_io_error() => return Err(error.to_string()),
            Err(error) => Err(malformed_record(&error)),
        };
        links.push(link);
    }
    Ok(Input { rows: row::number(links.into_iter()), ignored })
}

fn malformed_record(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} columns, the first line has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "the row is not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

pub(super) fn parse_json(bytes: &[u8]) -> Result<Input, String> {
    let values: Vec<Value> =
        serde_json::from_slice(bytes).map_err(|error| format!("it is no JSON array of objects ({error})"))?;
    check_count(values.len().saturating_sub(1))?;
    Ok(collect(values.into_iter().map(Ok)))
}

pub(super) fn parse_lines(bytes: &[u8]) -> Result<Input, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    check_count(lines.clone().count().saturating_sub(1))?;
    Ok(collect(lines.map(|line| serde_json::from_str(line).map_err(|error| format!("no JSON: {error}")))))
}

fn collect(values: impl Iterator<Item = Result<Value, String>>) -> Input {
    let mut ignored = BTreeSet::new();
    let links = values.map(|value| {
        value.and_then(|value| match value {
            Value::Object(object) => {
                ignored.extend(object.keys().filter(|name| row::is_unknown(name)).cloned());
                row::parse(fields_of(object))
            }
            _ => Err("the row is no object".to_owned()),
        })
    });
    let rows = row::number(links);
    Input { rows, ignored: ignored.into_iter().collect() }
}

fn fields_of(object: Map<String, Value>) -> impl Iterator<Item = (&'static str, String)> {
    object.into_iter().filter_map(|(name, value)| {
        let text = match value {
            Value::Null => String::new(),
            Value::String(text) => text,
            other => other.to_string(),
        };
        Some((row::field_name(&name)?, text))
    })
}

fn check_count(index: usize) -> Result<(), String> {
    if index < ROWS_MAX { Ok(()) } else { Err(format!("it has more than {ROWS_MAX} rows, split it")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(input: &Input) -> Vec<Result<&str, &str>> {
        input
            .rows
            .iter()
            .map(|row| row.link.as_ref().map(|link| link.target_url.as_str()).map_err(String::as_str))
            .collect()
    }

    #[test]
    fn columns_may_come_in_any_order_and_under_other_names() {
        let input =
            parse_csv(b"Slug,notes,Long URL,clicks\nlaunch,hello,https://a.example/,7\n,,b.example,0\n")
                .unwrap();
        assert_eq!(input.ignored, ["notes"]);
        assert_eq!(targets(&input), [Ok("https://a.example/"), Ok("https://b.example")]);
        let link = input.rows[0].link.as_ref().unwrap();
        assert_eq!(link.short_code.as_deref(), Some("launch"));
        assert_eq!(input.rows[1].link.as_ref().unwrap().short_code, None);
    }

    #[test]
    fn a_bad_row_does_not_spoil_the_others() {
        let input =
            parse_csv(b"target_url,title\nhttps://a.example/,x\nhttps://b.example/\nftp://c.example/,y\n");
        let input = input.unwrap();
        assert_eq!(
            targets(&input),
            [
                Ok("https://a.example/"),
                Err("the row has 1 columns, the first line has 2"),
                Err("target URL has scheme `ftp`, allowed are `https` and `http`"),
            ]
        );
        let input = parse_lines(b"{\"url\":\"https://a.example/\"}\n\n[1]\n{oops\n").unwrap();
        assert_eq!(input.rows.len(), 3);
        assert!(input.rows[0].link.is_ok() && input.rows[1].link.is_err() && input.rows[2].link.is_err());
    }

    #[test]
    fn a_file_without_targets_is_refused_as_a_whole() {
        assert!(parse_csv(b"a,b\n1,2\n").is_err());
        assert!(parse_csv(b"").is_err());
        assert!(parse_json(b"{}").is_err());
        assert_eq!(parse_json(b"[]").unwrap().rows.len(), 0);
    }

    #[test]
    fn numbers_and_switches_are_understood_in_json() {
        let json = br#"[{"target_url":"https://a.example/","redirect_status":301,"is_active":false,
            "expires_at":null,"title":"t"}]"#;
        let input = parse_json(json).unwrap();
        let link = input.rows[0].link.as_ref().unwrap();
        assert_eq!((link.redirect_status, link.is_active), (Some(301), Some(false)));
        assert_eq!((link.expires_at, link.title.as_deref()), (None, Some("t")));
    }
}
