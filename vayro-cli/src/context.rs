//! What every command knows about the run it is part of.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use secrecy::SecretString;
use vayro_core::timestamp::Timestamp;

use crate::client::Api;
use crate::environment::Environment;
use crate::error::{CommandError, ErrorKind};
use crate::profile::{DEFAULT_PROFILE, ProfileFile};

/// Where `vayro up` listens for the API unless told otherwise.
pub const API_URL_DEFAULT: &str = "http://127.0.0.1:8081";

/// Options every command has.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Print JSON with stable field names
    #[arg(long, global = true)]
    pub json: bool,

    /// Print results and errors only
    #[arg(long, short, global = true)]
    pub quiet: bool,

    /// When to use color; `NO_COLOR` turns it off as well
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: crate::ui::ColorChoice,

    /// Never ask; fail where an answer is needed
    #[arg(long, global = true)]
    pub no_input: bool,

    /// Profile to take address and key from
    #[arg(
        long, global = true, value_name = "NAME", env = "VAYRO_PROFILE", hide_env_values = true,
        value_parser = crate::profile::parse_name
    )]
    pub profile: Option<String>,

    /// Address of the API, such as `http://127.0.0.1:8081`
    #[arg(long, global = true, value_name = "URL", env = "VAYRO_API_URL", hide_env_values = true)]
    pub api_url: Option<String>,
}

/// The run of one command: its options, its environment, its clock.
#[derive(Clone, Debug)]
pub struct Context {
    /// Options every command has.
    pub globals: GlobalArgs,
    /// The environment as it was at the start.
    pub environment: Environment,
    /// What Ctrl-C should suggest.
    resume_hint: Arc<Mutex<Option<String>>>,
    /// Whether Ctrl-C is how the command is meant to end.
    ends_by_interrupt: Arc<AtomicBool>,
}

impl Context {
    /// Makes the context of a run.
    pub fn new(globals: GlobalArgs, environment: Environment) -> Self {
        Self { globals, environment, resume_hint: Arc::default(), ends_by_interrupt: Arc::default() }
    }

    /// Sets what is suggested if the user presses Ctrl-C from now on.
    pub fn if_interrupted(&self, hint: String) {
        *self.resume_hint.lock().unwrap_or_else(PoisonError::into_inner) = Some(hint);
    }

    /// Makes Ctrl-C the proper end of a command that would go on for ever.
    pub fn ends_by_interrupt(&self) {
        self.ends_by_interrupt.store(true, Ordering::Relaxed);
    }

    /// Returns how a run went that Ctrl-C ended.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Interrupted`], unless that is how it was meant to end.
    pub fn interrupted(&self) -> Result<(), CommandError> {
        if self.ends_by_interrupt.load(Ordering::Relaxed) {
            return Ok(());
        }
        let error = CommandError::new(ErrorKind::Interrupted, "interrupted");
        let hint = self.resume_hint.lock().unwrap_or_else(PoisonError::into_inner).take();
        Err(hint.into_iter().fold(error, CommandError::hint))
    }

    /// Returns the time.
    ///
    /// # Panics
    ///
    /// Never on a machine whose clock shows a year from 1 to 9999.
    pub fn now(&self) -> Timestamp {
        Timestamp::from(jiff::Timestamp::try_from(SystemTime::now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
    }

    /// Returns the IANA name of this machine's time zone, `UTC` if it has none.
    pub fn time_zone_name(&self) -> String {
        let zone = jiff::tz::TimeZone::system();
        let name = zone.iana_name().filter(|name| !matches!(*name, "Etc/Unknown" | "Etc/UTC"));
        name.unwrap_or("UTC").to_owned()
    }

    /// Returns the name of the profile in use.
    pub fn profile_name(&self) -> &str {
        self.globals.profile.as_deref().unwrap_or(DEFAULT_PROFILE)
    }

    /// Returns a client that is signed in.
    ///
    /// The address comes from `--api-url` or `VAYRO_API_URL`, then from the profile; the key from
    /// `VAYRO_API_KEY` or `VAYRO_API_KEY_FILE`, then from the profile. A profile's key is sent to that
    /// profile's address only.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::NotAllowed`] if there is no key for the address.
    pub fn api(&self) -> Result<Api, CommandError> {
        let environment_key = self.environment_key()?;
        let asked_url = self.globals.api_url.as_deref();
        if let (Some(url), Some(key)) = (asked_url, &environment_key) {
            return Api::new(url, Some(key.clone()));
        }
        let profiles = ProfileFile::load(&self.environment)?;
        let profile = profiles.find(self.profile_name());
        match (asked_url, environment_key, profile) {
            (None, Some(key), None) => Api::new(API_URL_DEFAULT, Some(key)),
            (None, Some(key), Some(profile)) => Api::new(&profile.api_url, Some(key)),
            (None, None, Some(profile)) => Api::new(&profile.api_url, Some(profile.api_key.clone())),
            (Some(url), None, Some(profile)) if is_same_address(url, &profile.api_url) => {
                Api::new(url, Some(profile.api_key.clone()))
            }
            (Some(url), ..) => Err(CommandError::not_allowed(format!("there is no key for {url}"))
                .hint("sign in there with `vayro login`, or set VAYRO_API_KEY")),
            (None, None, None) if self.globals.profile.is_some() => {
                let name = self.profile_name();
                Err(CommandError::not_allowed(format!("there is no profile `{name}`"))
                    .hint(format!("make it with `vayro login --profile {name}`")))
            }
            (None, None, None) => Err(CommandError::not_allowed("nobody is signed in")
                .hint("start a server with `vayro up`, or sign in to one with `vayro login`")),
        }
    }

    /// Returns a client that is not signed in, at the address that signing in would use.
    pub fn anonymous_api(&self) -> Result<Api, CommandError> {
        Api::new(&self.api_address()?, None)
    }

    /// Returns the address of the API: as asked for, else the profile's, else that of `vayro up`.
    pub fn api_address(&self) -> Result<String, CommandError> {
        if let Some(url) = &self.globals.api_url {
            return Ok(url.clone());
        }
        let profiles = ProfileFile::load(&self.environment)?;
        let profile = profiles.find(self.profile_name());
        Ok(profile.map_or_else(|| API_URL_DEFAULT.to_owned(), |profile| profile.api_url.clone()))
    }

    /// Returns the key from the environment.
    ///
    /// # Errors
    ///
    /// A configuration error if the file of `VAYRO_API_KEY_FILE` cannot be read.
    pub fn environment_key(&self) -> Result<Option<SecretString>, CommandError> {
        if let Some(key) = self.environment.get("VAYRO_API_KEY") {
            return Ok(Some(key.to_owned().into()));
        }
        let Some(path) = self.environment.get("VAYRO_API_KEY_FILE") else { return Ok(None) };
        let text = fs::read_to_string(path).map_err(|error| {
            CommandError::config(format!("cannot read `{path}` of VAYRO_API_KEY_FILE")).caused_by(error)
        })?;
        Ok(Some(text.trim().to_owned().into()))
    }
}

/// Tells whether two addresses name the same API, however they are written.
fn is_same_address(one: &str, other: &str) -> bool {
    let normal = |text: &str| url::Url::parse(text).map(|url| url.as_str().trim_end_matches('/').to_owned());
    matches!((normal(one), normal(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    /// A context whose `default` profile knows `http://one.example`.
    fn context(dir: &tempfile::TempDir, variables: &[(&str, &str)], api_url: Option<&str>) -> Context {
        let mut all = vec![("XDG_CONFIG_HOME", dir.path().to_str().unwrap())];
        all.extend_from_slice(variables);
        let environment: Environment =
            all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let profile = Profile {
            api_url: "http://one.example".to_owned(),
            api_key: "vayro_one".to_owned().into(),
            key_id: None,
            data_dir: None,
        };
        ProfileFile::load(&environment).unwrap().set(DEFAULT_PROFILE, profile).unwrap();
        let globals = GlobalArgs { api_url: api_url.map(str::to_owned), ..GlobalArgs::default() };
        Context::new(globals, environment)
    }

    #[test]
    fn a_profiles_key_goes_to_that_profiles_address_only() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(context(&dir, &[], None).api().unwrap().url(), "http://one.example");
        assert!(context(&dir, &[], Some("HTTP://one.example:80/")).api().is_ok());
        let error = context(&dir, &[], Some("http://two.example")).api().expect_err("another server");
        assert_eq!(error.kind(), ErrorKind::NotAllowed);
        let with_key = context(&dir, &[("VAYRO_API_KEY", "vayro_two")], Some("http://two.example"));
        assert_eq!(with_key.api().unwrap().url(), "http://two.example");
    }

    #[test]
    fn no_profile_means_nobody_is_signed_in() {
        let dir = tempfile::tempdir().unwrap();
        let mut context = context(&dir, &[], None);
        context.globals.profile = Some("other".to_owned());
        let error = context.api().expect_err("no such profile");
        assert_eq!(error.kind(), ErrorKind::NotAllowed);
        assert_eq!(error.hints(), ["make it with `vayro login --profile other`"]);
        assert_eq!(context.api_address().unwrap(), API_URL_DEFAULT);
    }
}
