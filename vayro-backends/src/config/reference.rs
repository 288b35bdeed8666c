//! What `config/vayro.toml` says about each setting, for the reference and for redaction.

use std::sync::LazyLock;

use super::DEFAULTS;

/// Last word of the comment of a setting whose value is never shown.
const SECRET_MARK: &str = "Secret.";

/// One table of the file.
pub(super) struct SectionReference {
    /// Its name, dotted if nested.
    name: String,
    /// Its comment.
    text: String,
    settings: Vec<SettingReference>,
}

/// One setting of the file.
pub(super) struct SettingReference {
    /// Dotted key.
    pub(super) key: String,
    /// The default as the file writes it.
    default: String,
    /// Its comment.
    text: String,
    /// Whether its value is never shown.
    pub(super) is_secret: bool,
}

/// The parsed file: its head comment and its sections in order.
struct Reference {
    head: String,
    sections: Vec<SectionReference>,
}

static REFERENCE: LazyLock<Reference> = LazyLock::new(|| parse(DEFAULTS));

/// Returns what the file says about `key`.
pub(super) fn find(key: &str) -> Option<&'static SettingReference> {
    REFERENCE.sections.iter().flat_map(|section| &section.settings).find(|setting| setting.key == key)
}

/// Reads the file's own layout: comments above what they are about, one setting per line. The meaning
/// is left to the TOML parser; a test compares the two.
fn parse(text: &str) -> Reference {
    let mut reference = Reference { head: String::new(), sections: Vec::new() };
    let mut comment: Vec<&str> = Vec::new();
    for line in text.lines() {
        if let Some(words) = line.strip_prefix('#') {
            comment.push(words.trim());
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            reference.sections.push(SectionReference {
                name: name.to_owned(),
                text: join(&comment),
                settings: Vec::new(),
            });
            comment.clear();
        } else if let Some((key, value)) = line.split_once('=') {
            if let Some(section) = reference.sections.last_mut() {
                let text = join(&comment);
                section.settings.push(SettingReference {
                    key: format!("{}.{}", section.name, key.trim()),
                    default: value.trim().to_owned(),
                    is_secret: text.ends_with(SECRET_MARK),
                    text,
                });
            }
            comment.clear();
        } else if line.trim().is_empty() {
            if reference.sections.is_empty() && reference.head.is_empty() {
                reference.head = join(&comment);
            }
            comment.clear();
        }
    }
    reference
}

/// Joins comment lines into paragraphs; an empty line parts them.
fn join(lines: &[&str]) -> String {
    let paragraphs: Vec<String> = lines
        .split(|line| line.is_empty())
        .filter(|part| !part.is_empty())
        .map(|part| part.join(" "))
        .collect();
    paragraphs.join("\n\n")
}

/// Returns the name of the variable that sets `key`.
pub(super) fn variable(key: &str) -> String {
    format!("VAYRO_{}", key.replace('.', "__").to_ascii_uppercase())
}

/// Returns the reference of every setting as Markdown: the text of `docs/config.md`.
pub fn markdown() -> String {
    let mut parts = vec![format!(
        "# Configuration\n\nGenerated from `config/vayro.toml`; edit that file.\n\n{}\n",
        REFERENCE.head
    )];
    for section in &REFERENCE.sections {
        parts.push(format!("\n## `[{}]`\n\n{}\n", section.name, section.text));
        parts.extend(section.settings.iter().map(setting_markdown));
    }
    parts.concat()
}

fn setting_markdown(setting: &SettingReference) -> String {
    let SettingReference { key, default, text, is_secret } = setting;
    let variable = variable(key);
    let secret = if *is_secret { format!(" or `{variable}_FILE`; never shown") } else { String::new() };
    format!("\n### `{key}`\n\n{text}\n\n- default: `{default}`\n- variable: `{variable}`{secret}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    #[test]
    fn reference_and_toml_see_the_same_settings_and_each_has_a_reason() {
        let mut described: Vec<String> = Vec::new();
        for section in &REFERENCE.sections {
            assert!(!section.text.is_empty(), "[{}] needs a comment", section.name);
            for setting in &section.settings {
                assert!(!setting.text.is_empty(), "{} needs a comment", setting.key);
                described.push(setting.key.clone());
            }
        }
        described.sort();
        let layers = Layers::load(None, std::iter::empty(), &[]).expect("defaults are valid");
        let known: Vec<String> = layers.show().into_iter().map(|shown| shown.key).collect();
        assert_eq!(described, known);
    }

    #[test]
    fn addresses_with_passwords_are_secret() {
        assert!(find("postgres.url").expect("is there").is_secret);
        assert!(find("redis.url").expect("is there").is_secret);
        assert!(!find("log.level").expect("is there").is_secret);
    }
}
