//! Section `[acme]`: certificates from an ACME server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;
use vayro_core::account::Email;
use vayro_core::certificate::{CERTIFICATES_MAX, CertificateName};

use super::{ConfigErrors, Layers, Span};
use crate::vault::Vault;

/// Whether certificates are ordered and served.
#[derive(Clone, Debug)]
pub enum Acme {
    /// They are not.
    Off,
    /// They are, in this way.
    On(Arc<AcmeConfig>),
}

/// How certificates are ordered and served.
#[derive(Debug)]
pub struct AcmeConfig {
    /// Directory of the ACME server.
    pub directory: Url,
    /// Under which the server may reach the operator.
    pub contact: Option<Email>,
    /// PEM file of the authority that vouches for the server.
    pub root_certificates: Option<PathBuf>,
    /// What seals keys.
    pub vault: Vault,
    /// Names beside all domains.
    pub names: Vec<CertificateName>,
    /// How control of a name that is no wildcard is proved.
    pub challenge: ChallengeKind,
    /// Whether a name is asked before the server is.
    pub check: SelfCheck,
    /// Program and arguments that set DNS records; empty if there is none.
    pub dns_hook: Vec<String>,
    /// How long DNS records take to be everywhere.
    pub dns_wait: Duration,
    /// Percent of the lifetime after which a certificate is renewed, unless the server says when.
    pub renew_percent: u8,
    /// How often edges look for new certificates.
    pub poll: Duration,
}

/// How control of a name is proved (RFC 8555 §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChallengeKind {
    /// By a file over HTTP: `http-01`.
    Http,
    /// By a DNS record: `dns-01`.
    Dns,
}

/// Whether a name is asked for an answer before the ACME server is told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfCheck {
    /// No.
    Off,
    /// At the address that its DNS says, on port 80.
    ByDns,
    /// At this address.
    At(SocketAddr),
}

/// `[acme]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AcmeSection {
    enabled: bool,
    directory: Url,
    terms_agreed: bool,
    #[serde(default)]
    contact: Option<Email>,
    #[serde(default)]
    root_certificates: Option<PathBuf>,
    #[serde(default)]
    key: Option<SecretString>,
    names: Vec<CertificateName>,
    challenge: ChallengeKind,
    check: bool,
    #[serde(default)]
    check_address: Option<SocketAddr>,
    dns_hook: Vec<String>,
    dns_wait: Span,
    renew_percent: u8,
    poll: Span,
}

/// Percent of a lifetime that leave time for tries, and are not so soon that servers refuse.
const RENEW_PERCENT: std::ops::RangeInclusive<u8> = 30..=90;
/// Longest wait for DNS; the right to be the issuer is kept meanwhile.
const DNS_WAIT_MAX: Duration = Duration::from_mins(10);

impl Acme {
    /// Reads and checks the section; mistakes go to `errors`, and then the result is `None`. What is only needed by
    /// ACME is not asked for while it is off.
    pub fn read(layers: &Layers, errors: &mut ConfigErrors) -> Option<Self> {
        let section: AcmeSection = layers.section("acme", errors)?;
        let mut is_sound = true;
        let mut rule = |holds: bool, key: &str, message: &str| {
            if !holds {
                layers.reject(key, message, errors);
                is_sound = false;
            }
        };
        rule(
            RENEW_PERCENT.contains(&section.renew_percent),
            "acme.renew_percent",
            "must be between 30 and 90",
        );
        rule(section.poll.get() >= Duration::from_secs(1), "acme.poll", "must be at least 1s");
        rule(section.dns_wait.get() <= DNS_WAIT_MAX, "acme.dns_wait", "must be at most 10m");
        rule(section.names.len() <= CERTIFICATES_MAX as usize, "acme.names", "must be at most 20000");
        let vault = section.key.as_ref().map(|key| Vault::from_key(key.expose_secret()));
        if matches!(vault, Some(Err(_))) {
            rule(false, "acme.key", "must be 32 random bytes: `openssl rand -base64 32` makes them");
        }
        if !section.enabled {
            return is_sound.then_some(Self::Off);
        }
        rule(section.directory.scheme() == "https", "acme.directory", "must begin with `https://`");
        rule(section.terms_agreed, "acme.terms_agreed", "must be `true`, or the server issues nothing");
        rule(
            vault.is_some(),
            "acme.key",
            "is needed because `acme.enabled` is `true`: `openssl rand -base64 32` makes one",
        );
        let needs_hook =
            section.challenge == ChallengeKind::Dns || section.names.iter().any(CertificateName::is_wildcard);
        rule(
            !needs_hook || !section.dns_hook.is_empty(),
            "acme.dns_hook",
            "is needed for wildcards in `acme.names`, and for `dns` as `acme.challenge`",
        );
        if let Some(path) = &section.root_certificates
            && let Err(error) = std::fs::File::open(path)
        {
            rule(false, "acme.root_certificates", &format!("cannot be read: {error}"));
        }
        let vault = vault?.ok()?;
        is_sound.then(|| {
            Self::On(Arc::new(AcmeConfig {
                directory: section.directory,
                contact: section.contact,
                root_certificates: section.root_certificates,
                vault,
                names: section.names,
                challenge: section.challenge,
                check: match (section.check, section.check_address) {
                    (false, _) => SelfCheck::Off,
                    (true, None) => SelfCheck::ByDns,
                    (true, Some(address)) => SelfCheck::At(address),
                },
                dns_hook: section.dns_hook,
                dns_wait: section.dns_wait.get(),
                renew_percent: section.renew_percent,
                poll: section.poll.get(),
            }))
        })
    }

    /// Returns how, if at all.
    pub const fn on(&self) -> Option<&Arc<AcmeConfig>> {
        match self {
            Self::Off => None,
            Self::On(config) => Some(config),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: (&str, &str) = ("acme.key", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    const ON: (&str, &str) = ("acme.enabled", "true");
    const AGREED: (&str, &str) = ("acme.terms_agreed", "true");

    fn read(flags: &[(&str, &str)]) -> Result<Acme, Vec<String>> {
        let flags: Vec<(&str, String)> =
            flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        let layers = Layers::load(None, std::iter::empty(), &flags).expect("no file");
        let mut errors = layers.errors();
        let read = Acme::read(&layers, &mut errors);
        let keys = errors.mistakes().iter().map(|mistake| mistake.key.clone()).collect();
        read.ok_or(keys)
    }

    #[test]
    fn it_is_off_unless_somebody_turns_it_on() {
        assert!(matches!(read(&[]), Ok(Acme::Off)));
        let on = read(&[ON, AGREED, KEY, ("acme.contact", "Ada@example.com")]).expect("complete");
        let config = on.on().expect("on");
        assert_eq!(config.directory.host_str(), Some("acme-v02.api.letsencrypt.org"));
        assert_eq!(config.contact.as_ref().map(Email::as_str), Some("ada@example.com"));
        assert_eq!(config.check, SelfCheck::ByDns);
    }

    #[test]
    fn what_is_missing_is_said_all_at_once() {
        let missing = read(&[ON]).expect_err("nothing is given");
        assert_eq!(missing, ["acme.terms_agreed", "acme.key"]);
        let wildcard = read(&[ON, AGREED, KEY, ("acme.names", "*.example.com")]).expect_err("no hook");
        assert_eq!(wildcard, ["acme.dns_hook"]);
        assert!(
            read(&[
                ON,
                AGREED,
                KEY,
                ("acme.names", "*.example.com"),
                ("acme.dns_hook", "/bin/true"),
                ("acme.challenge", "dns"),
                ("acme.check", "false"),
            ])
            .is_ok()
        );
        let wrong = read(&[("acme.key", "secret"), ("acme.renew_percent", "99"), ("acme.poll", "0s")]);
        assert_eq!(wrong.expect_err("three"), ["acme.renew_percent", "acme.poll", "acme.key"]);
        assert!(read(&[("acme.names", "localhost")]).is_err());
    }

    #[test]
    fn the_key_is_never_shown() {
        let layers = Layers::load(None, std::iter::empty(), &[(KEY.0, KEY.1.to_owned())]).expect("no file");
        let shown = layers.show().into_iter().find(|shown| shown.key == KEY.0).expect("is there");
        assert!(!format!("{shown:?}").contains(KEY.1));
    }
}
