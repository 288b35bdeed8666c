//! The language a visitor asks for first.

/// Longest language tag kept, in bytes; the column's length.
const TAG_LEN_MAX: usize = 16;

/// Returns the first tag of an `Accept-Language` header in the usual spelling (`de`, `pt-BR`,
/// `zh-Hant-TW`), cut at a subtag if it is too long; empty if there is none.
pub(crate) fn first_tag(header: &str) -> String {
    let tag = header.split([',', ';']).next().unwrap_or_default().trim();
    let mut out = String::new();
    for (position, subtag) in tag.split(['-', '_']).enumerate() {
        let is_first = position == 0;
        let is_valid = if is_first {
            (2..=3).contains(&subtag.len()) && subtag.bytes().all(|b| b.is_ascii_alphabetic())
        } else {
            (1..=8).contains(&subtag.len()) && subtag.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        if !is_valid || out.len() + 1 + subtag.len() > TAG_LEN_MAX {
            break;
        }
        if !is_first {
            out.push('-');
        }
        let start = out.len();
        out.push_str(subtag);
        let spelled = &mut out[start..];
        spelled.make_ascii_lowercase();
        // BCP 47: regions in capitals, scripts in title case.
        match spelled.len() {
            2 if !is_first => spelled.make_ascii_uppercase(),
            4 if !is_first && spelled.is_ascii() => spelled[..1].make_ascii_uppercase(),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_tag_is_taken_and_spelled_the_usual_way() {
        for (header, tag) in [
            ("de-DE,de;q=0.9,en;q=0.8", "de-DE"),
            ("pt-br", "pt-BR"),
            ("ZH-hant-tw;q=0.9", "zh-Hant-TW"),
            ("en", "en"),
            ("fil, en", "fil"),
            ("en_US", "en-US"),
            ("es-419", "es-419"),
            ("de-Latn-1996-extended", "de-Latn-1996"),
            ("*", ""),
            ("", ""),
            ("<script>", ""),
            ("de-<b>", "de"),
        ] {
            assert_eq!(first_tag(header), tag, "{header}");
        }
    }

    proptest! {
        #[test]
        fn tags_fit_the_column(header in ".{0,64}") {
            let tag = first_tag(&header);
            prop_assert!(tag.len() <= TAG_LEN_MAX);
            prop_assert!(tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        }
    }
}
