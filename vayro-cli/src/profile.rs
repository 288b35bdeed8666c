//! Where the command remembers which API it talks to and with which key.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use crate::environment::Environment;
use crate::error::CommandError;

/// Name of the profile that is used when none is named.
pub const DEFAULT_PROFILE: &str = "default";
/// Longest name of a profile, in bytes.
pub const NAME_LEN_MAX: usize = 64;

/// How to reach one API.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Address of the API, without `/v1`.
    pub api_url: String,
    /// The key.
    #[serde(serialize_with = "expose")]
    pub api_key: SecretString,
    /// The key's id, so that `vayro logout` can revoke a key that `vayro login` made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// For an instance of this machine, its data: `vayro up` finds the profile by it when a port changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
}

fn expose<S: Serializer>(key: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(key.expose_secret())
}

/// The file's content.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

/// The file `config.toml`, mode 0600, in a directory of mode 0700.
#[derive(Clone, Debug)]
pub struct ProfileFile {
    path: PathBuf,
    content: Content,
}

impl ProfileFile {
    /// Reads the file; no file is an empty one.
    ///
    /// # Errors
    ///
    /// A configuration error if it cannot be read or understood.
    pub fn load(environment: &Environment) -> Result<Self, CommandError> {
        let Some(dir) = environment.config_dir() else {
            return Err(CommandError::config("there is no place for the configuration of this command")
                .hint("set HOME or XDG_CONFIG_HOME"));
        };
        let path = dir.join("config.toml");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                let message = format!("cannot read `{}`", path.display());
                return Err(CommandError::config(message).caused_by(error));
            }
        };
        // The parser's own message would quote the line, and with it perhaps a key.
        let content = toml::from_str(&text).map_err(|error| {
            let at = error.span().map(|span| text[..span.start].lines().count().max(1));
            let place = at.map_or_else(String::new, |line| format!(", line {line}"));
            CommandError::config(format!("`{}` is malformed{place}: {}", path.display(), error.message()))
                .hint("mend it, or remove it and run `vayro login`")
        })?;
        Ok(Self { path, content })
    }

    /// Returns where the file is, or would be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns a profile.
    pub fn find(&self, name: &str) -> Option<&Profile> {
        self.content.profiles.get(name)
    }

    /// Sets a profile and writes the file.
    pub fn set(&mut self, name: &str, profile: Profile) -> Result<(), CommandError> {
        self.content.profiles.insert(name.to_owned(), profile);
        self.save()
    }

    /// Lets `change` look at every profile and writes the file if it changed any.
    pub fn update(&mut self, mut change: impl FnMut(&mut Profile) -> bool) -> Result<(), CommandError> {
        let mut has_changed = false;
        for profile in self.content.profiles.values_mut() {
            has_changed |= change(profile);
        }
        if has_changed { self.save() } else { Ok(()) }
    }

    /// Removes a profile and writes the file; returns what was removed.
    pub fn remove(&mut self, name: &str) -> Result<Option<Profile>, CommandError> {
        let removed = self.content.profiles.remove(name);
        if removed.is_some() {
            self.save()?;
        }
        Ok(removed)
    }

    /// Tells whether others than the owner may read the file.
    pub fn is_exposed(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
    }

    /// Writes a new file beside the old one and puts it in its place, so that a crash loses neither.
    fn save(&self) -> Result<(), CommandError> {
        let write = || -> io::Result<()> {
            let dir = self.path.parent().unwrap_or(Path::new("."));
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            let text = toml::to_string(&self.content).map_err(io::Error::other)?;
            // Made with mode 0600.
            let mut file = tempfile::NamedTempFile::new_in(dir)?;
            file.write_all(
                b"# Written by `vayro login` and `vayro up`. Keep it to yourself: it holds keys.\n",
            )?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&self.path)?;
            Ok(())
        };
        write().map_err(|error| {
            CommandError::failed(format!("cannot write `{}`", self.path.display())).caused_by(error)
        })
    }
}

/// Reads the name of a profile from the command line.
///
/// # Errors
///
/// A sentence saying what a name is.
pub fn parse_name(text: &str) -> Result<String, String> {
    let is_name = (1..=NAME_LEN_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if is_name {
        Ok(text.to_owned())
    } else {
        Err(format!("a profile's name has 1 to {NAME_LEN_MAX} letters, digits, `-`, `_` and `.`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(dir: &Path) -> Environment {
        [("XDG_CONFIG_HOME".to_owned(), dir.to_str().unwrap().to_owned())].into_iter().collect()
    }

    fn profile(key: &str) -> Profile {
        Profile {
            api_url: "http://127.0.0.1:8081".to_owned(),
            api_key: key.to_owned().into(),
            key_id: None,
            data_dir: None,
        }
    }

    #[test]
    fn what_is_set_is_found_again_and_nobody_else_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let environment = environment(dir.path());
        let mut file = ProfileFile::load(&environment).unwrap();
        assert!(file.find("default").is_none());
        file.set("default", profile("vayro_a")).unwrap();
        file.set("work", profile("vayro_b")).unwrap();

        let mut file = ProfileFile::load(&environment).unwrap();
        assert_eq!(file.find("work").unwrap().api_key.expose_secret(), "vayro_b");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(file.path()), 0o600);
        assert_eq!(mode(file.path().parent().unwrap()), 0o700);
        assert!(!file.is_exposed());

        assert!(file.remove("work").unwrap().is_some());
        assert!(file.remove("work").unwrap().is_none());
        assert!(ProfileFile::load(&environment).unwrap().find("work").is_none());
    }

    #[test]
    fn a_malformed_file_is_a_configuration_error_that_shows_no_key() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("vayro")).unwrap();
        let text = "[profiles.default]\napi_url = \"x\"\napi_key = \"vayro_secret\" oops\n";
        fs::write(dir.path().join("vayro/config.toml"), text).unwrap();
        let error = ProfileFile::load(&environment(dir.path())).expect_err("malformed");
        assert_eq!(error.kind(), crate::error::ErrorKind::Config);
        let said = format!("{error} {:?} {:?}", error.details(), error.hints());
        assert!(said.contains("line 3") && !said.contains("secret"), "{said}");
    }

    #[test]
    fn keys_are_not_shown_by_debug() {
        assert!(!format!("{:?}", profile("vayro_secret")).contains("secret"));
    }

    #[test]
    fn names_of_profiles_are_plain_words() {
        assert!(parse_name("work-2").is_ok());
        assert!(parse_name("").is_err());
        assert!(parse_name("a b").is_err());
    }
}
