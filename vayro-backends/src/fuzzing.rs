//! What must hold of any bytes; called by the fuzz targets, and by the tests with the committed corpus.

use std::path::Path;

use toml::Table;

use crate::config::{BackendConfig, ConfigMistake, InstanceSettings, Layers, LogSettings, retention};

/// Settings that hold a secret.
const SECRETS: [(&str, &str); 2] = [("postgres", "url"), ("redis", "url")];
/// Shorter texts turn up by chance.
const PASSWORD_LEN_MIN: usize = 8;

/// Whatever a file says, it is understood or refused with every mistake located, no password is ever said, and a
/// setting in force comes from the file exactly if the file is right about it.
///
/// # Panics
///
/// If that does not hold.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let layers = match Layers::of_text(text, Path::new("vayro.toml")) {
        Ok(layers) => layers,
        Err(errors) => {
            let passwords: Vec<String> = text.lines().filter_map(password).collect();
            return errors.mistakes().iter().for_each(|mistake| is_told_well(mistake, &passwords));
        }
    };
    let mut errors = layers.errors();
    let sections = [
        InstanceSettings::read(&layers, &mut errors).is_some(),
        BackendConfig::read(&layers, &mut errors).is_some(),
        layers.section::<LogSettings>("log", &mut errors).is_some(),
        retention(&layers, &mut errors).is_some(),
    ];
    if sections.contains(&false) {
        assert!(!errors.mistakes().is_empty(), "what is refused has a reason");
    }
    let table: Table = text.parse().expect("it was read");
    let secret = |key: &str| {
        let (section, name) =
            SECRETS.into_iter().find(|(section, name)| format!("{section}.{name}") == key)?;
        password(table.get(section)?.get(name)?.as_str()?)
    };
    for mistake in errors.mistakes() {
        is_told_well(mistake, &secret(&mistake.key).into_iter().collect::<Vec<_>>());
    }
    let shown = layers.show();
    let defaults = Layers::of_text("", Path::new("vayro.toml")).expect("empty").show();
    assert_eq!(shown.len(), defaults.len(), "a file adds no settings");
    for (shown, default) in shown.iter().zip(&defaults) {
        assert_eq!(shown.key, default.key);
        assert!(!shown.is_default || shown.value == default.value, "{} was changed by nobody", shown.key);
        let is_told = secret(&shown.key).is_some_and(|secret| shown.value.contains(&secret));
        assert!(!is_told, "{} tells its password", shown.key);
    }
}

fn is_told_well(mistake: &ConfigMistake, passwords: &[String]) {
    let said = mistake.to_string();
    assert!(!mistake.message.is_empty() && said.contains("(from "), "{said}");
    for password in passwords {
        assert!(!said.contains(password.as_str()), "a password is told: {said}");
    }
}

/// Returns the password of an address in `text` if it stands nowhere else.
fn password(text: &str) -> Option<String> {
    let (_, behind) = text.split_once("://")?;
    let (credentials, _) = behind.split_once('@')?;
    let (_, password) = credentials.split_once(':')?;
    let is_plain = password.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_once = text.matches(password).count() == 1;
    (is_plain && is_once && password.len() >= PASSWORD_LEN_MIN).then(|| password.to_owned())
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_hold_over_the_corpus() {
        replay::replay("configuration", configuration);
    }
}
