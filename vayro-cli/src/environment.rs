//! The environment of the process, read once.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Environment variables as they were at the start; values that are not UTF-8 are left out.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Reads the variables of this process.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// Returns a variable; an empty one counts as unset.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns every variable.
    pub fn iter(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.0.iter().map(|(name, value)| (name.clone(), value.clone()))
    }

    /// Tells whether color is refused, as <https://no-color.org> has it, or the terminal has none.
    pub fn refuses_color(&self) -> bool {
        self.get("NO_COLOR").is_some() || self.get("TERM") == Some("dumb")
    }

    /// Returns the directory of this command's own files: `$XDG_CONFIG_HOME/vayro` or `~/.config/vayro`.
    pub fn config_dir(&self) -> Option<PathBuf> {
        // The XDG specification has relative paths ignored.
        let xdg = self.get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || self.get("HOME").map(|home| PathBuf::from(home).join(".config"));
        Some(xdg.or_else(home)?.join("vayro"))
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn empty_is_unset() {
        assert!(!environment(&[("NO_COLOR", "")]).refuses_color());
        assert!(environment(&[("NO_COLOR", "1")]).refuses_color());
        assert!(environment(&[("TERM", "dumb")]).refuses_color());
    }

    #[test]
    fn files_are_where_xdg_has_them() {
        let dir = |variables: &[(&str, &str)]| environment(variables).config_dir();
        assert_eq!(dir(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]), Some("/x/vayro".into()));
        assert_eq!(dir(&[("XDG_CONFIG_HOME", "x"), ("HOME", "/h")]), Some("/h/.config/vayro".into()));
        assert_eq!(dir(&[]), None);
    }
}
