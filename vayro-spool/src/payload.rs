//! A click as a record: its wire fields in their order.
//!
//! A byte for the form, then name and value of each field, each behind its length as unsigned LEB128. Clicks are
//! written at the edge and read by the worker by the ten thousands a second; JSON took a twentieth of all the
//! time of a click.

use vayro_core::click::{Click, Fields, field};

/// The form that this program writes.
const FORM: u8 = 1;
/// Name of the one field of an entry that cannot be read; no click has it, so it becomes a dead letter.
const UNREADABLE: &str = "payload";
/// Usual length of a record.
const USUAL_LEN: usize = 512;
/// Usual number of fields of a click.
const USUAL_FIELDS: usize = 11;

/// Returns the record of a click.
pub(crate) fn of_click(click: &Click) -> Vec<u8> {
    let mut bytes = begin();
    click.encode(|name, value| {
        put(&mut bytes, name.as_bytes());
        put(&mut bytes, value.as_bytes());
    });
    bytes
}

/// Returns the record of any fields.
pub(crate) fn of_fields(fields: &[(String, String)]) -> Vec<u8> {
    let mut bytes = begin();
    for (name, value) in fields {
        put(&mut bytes, name.as_bytes());
        put(&mut bytes, value.as_bytes());
    }
    bytes
}

/// Reads the fields of a record.
pub(crate) fn to_fields(payload: &[u8]) -> Fields {
    read(payload).unwrap_or_else(|| vec![(UNREADABLE.into(), payload.to_vec())])
}

fn begin() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL_LEN);
    bytes.push(FORM);
    bytes
}

fn put(bytes: &mut Vec<u8>, text: &[u8]) {
    let mut len = text.len() as u64;
    loop {
        // The mask leaves seven bits.
        let low = (len & 0x7F) as u8;
        len >>= 7;
        if len == 0 {
            bytes.push(low);
            break;
        }
        bytes.push(low | 0x80);
    }
    bytes.extend_from_slice(text);
}

fn read(payload: &[u8]) -> Option<Fields> {
    let (&FORM, mut rest) = payload.split_first()? else { return None };
    let mut fields = Fields::with_capacity(USUAL_FIELDS);
    while !rest.is_empty() {
        let name = take(&mut rest)?;
        let value = take(&mut rest)?;
        fields.push((field::name(name), value.to_vec()));
    }
    Some(fields)
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut len = 0;
    // A record is shorter than three groups of seven bits can say.
    for shift in [0, 7, 14] {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        len |= usize::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            let (text, after) = rest.split_at_checked(len)?;
            *rest = after;
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fields_keep_their_order_and_every_character(fields in prop::collection::vec(("[a-z_]{1,8}", ".*"), 0..12)) {
            let bytes: Fields =
                fields.iter().map(|(name, value)| (field::name(name.as_bytes()), value.clone().into_bytes())).collect();
            prop_assert_eq!(to_fields(&of_fields(&fields)), bytes);
        }

        #[test]
        fn rubbish_stays_what_it_is(payload: Vec<u8>) {
            prop_assume!(payload.first() != Some(&FORM));
            prop_assert_eq!(to_fields(&payload), vec![("payload".into(), payload)]);
        }

        #[test]
        fn a_record_that_was_cut_off_is_none(value in ".{1,300}", cut in 1_usize..300) {
            let record = of_fields(&[("id".to_owned(), value)]);
            let cut = record.len() - cut.min(record.len() - 2);
            prop_assert_eq!(to_fields(&record[..cut]), vec![("payload".into(), record[..cut].to_vec())]);
        }

        #[test]
        fn whatever_follows_the_form_never_panics(rest: Vec<u8>) {
            to_fields(&[vec![FORM], rest].concat());
        }
    }

    #[test]
    fn values_of_every_length_are_kept() {
        for len in [0, 1, 127, 128, 16_383, 16_384, crate::record::PAYLOAD_LEN_MAX] {
            let fields = [("user_agent".to_owned(), "x".repeat(len))];
            assert_eq!(to_fields(&of_fields(&fields))[0].1.len(), len);
        }
    }
}
