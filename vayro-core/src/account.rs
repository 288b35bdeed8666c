//! People, workspaces, domains and credentials.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::access::{Role, Scope};
use crate::host::Host;
use crate::ids::{DomainId, KeyId, SessionId, UserId, WorkspaceId};
use crate::timestamp::Timestamp;

/// An e-mail address, lower case; checked for shape only, since only a mail can prove more.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Email(Box<str>);

/// The text is not an e-mail address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an e-mail address such as `ada@example.com`")]
pub struct EmailError(String);

impl Email {
    /// The specification's `VARCHAR(255)`.
    pub const LEN_MAX: usize = 255;

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = EmailError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || EmailError(text.chars().take(80).collect());
        let is_bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ',' | ';');
        let (local, domain) = text.rsplit_once('@').ok_or_else(error)?;
        if local.is_empty()
            || local.contains('@')
            || text.len() > Self::LEN_MAX
            || text.contains(is_bad)
            || domain.parse::<Host>().is_err()
        {
            return Err(error());
        }
        Ok(Self(text.to_lowercase().into()))
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Email {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Email {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What an account may use; read through [`crate::ports::WorkspaceStore::plan`] and nowhere else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// The default.
    #[default]
    Free,
    /// Paid.
    Pro,
    /// Paid by contract.
    Enterprise,
}

impl Plan {
    /// Every plan.
    pub const ALL: [Self; 3] = [Self::Free, Self::Pro, Self::Enterprise];

    /// Returns its name in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Pro => "pro",
            Self::Enterprise => "enterprise",
        }
    }

    /// Reads a plan's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plan| plan.as_str() == name)
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its identity.
    pub id: UserId,
    /// Its address, unique on the instance.
    pub email: Email,
    /// What it pays for.
    pub plan: Plan,
    /// Whether it may operate the instance.
    pub is_operator: bool,
    /// When it was switched off, after which nobody can sign in with it.
    pub disabled_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An account about to be stored.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Its identity.
    pub id: UserId,
    /// Its address.
    pub email: Email,
    /// The Argon2id hash in PHC form.
    pub password_hash: String,
    /// What it pays for.
    pub plan: Plan,
    /// Whether it may operate the instance.
    pub is_operator: bool,
}

/// A change of an account; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserPatch {
    /// A new Argon2id hash in PHC form; also ends every session of the account.
    pub password_hash: Option<String>,
    /// A new plan.
    pub plan: Option<Plan>,
    /// Operator or not.
    pub is_operator: Option<bool>,
    /// Switched off or on; off also ends every session.
    pub is_disabled: Option<bool>,
}

/// What owns links.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// Its identity.
    pub id: WorkspaceId,
    /// Its name for people, 1 to [`WORKSPACE_NAME_LEN_MAX`] bytes.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Longest name of a workspace, in bytes.
pub const WORKSPACE_NAME_LEN_MAX: usize = 100;

/// A member of a workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub user_id: UserId,
    /// Their address.
    pub email: Email,
    /// What they are there.
    pub role: Role,
    /// Since when.
    pub created_at: Timestamp,
}

/// How a change of a workspace's members ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// Done.
    Done,
    /// No such member.
    Missing,
    /// Refused: a workspace always has at least one owner.
    LastOwner,
}

/// A host that serves short links.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// Its identity.
    pub id: DomainId,
    /// Whose it is; `None` for the instance's default domain, which every workspace may use.
    pub workspace_id: Option<WorkspaceId>,
    /// The host; for the default domain the one of the configured short address.
    pub host: Host,
    /// When its owner was proved to control it.
    pub verified_at: Option<Timestamp>,
    /// When it was added.
    pub created_at: Timestamp,
}

impl Domain {
    /// Tells whether it is the instance's default domain.
    pub fn is_default(&self) -> bool {
        self.id == DomainId::DEFAULT
    }
}

/// An API key without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its identity.
    pub id: KeyId,
    /// Where it works.
    pub workspace_id: WorkspaceId,
    /// On whose behalf.
    pub user_id: UserId,
    /// Its name for people.
    pub name: String,
    /// The public beginning of the key, to recognise it by.
    pub prefix: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Longest name of an API key, in bytes.
pub const KEY_NAME_LEN_MAX: usize = 100;

/// An API key about to be stored.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// Its identity.
    pub id: KeyId,
    /// Where it will work.
    pub workspace_id: WorkspaceId,
    /// On whose behalf.
    pub user_id: UserId,
    /// Its name for people.
    pub name: String,
    /// The public beginning of the key.
    pub prefix: String,
    /// SHA-256 of the whole key; the key itself is never stored.
    pub hash: [u8; 32],
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
}

/// A signed-in browser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its identity.
    pub id: SessionId,
    /// Who is signed in.
    pub user_id: UserId,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Timestamp,
    /// The browser it began in.
    pub user_agent: String,
    /// The truncated address it began from.
    pub ip_address: String,
    /// When it began.
    pub created_at: Timestamp,
}

/// A session about to be stored.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The session.
    pub session: Session,
    /// SHA-256 of the cookie's secret; the secret itself is never stored.
    pub hash: [u8; 32],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_lowered_and_checked_for_shape() {
        assert_eq!("Ada@Example.COM".parse::<Email>().expect("valid").as_str(), "ada@example.com");
        for bad in ["", "ada", "@example.com", "ada@", "a b@example.com", "a@b@c.d", "a@x..y", "a@b\n.c"] {
            assert!(bad.parse::<Email>().is_err(), "{bad}");
        }
    }
}
