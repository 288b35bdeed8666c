//! A click as a record: a JSON object of its wire fields, in their order.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap as _, Serializer};
use vayro_core::click::{Click, Fields};

/// Name of the one field of an entry that is no JSON object; no click has it, so it becomes a dead letter.
const UNREADABLE: &str = "payload";

/// Returns the record of a click.
pub(crate) fn of_click(click: &Click) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    let mut serializer = serde_json::Serializer::new(&mut bytes);
    let mut write = || {
        let mut map = serializer.serialize_map(None)?;
        let mut result = Ok(());
        click.encode(|name, value| {
            if result.is_ok() {
                result = map.serialize_entry(name, value);
            }
        });
        result?;
        map.end()
    };
    write().expect("text goes into a vector as JSON");
    bytes
}

/// Returns the record of any fields.
pub(crate) fn of_fields(fields: &[(String, String)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    serde_json::Serializer::new(&mut bytes)
        .collect_map(fields.iter().map(|(name, value)| (name, value)))
        .expect("text goes into a vector as JSON");
    bytes
}

/// Reads the fields of a record.
pub(crate) fn to_fields(payload: &[u8]) -> Fields {
    struct InOrder;

    impl<'de> Visitor<'de> for InOrder {
        type Value = Fields;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of texts")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
            let mut fields = Fields::with_capacity(11);
            while let Some((name, value)) = map.next_entry::<String, String>()? {
                fields.push((name, value.into_bytes()));
            }
            Ok(fields)
        }
    }

    let mut deserializer = serde_json::Deserializer::from_slice(payload);
    let fields = (&mut deserializer).deserialize_map(InOrder);
    match fields.and_then(|fields| deserializer.end().map(|()| fields)) {
        Ok(fields) => fields,
        Err(_) => vec![(UNREADABLE.to_owned(), payload.to_vec())],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fields_keep_their_order_and_every_character(fields in prop::collection::vec(("[a-z_]{1,8}", ".*"), 0..12)) {
            let bytes: Fields = fields.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
            prop_assert_eq!(to_fields(&of_fields(&fields)), bytes);
        }

        #[test]
        fn rubbish_stays_what_it_is(payload: Vec<u8>) {
            prop_assume!(!payload.starts_with(b"{"));
            prop_assert_eq!(to_fields(&payload), vec![("payload".to_owned(), payload)]);
        }
    }
}
