//! What the short link's own query string says about where the visit came from.

use url::form_urlencoded;
use vayro_core::click::clean;

/// Longest campaign value kept, in bytes; the columns' length.
const VALUE_LEN_MAX: usize = 100;
/// Parameters looked at; more is nobody's campaign.
const PARAMETERS_MAX: usize = 50;

/// `utm_…` values and the way the link was reached.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Campaign {
    pub(crate) source: String,
    pub(crate) medium: String,
    pub(crate) name: String,
    pub(crate) term: String,
    pub(crate) content: String,
    /// The link was printed as a QR code.
    pub(crate) is_qr: bool,
}

/// Reads a query string without its `?`. Of a repeated parameter the first one counts.
pub(crate) fn read(query: &str) -> Campaign {
    let mut found = Campaign::default();
    if query.is_empty() {
        return found;
    }
    for (name, value) in form_urlencoded::parse(query.as_bytes()).take(PARAMETERS_MAX) {
        match &*name {
            "utm_source" => set(&mut found.source, &value),
            "utm_medium" => set(&mut found.medium, &value),
            "utm_campaign" => set(&mut found.name, &value),
            "utm_term" => set(&mut found.term, &value),
            "utm_content" => set(&mut found.content, &value),
            "qr" => found.is_qr |= matches!(&*value, "" | "1" | "true"),
            _ => {}
        }
    }
    found
}

/// Percent-decoding can bring back what was kept out of the headers, NUL above all.
fn set(field: &mut String, value: &str) {
    if field.is_empty() {
        *field = clean(value.as_bytes(), VALUE_LEN_MAX);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn campaign_values_are_decoded() {
        let found = read(
            "utm_source=news+letter&utm_medium=e%2Dmail&utm_campaign=Fr%C3%BChling&utm_term=a&utm_content=b&x=y",
        );
        assert_eq!(found.source, "news letter");
        assert_eq!(found.medium, "e-mail");
        assert_eq!(found.name, "Frühling");
        assert_eq!((found.term.as_str(), found.content.as_str()), ("a", "b"));
        assert!(!found.is_qr);
    }

    #[test]
    fn first_value_counts_and_nul_is_dropped() {
        let found = read("utm_source=%00a%00b&utm_source=second");
        assert_eq!(found.source, "ab");
    }

    #[test]
    fn qr_codes_are_seen() {
        for (query, is_qr) in
            [("qr=1", true), ("qr", true), ("a=b&qr=true", true), ("qr=0", false), ("", false)]
        {
            assert_eq!(read(query).is_qr, is_qr, "{query}");
        }
    }

    proptest! {
        #[test]
        fn values_fit_their_columns(value in ".{0,200}") {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("utm_term", &value);
            let found = read(&query.finish());
            prop_assert!(found.term.len() <= VALUE_LEN_MAX);
            prop_assert!(!found.term.chars().any(char::is_control));
            let wanted: String = clean(value.as_bytes(), VALUE_LEN_MAX);
            prop_assert_eq!(found.term.as_str(), &*wanted);
        }
    }
}
