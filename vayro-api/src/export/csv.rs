//! Clicks as CSV (RFC 4180).
//!
//! Spreadsheets take a text that begins with `=`, `+`, `-` or `@` for a formula and run it, and visitors
//! choose referrers and campaigns. Such a text gets an apostrophe in front, which spreadsheets do not show;
//! so does one that begins with an apostrophe, so that taking the first one off always gives the original.

use std::borrow::Cow;

use super::encode::EncodeError;
use crate::events::EventView;

/// Writes clicks as CSV, names of columns first.
#[derive(Debug, Default)]
pub(super) struct CsvEncoder {
    has_head: bool,
}

impl CsvEncoder {
    /// Returns the rows, and the head before the first ones.
    pub(super) fn push(&mut self, events: &[EventView]) -> Result<Vec<u8>, EncodeError> {
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        if !std::mem::replace(&mut self.has_head, true) {
            writer
                .write_record(EventView::KNOWN.into_iter().chain(EventView::TEXTS.map(|(name, _)| name)))?;
        }
        for event in events {
            let known = [
                event.id.to_string(),
                event.timestamp.to_string(),
                event.link_id.to_string(),
                event.short_url.clone(),
                event.class.as_str().to_owned(),
            ];
            for field in &known {
                writer.write_field(field)?;
            }
            for (_, read) in EventView::TEXTS {
                writer.write_field(harmless(read(event)).as_bytes())?;
            }
            writer.write_record(None::<&[u8]>)?;
        }
        Ok(writer.into_inner()?)
    }
}

/// Returns a text that no spreadsheet takes for a formula. Wide forms count in some languages.
fn harmless(text: &str) -> Cow<'_, str> {
    let is_risky = |c: char| {
        matches!(
            c,
            '=' | '+'
                | '-'
                | '@'
                | '\t'
                | '\r'
                | '\n'
                | '\''
                | '\u{FF1D}'
                | '\u{FF0B}'
                | '\u{FF0D}'
                | '\u{FF20}'
        )
    };
    if text.starts_with(is_risky) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::events::sample;

    #[test]
    fn no_text_is_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "'x"] {
            assert_eq!(harmless(text), format!("'{text}"));
        }
        for text in ["", "a=b", "news.example", "1-2", "DE"] {
            assert_eq!(harmless(text), text);
        }
    }

    #[test]
    fn the_head_comes_once_also_without_clicks() {
        let mut encoder = CsvEncoder::default();
        let head = String::from_utf8(encoder.push(&[]).expect("writes")).expect("UTF-8");
        assert!(head.starts_with("id,timestamp,link_id,short_url,class,bot,user_agent,country,"), "{head}");
        assert!(head.ends_with(",utm_content\r\n"), "{head}");
        assert_eq!(encoder.push(&[]).expect("writes"), b"");
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in "(.|\n|\"|,|=|'){0,20}") {
            let mut event = sample(1);
            event.utm_term.clone_from(&text);
            let file = CsvEncoder::default().push(&[event]).expect("writes");
            let mut reader = csv::Reader::from_reader(&file[..]);
            let row = reader.records().next().expect("a row").expect("valid");
            prop_assert_eq!(row.len(), EventView::KNOWN.len() + EventView::TEXTS.len());
            let field = &row[21];
            prop_assert_eq!(field.strip_prefix('\'').unwrap_or(field), &text);
            prop_assert!(!field.starts_with(['=', '+', '-', '@']));
        }
    }
}
