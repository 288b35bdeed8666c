//! Stream entries as the server sends them.

use std::fmt;
use std::str::FromStr;

use redis::Value;
use vayro_core::click::{Fields, field};

/// The id of a stream entry: milliseconds of the server's clock and a count within them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryId {
    pub(crate) ms: u64,
    pub(crate) seq: u64,
}

/// The text is no id of a stream entry.
#[derive(Debug, thiserror::Error)]
#[error("not the id of a stream entry")]
pub(crate) struct EntryIdError;

impl FromStr for EntryId {
    type Err = EntryIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (ms, seq) = text.split_once('-').ok_or(EntryIdError)?;
        let number = |digits: &str| {
            let is_plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            is_plain.then(|| digits.parse().ok()).flatten().ok_or(EntryIdError)
        };
        Ok(Self { ms: number(ms)?, seq: number(seq)? })
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// One entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: String,
    /// `None` if it was handed out but has been removed from the stream since.
    pub(crate) fields: Option<Fields>,
}

/// The reply has another shape than the command's.
#[derive(Debug, thiserror::Error)]
#[error("Redis answered in an unexpected shape")]
pub(crate) struct ShapeError;

/// Takes text out of a reply without copying.
pub(crate) fn text(value: Value) -> Result<String, ShapeError> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).map_err(|_| ShapeError),
        Value::SimpleString(text) => Ok(text),
        _ => Err(ShapeError),
    }
}

/// Takes a list out of a reply; nil is an empty one.
pub(crate) fn list(value: Value) -> Result<Vec<Value>, ShapeError> {
    match value {
        Value::Array(values) => Ok(values),
        Value::Nil => Ok(Vec::new()),
        _ => Err(ShapeError),
    }
}

/// Takes entries out of a reply, moving their bytes. Workers do this a hundred thousand times a second.
pub(crate) fn entries(value: Value) -> Result<Vec<Entry>, ShapeError> {
    // Servers before 7.0 claim removed entries as nil, without even their id.
    list(value)?.into_iter().filter(|value| !matches!(value, Value::Nil)).map(entry).collect()
}

fn entry(value: Value) -> Result<Entry, ShapeError> {
    let mut parts = list(value)?.into_iter();
    let id = text(parts.next().ok_or(ShapeError)?)?;
    let fields = match parts.next() {
        Some(Value::Array(values)) => Some(fields(values)?),
        Some(Value::Nil) | None => None,
        Some(_) => return Err(ShapeError),
    };
    Ok(Entry { id, fields })
}

fn fields(values: Vec<Value>) -> Result<Fields, ShapeError> {
    let mut fields = Fields::with_capacity(values.len() / 2);
    let mut values = values.into_iter();
    while let (Some(name), Some(value)) = (values.next(), values.next()) {
        let (Value::BulkString(name), Value::BulkString(value)) = (name, value) else {
            return Err(ShapeError);
        };
        fields.push((field::name(&name), value));
    }
    Ok(fields)
}

/// Takes the entries of the one stream out of the reply to `XREAD` or `XREADGROUP`; nil if none came.
pub(crate) fn read_reply(value: Value) -> Result<Vec<Entry>, ShapeError> {
    let Some(stream) = list(value)?.into_iter().next() else { return Ok(Vec::new()) };
    let mut parts = list(stream)?.into_iter();
    parts.next().ok_or(ShapeError)?;
    entries(parts.next().ok_or(ShapeError)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &[u8]) -> Value {
        Value::BulkString(text.to_vec())
    }

    #[test]
    fn ids_are_parsed_strictly_and_ordered_by_number() {
        let id: EntryId = "1526919030474-55".parse().expect("an id");
        assert_eq!(id.to_string(), "1526919030474-55");
        assert!(id < "1526919030474-100".parse().expect("an id"));
        for text in ["", "-", "1", "1-", "-1", "1-2-3", "+1-2", "a-b", "0-*", "99999999999999999999-0"] {
            assert!(text.parse::<EntryId>().is_err(), "{text}");
        }
    }

    #[test]
    fn entries_keep_their_bytes() {
        let one = Value::Array(vec![bulk(b"1-0"), Value::Array(vec![bulk(b"ip"), bulk(b"\xFF\0")])]);
        let gone = Value::Array(vec![bulk(b"2-0"), Value::Nil]);
        let reply = Value::Array(vec![Value::Array(vec![
            bulk(b"stream"),
            Value::Array(vec![one, gone, Value::Nil]),
        ])]);
        let expected = [
            Entry { id: "1-0".to_owned(), fields: Some(vec![("ip".into(), b"\xFF\0".to_vec())]) },
            Entry { id: "2-0".to_owned(), fields: None },
        ];
        assert_eq!(read_reply(reply).expect("entries"), expected);
        assert_eq!(read_reply(Value::Nil).expect("none"), []);
    }

    #[test]
    fn other_shapes_are_errors() {
        assert!(read_reply(Value::Okay).is_err());
        assert!(read_reply(Value::Array(vec![Value::Int(1)])).is_err());
        assert!(entries(Value::Array(vec![Value::Array(vec![bulk(b"1-0"), Value::Int(1)])])).is_err());
    }
}
