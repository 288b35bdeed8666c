//! Calls about accounts, keys and domains.

use reqwest::header::{COOKIE, ORIGIN};
use serde::{Deserialize, Serialize};
use vayro_core::access::Scope;
use vayro_core::timestamp::Timestamp;

use super::error::ApiError;
use super::http::{Api, Call};

/// An account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct User {
    /// Its identity.
    pub id: String,
    /// Its address.
    pub email: String,
    /// Whether it may operate the instance.
    pub is_operator: bool,
    /// When it was switched off.
    pub disabled_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl From<vayro_core::account::User> for User {
    fn from(user: vayro_core::account::User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.to_string(),
            is_operator: user.is_operator,
            disabled_at: user.disabled_at,
            created_at: user.created_at,
        }
    }
}

/// A workspace and what the account is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Workspace {
    /// Its identity.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `viewer`, `member`, `admin` or `owner`.
    pub role: String,
    /// What its owner pays for.
    pub plan: String,
}

/// Who is signed in, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Me {
    /// The account.
    pub user: User,
    /// What it proved itself with.
    pub credential: Credential,
    /// Every workspace of the account, or the one that the key works in.
    pub workspaces: Vec<Workspace>,
}

/// What somebody proved themselves with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Credential {
    /// A browser session.
    Session {
        /// When it ends unless it is used before.
        expires_at: Timestamp,
    },
    /// An API key.
    ApiKey {
        /// Its identity.
        id: String,
        /// Its name for people.
        name: String,
        /// Its public beginning.
        prefix: String,
        /// What it may be used for.
        scopes: Vec<String>,
        /// When it stops working.
        expires_at: Option<Timestamp>,
    },
}

/// An API key without its secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its identity.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Its public beginning.
    pub prefix: String,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A key about to be made.
#[derive(Clone, Debug, Serialize)]
pub struct NewKey {
    /// Its name for people.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// When it stops working.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A new key with its secret, which is never shown again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreatedKey {
    /// The key's text.
    pub key: String,
    /// The rest.
    #[serde(flatten)]
    pub details: ApiKey,
}

/// An account about to be made.
#[derive(Clone, Debug, Serialize)]
pub struct NewUser {
    /// Its address.
    pub email: String,
    /// Its password; `None` lets the server make one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// What it pays for.
    pub plan: String,
    /// Whether it may operate the instance.
    pub is_operator: bool,
}

/// A new account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreatedUser {
    /// The account.
    pub user: User,
    /// Its own workspace.
    pub workspace_id: String,
    /// Its password, if the server made it; never shown again.
    pub generated_password: Option<String>,
}

/// A change of an account; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UserPatch {
    /// A new password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// A new plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Operator or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_operator: Option<bool>,
    /// Switched off or on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_disabled: Option<bool>,
}

/// A host that serves short links.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Domain {
    /// Its identity.
    pub id: String,
    /// The host.
    pub host: String,
    /// Whether it is the instance's own.
    pub is_default: bool,
    /// When its owner was proved to control it.
    pub verified_at: Option<Timestamp>,
    /// When it was added.
    pub created_at: Timestamp,
    /// Its certificate.
    #[serde(default)]
    pub certificate: DomainCertificate,
}

/// How far the certificate of a domain is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DomainCertificate {
    /// `none`, `pending`, `issued` or `failed`.
    pub state: String,
    /// Until when it is valid.
    pub not_after: Option<Timestamp>,
    /// Why the last try failed.
    pub reason: Option<String>,
    /// When that was.
    pub failed_at: Option<Timestamp>,
    /// When it is tried again.
    pub retry_at: Option<Timestamp>,
}

/// A browser session, used once by `vayro login` to make a key.
#[derive(Clone, Debug)]
pub struct SessionCookie(String);

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

impl Api {
    /// Signs in with address and password.
    pub async fn login(&self, email: &str, password: &str) -> Result<SessionCookie, ApiError> {
        let body = serde_json::json!({ "email": email, "password": password });
        self.send_for_cookie(Call::post(&["login"]).body(&body)).await.map(SessionCookie)
    }

    /// Ends a session.
    pub async fn end_session(&self, session: &SessionCookie) -> Result<(), ApiError> {
        self.send_only(self.with_session(Call::post(&["logout"]), Some(session))).await
    }

    /// Makes a key, on behalf of a session if there is one.
    pub async fn create_key(
        &self,
        new: &NewKey,
        session: Option<&SessionCookie>,
    ) -> Result<CreatedKey, ApiError> {
        self.send(self.with_session(Call::post(&["api-keys"]).body(new), session)).await
    }

    /// Adds what a browser would send, if there is a session.
    fn with_session(&self, call: Call, session: Option<&SessionCookie>) -> Call {
        let Some(session) = session else { return call };
        let origin = url::Url::parse(self.url()).map(|url| url.origin().ascii_serialization());
        call.header(COOKIE, &session.0).header(ORIGIN, &origin.unwrap_or_default())
    }

    /// Lists the keys of the workspace, newest first.
    pub async fn list_keys(&self) -> Result<Vec<ApiKey>, ApiError> {
        self.send::<Items<ApiKey>>(Call::get(&["api-keys"])).await.map(|answer| answer.items)
    }

    /// Revokes a key for good.
    pub async fn revoke_key(&self, id: &str) -> Result<(), ApiError> {
        self.send_only(Call::delete(&["api-keys", id])).await
    }

    /// Says who is signed in, on behalf of a session if there is one.
    pub async fn me(&self, session: Option<&SessionCookie>) -> Result<Me, ApiError> {
        self.send(self.with_session(Call::get(&["me"]), session)).await
    }

    /// Lists the domains the workspace may use, the instance's own first.
    pub async fn list_domains(&self) -> Result<Vec<Domain>, ApiError> {
        self.send::<Items<Domain>>(Call::get(&["domains"])).await.map(|answer| answer.items)
    }

    /// Adds a domain.
    pub async fn create_domain(&self, host: &str) -> Result<Domain, ApiError> {
        self.send(Call::post(&["domains"]).body(&serde_json::json!({ "host": host }))).await
    }

    /// Tries again to get the certificate of a domain.
    pub async fn retry_certificate(&self, id: &str) -> Result<Domain, ApiError> {
        self.send(Call::post(&["domains", id, "certificate"])).await
    }

    /// Removes a domain without links.
    pub async fn delete_domain(&self, id: &str) -> Result<(), ApiError> {
        self.send_only(Call::delete(&["domains", id])).await
    }

    /// Lists the accounts of the instance.
    pub async fn list_users(&self) -> Result<Vec<User>, ApiError> {
        self.send::<Items<User>>(Call::get(&["ops", "users"])).await.map(|answer| answer.items)
    }

    /// Makes an account with a workspace of its own.
    pub async fn create_user(&self, new: &NewUser) -> Result<CreatedUser, ApiError> {
        self.send(Call::post(&["ops", "users"]).body(new)).await
    }

    /// Changes an account.
    pub async fn update_user(&self, id: &str, patch: &UserPatch) -> Result<User, ApiError> {
        self.send(Call::patch(&["ops", "users", id]).body(patch)).await
    }
}
