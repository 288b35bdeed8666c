//! Who asks: API keys, sessions, passwords.

mod access;
mod caller;
mod cookie;
mod login_limits;
mod origin;
mod password;
mod secret;

pub(crate) use access::Access;
pub(crate) use caller::{Caller, Credential};
pub(crate) use cookie::{clear_cookie, session_cookie};
pub(crate) use login_limits::{LoginLimits, network_key};
pub(crate) use origin::check_same_site;
pub use password::{PASSWORD_LEN_MAX, PASSWORD_LEN_MIN, PasswordError, Passwords};
pub(crate) use secret::{ApiKeySecret, ShareToken, hash, random_password, session_secret};
