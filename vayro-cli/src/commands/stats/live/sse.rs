//! Server-sent events, taken apart.

/// Longest event read, in bytes; a longer one is dropped.
const FRAME_LEN_MAX: usize = 64 * 1024;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// What it is, `message` if it does not say.
    pub(super) name: String,
    /// Its data.
    pub(super) data: String,
}

/// Reads events out of what a connection brings.
#[derive(Debug, Default)]
pub(super) struct Reader {
    bytes: Vec<u8>,
    name: String,
    data: Option<String>,
}

impl Reader {
    /// Adds what came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the next event that is whole.
    pub(super) fn frame(&mut self) -> Option<Frame> {
        loop {
            let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') else {
                // Nothing of ours has such a line.
                if self.bytes.len() > FRAME_LEN_MAX {
                    self.bytes.clear();
                }
                return None;
            };
            let line: Vec<u8> = self.bytes.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                let name = std::mem::take(&mut self.name);
                let Some(data) = self.data.take() else { continue };
                let name = if name.is_empty() { "message".to_owned() } else { name };
                return Some(Frame { name, data });
            }
            // A line that begins with a colon is a comment.
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut self.name),
                "data" => match &mut self.data {
                    Some(data) if data.len() + value.len() < FRAME_LEN_MAX => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    Some(_) => {}
                    None => self.data = Some(value.to_owned()),
                },
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = ": listening\n\nid: a\nevent: click\ndata: {\"x\":\ndata: 1}\n\ndata:plain\r\n\r\nevent: empty\n\n: more\n\nevent: gap\ndata: {}\n\n";

    fn frame(name: &str, data: &str) -> Frame {
        Frame { name: name.to_owned(), data: data.to_owned() }
    }

    proptest! {
        #[test]
        fn events_are_found_however_they_are_cut(cuts in prop::collection::vec(1_usize..40, 0..60)) {
            let mut reader = Reader::default();
            let mut found = Vec::new();
            let mut rest = TEXT.as_bytes();
            for cut in cuts.into_iter().chain([TEXT.len()]) {
                let (piece, next) = rest.split_at(cut.min(rest.len()));
                reader.push(piece);
                found.extend(std::iter::from_fn(|| reader.frame()));
                rest = next;
            }
            prop_assert_eq!(
                found,
                [frame("click", "{\"x\":\n1}"), frame("message", "plain"), frame("gap", "{}")]
            );
        }

        #[test]
        fn rubbish_is_bounded(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut reader = Reader::default();
            for _ in 0..400 {
                reader.push(&bytes);
                while reader.frame().is_some() {}
                prop_assert!(reader.bytes.len() <= FRAME_LEN_MAX + bytes.len());
            }
        }
    }
}
