//! Opaque cursors: where a list goes on.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest cursor, in bytes.
pub(crate) const CURSOR_LEN_MAX: usize = 512;

/// Writes a cursor; clients hand it back as they got it.
pub(crate) fn encode<T: Serialize>(value: &T) -> Option<String> {
    serde_json::to_vec(value).ok().map(|json| URL_SAFE_NO_PAD.encode(json))
}

/// Reads a cursor; the error says that it is none of ours.
pub(crate) fn decode<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let error = || "this is not a cursor of this list".to_owned();
    if text.len() > CURSOR_LEN_MAX {
        return Err(error());
    }
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| error())?;
    serde_json::from_slice(&json).map_err(|_| error())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vayro_core::ids::LinkId;
    use vayro_core::link::{CursorValue, LinkCursor, LinkSort};

    use super::*;

    proptest! {
        #[test]
        fn cursors_round_trip(value: i64, id: u128, is_descending: bool) {
            let cursor = LinkCursor {
                sort: LinkSort::Clicks,
                is_descending,
                value: CursorValue::Number(value),
                id: LinkId::from_uuid(uuid::Uuid::from_u128(id)),
            };
            let text = encode(&cursor).expect("serializes");
            prop_assert!(text.len() <= CURSOR_LEN_MAX);
            prop_assert_eq!(decode::<LinkCursor>(&text), Ok(cursor));
        }

        #[test]
        fn the_longest_code_fits(code in "[a-zA-Z0-9_-]{50}") {
            let cursor = LinkCursor {
                sort: LinkSort::ShortCode,
                is_descending: true,
                value: CursorValue::Text(code),
                id: LinkId::from_uuid(uuid::Uuid::nil()),
            };
            let text = encode(&cursor).expect("serializes");
            prop_assert!(text.len() <= CURSOR_LEN_MAX);
            prop_assert_eq!(decode::<LinkCursor>(&text), Ok(cursor));
        }

        #[test]
        fn rubbish_is_refused(text in ".{0,120}") {
            prop_assert!(decode::<LinkCursor>(&text).is_err());
        }
    }
}
