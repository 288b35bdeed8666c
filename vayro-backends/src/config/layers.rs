//! The layers of a configuration and how they are read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::error::{ConfigErrors, ConfigMistake, Source};
use super::show::shown_value;
use super::{DEFAULTS, reference};

/// Start of every variable that is a setting.
const VARIABLE_PREFIX: &str = "VAYRO_";
/// Most edits between a typing mistake and the key that is suggested.
const SUGGEST_DISTANCE_MAX: usize = 3;

/// One value of a setting and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) value: Value,
    pub(super) source: Source,
}

/// Everything the sources say, checked for unknown keys and wrong types, not yet for meaning.
#[derive(Clone, Debug)]
pub struct Layers {
    /// Values by dotted key, weakest first; never empty, the first is the default.
    pub(super) settings: BTreeMap<String, Vec<Layer>>,
    mistakes: Vec<ConfigMistake>,
}

impl Layers {
    /// Reads the sources, weakest first: the compiled-in defaults, `file`, variables of `env` named
    /// `VAYRO_SECTION__KEY` (`VAYRO_SECTION__KEY_FILE` names a file that holds the value), and `flags` as
    /// dotted keys with their text. Variables without `__` are none of ours and are ignored.
    ///
    /// Unknown keys and wrong types are kept for [`Layers::errors`], so that they are reported together
    /// with bad values.
    ///
    /// # Errors
    ///
    /// [`ConfigErrors`] when `file` cannot be read or is no TOML, so that nothing else can be said.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        flags: &[(&str, String)],
    ) -> Result<Self, ConfigErrors> {
        let mut layers = Self::defaults();
        if let Some(path) = file {
            layers.add_file(path).map_err(|mistake| ConfigErrors::new(vec![mistake]))?;
        }
        let mut variables: Vec<(String, String)> = env
            .filter(|(name, _)| name.strip_prefix(VARIABLE_PREFIX).is_some_and(|rest| rest.contains("__")))
            .collect();
        // A fixed order makes reports and ties repeatable.
        variables.sort();
        for (name, value) in variables {
            layers.add_variable(&name, &value);
        }
        for (key, value) in flags {
            layers.add_text(key, value, Source::Flag((*key).to_owned()));
        }
        Ok(layers)
    }

    /// Returns the mistakes found while loading; hand it to every section that is read, then call
    /// [`ConfigErrors::finish`].
    pub fn errors(&self) -> ConfigErrors {
        ConfigErrors::new(self.mistakes.clone())
    }

    /// Reads one section. A setting whose text is empty counts as not set and is left out, so such
    /// fields are `Option` or `#[serde(default)]`. Every mistake of the section goes to `errors`, and
    /// then the result is `None`.
    pub fn section<T: DeserializeOwned>(&self, name: &str, errors: &mut ConfigErrors) -> Option<T> {
        let prefix = format!("{name}.");
        let mut chosen: BTreeMap<&str, &[Layer]> = self
            .settings
            .range(prefix.clone()..)
            .take_while(|(key, _)| key.starts_with(&prefix))
            .map(|(key, layers)| (key.as_str(), layers.as_slice()))
            .collect();
        let mut is_sound = true;
        loop {
            let table = nested(&chosen, &prefix);
            let error = match serde_path_to_error::deserialize::<_, T>(Value::Table(table)) {
                Ok(section) => return is_sound.then_some(section),
                Err(error) => error,
            };
            is_sound = false;
            let (path, message) = located(&prefix, &error);
            let key = chosen.keys().copied().filter(|key| is_within(&path, key)).max_by_key(|key| key.len());
            let Some((key, layers)) = key.and_then(|key| chosen.get_mut(key).map(|layers| (key, layers)))
            else {
                errors.push(ConfigMistake {
                    key: name.to_owned(),
                    value: None,
                    source: Source::Default,
                    message,
                });
                return None;
            };
            let (top, rest) = layers.split_last()?;
            // Parsers like to quote what they refuse.
            let message = if is_secret(key) { "cannot be used".to_owned() } else { message };
            errors.push(mistake(key, top, message));
            if rest.is_empty() {
                // The default itself is refused: nothing weaker is left to go on with.
                return None;
            }
            // Go on with the weaker value, so that the next mistake is found as well.
            *layers = rest;
        }
    }

    /// Adds a mistake about the value that `key` has now, for rules that span several settings.
    ///
    /// # Panics
    ///
    /// If `key` is not in `config/vayro.toml`; that is a bug of the caller.
    pub fn reject(&self, key: &str, message: impl Into<String>, errors: &mut ConfigErrors) {
        let layers = self.settings.get(key).expect("the key is in config/vayro.toml");
        let top = layers.last().expect("every setting has a default");
        errors.push(mistake(key, top, message.into()));
    }

    fn defaults() -> Self {
        let table: Table = DEFAULTS.parse().expect("config/vayro.toml is compiled in and tested");
        let mut settings = BTreeMap::new();
        let mut open = vec![(String::new(), table)];
        while let Some((prefix, table)) = open.pop() {
            for (name, value) in table {
                let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
                match value {
                    Value::Table(table) if prefix.is_empty() || !table.is_empty() => open.push((key, table)),
                    value => {
                        settings.insert(key, vec![Layer { value, source: Source::Default }]);
                    }
                }
            }
        }
        Self { settings, mistakes: Vec::new() }
    }

    fn add_file(&mut self, path: &Path) -> Result<(), ConfigMistake> {
        let source = Source::File(path.to_owned());
        let whole = |message: String| ConfigMistake {
            key: String::new(),
            value: None,
            source: source.clone(),
            message,
        };
        let text =
            std::fs::read_to_string(path).map_err(|error| whole(format!("cannot be read: {error}")))?;
        self.add_file_text(&text, &source)
    }

    fn add_file_text(&mut self, text: &str, source: &Source) -> Result<(), ConfigMistake> {
        let whole = |message: String| ConfigMistake {
            key: String::new(),
            value: None,
            source: source.clone(),
            message,
        };
        // Not in the parser's own words, which repeat the line: it may hold a password.
        let is_not_toml = |error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            whole(format!("is not TOML: line {line}: {}", error.message().replace('\n', ", ")))
        };
        let table: Table = text.parse().map_err(is_not_toml)?;
        self.add_table("", table, source);
        Ok(())
    }

    /// Reads `text` as what the file `name` would hold.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of_text(text: &str, name: &Path) -> Result<Self, ConfigErrors> {
        let mut layers = Self::defaults();
        let added = layers.add_file_text(text, &Source::File(name.to_owned()));
        added.map_err(|mistake| ConfigErrors::new(vec![mistake]))?;
        Ok(layers)
    }

    fn add_table(&mut self, prefix: &str, table: Table, source: &Source) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            if self.settings.contains_key(&key) {
                self.add_value(&key, value, source.clone());
            } else if self.is_section(&key) {
                match value {
                    Value::Table(table) => self.add_table(&key, table, source),
                    value => self.mistakes.push(ConfigMistake {
                        message: format!("is a section, not {}", kind(&value)),
                        value: None,
                        source: source.clone(),
                        key,
                    }),
                }
            } else {
                self.add_unknown(key, source.clone());
            }
        }
    }

    fn add_variable(&mut self, name: &str, value: &str) {
        let key_of = |name: &str| name[VARIABLE_PREFIX.len()..].replace("__", ".").to_ascii_lowercase();
        let key = key_of(name);
        let Some(stem) = name.strip_suffix("_FILE").filter(|_| !self.settings.contains_key(&key)) else {
            self.add_text(&key, value, Source::Variable(name.to_owned()));
            return;
        };
        let key = key_of(stem);
        let source = Source::VariableFile { name: name.to_owned(), path: PathBuf::from(value) };
        match std::fs::read_to_string(value) {
            Ok(text) => self.add_text(&key, text.trim_end_matches(['\n', '\r']), source),
            Err(error) => self.mistakes.push(ConfigMistake {
                key,
                value: None,
                source,
                message: format!("cannot be read: {error}"),
            }),
        }
    }

    /// Adds a value given as text, reading it as the type that the default has.
    fn add_text(&mut self, key: &str, text: &str, source: Source) {
        let Some(default) = self.settings.get(key).and_then(|layers| layers.first()) else {
            self.add_unknown(key.to_owned(), source);
            return;
        };
        let parsed = match &default.value {
            Value::String(_) => Some(Value::String(text.to_owned())),
            Value::Array(_) if !text.trim_start().starts_with('[') => Some(Value::Array(
                text.split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .map(|part| Value::String(part.to_owned()))
                    .collect(),
            )),
            _ => format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value")),
        };
        if let Some(value) = parsed {
            self.add_value(key, value, source);
        } else {
            let message = format!("must be {}", kind(&default.value));
            let layer = Layer { value: Value::String(text.to_owned()), source };
            self.mistakes.push(mistake(key, &layer, message));
        }
    }

    fn add_value(&mut self, key: &str, value: Value, source: Source) {
        let Some(layers) = self.settings.get_mut(key) else { return };
        let layer = Layer { value, source };
        match layers.first() {
            Some(default) if !default.value.same_type(&layer.value) => {
                let message = format!("must be {}, not {}", kind(&default.value), kind(&layer.value));
                self.mistakes.push(mistake(key, &layer, message));
            }
            _ => layers.push(layer),
        }
    }

    fn add_unknown(&mut self, key: String, source: Source) {
        let nearest = self
            .settings
            .keys()
            .map(|known| (distance(known, &key), known))
            .filter(|(distance, _)| *distance <= SUGGEST_DISTANCE_MAX)
            .min();
        let message = match nearest {
            Some((_, known)) => format!("is not a setting; `{known}` is"),
            None => "is not a setting".to_owned(),
        };
        self.mistakes.push(ConfigMistake { key, value: None, source, message });
    }

    fn is_section(&self, key: &str) -> bool {
        let prefix = format!("{key}.");
        self.settings.range(prefix.clone()..).next().is_some_and(|(known, _)| known.starts_with(&prefix))
    }
}

/// Builds the table of a section from its strongest values.
fn nested(chosen: &BTreeMap<&str, &[Layer]>, prefix: &str) -> Table {
    let mut table = Table::new();
    for (key, layers) in chosen {
        let Some(Layer { value, .. }) = layers.last() else { continue };
        if value.as_str().is_some_and(str::is_empty) {
            continue;
        }
        let mut at = &mut table;
        let mut parts = key[prefix.len()..].split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                at.insert(part.to_owned(), value.clone());
                break;
            }
            let next = at.entry(part).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(next) = next else { break };
            at = next;
        }
    }
    table
}

/// Tells whether the reported `path` is `key` or lies inside its value.
fn is_within(path: &str, key: &str) -> bool {
    path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn mistake(key: &str, layer: &Layer, message: String) -> ConfigMistake {
    ConfigMistake {
        key: key.to_owned(),
        value: Some(shown_value(key, &layer.value)),
        source: layer.source.clone(),
        message,
    }
}

fn is_secret(key: &str) -> bool {
    reference::find(key).is_some_and(|setting| setting.is_secret)
}

/// Returns the dotted path of what is wrong, and what that is.
fn located(prefix: &str, error: &serde_path_to_error::Error<toml::de::Error>) -> (String, String) {
    let message = error.inner().message();
    let path = error.path().to_string();
    // The path of the section itself displays as a point.
    let path = if path == "." { "" } else { &path };
    // A setting that was left out because it is empty is missed by its parent.
    if let Some(name) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        let point = if path.is_empty() { "" } else { "." };
        return (format!("{prefix}{path}{point}{name}"), "must not be empty".to_owned());
    }
    (format!("{prefix}{path}"), message.to_owned())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with a point",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// Levenshtein distance in bytes; keys are ASCII.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let cost = if x == y { diagonal } else { 1 + diagonal.min(row[j]).min(row[j + 1]) };
            diagonal = row[j + 1];
            row[j + 1] = cost;
        }
    }
    row[b.len()]
}
