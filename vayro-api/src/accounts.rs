//! Making accounts and setting passwords, for `/v1/ops/users` and for the command line.

use vayro_core::account::{Email, NewUser, Plan, User, UserPatch, WORKSPACE_NAME_LEN_MAX, Workspace};
use vayro_core::change::ChangeContext;
use vayro_core::ids::{AuditId, UserId, WorkspaceId};
use vayro_core::ports::StoreError;

use crate::auth::{PasswordError, random_password};
use crate::problem::{Code, FieldError, Problem};
use crate::state::ApiState;

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Its address.
    pub email: Email,
    /// Its password; `None` has one made.
    pub password: Option<String>,
    /// What it pays for.
    pub plan: Plan,
    /// Whether it may operate the instance.
    pub is_operator: bool,
}

/// An account that was made.
#[derive(Clone, Debug)]
pub struct CreatedAccount {
    /// The account.
    pub user: User,
    /// Its own workspace, of which it is the owner.
    pub workspace: Workspace,
    /// The password, if it was made for it; kept nowhere else.
    pub generated_password: Option<String>,
}

/// Why an account was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The address is taken.
    #[error("an account with the address `{0}` exists already")]
    EmailTaken(Email),
    /// There is no such account.
    #[error("there is no such account")]
    Unknown,
    /// The password may not be used.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        let detail = error.to_string();
        let at = |code, pointer| Self::of_fields(code, vec![FieldError::field(pointer, detail.as_str())]);
        match error {
            AccountError::EmailTaken(_) => at(Code::EmailTaken, "/email"),
            AccountError::Unknown => Self::not_found("account"),
            AccountError::Password(PasswordError::TooShort | PasswordError::TooLong) => {
                at(Code::InvalidFields, "/password")
            }
            AccountError::Password(error) => error.into(),
            AccountError::Store(error) => error.into(),
        }
    }
}

/// Makes an account with a workspace of its own.
///
/// # Errors
///
/// [`AccountError`] says why not; nothing is stored then.
pub async fn create_user(
    state: &ApiState,
    new: NewAccount,
    context: &ChangeContext,
) -> Result<CreatedAccount, AccountError> {
    let mut rng = state.random.fork();
    let generated_password = new.password.is_none().then(|| random_password(&mut rng));
    let password = new.password.or_else(|| generated_password.clone()).unwrap_or_default();
    let password_hash = state.passwords.hash(password, &mut rng).await?;
    let workspace = Workspace {
        id: WorkspaceId::generate(context.at, &mut rng),
        name: workspace_name(&new.email),
        created_at: context.at,
    };
    let user = NewUser {
        id: UserId::generate(context.at, &mut rng),
        email: new.email.clone(),
        password_hash,
        plan: new.plan,
        is_operator: new.is_operator,
    };
    match state.ports.users.insert(user, &workspace, context).await {
        Ok(user) => Ok(CreatedAccount { user, workspace, generated_password }),
        Err(StoreError::Conflict { constraint: "user_email" }) => Err(AccountError::EmailTaken(new.email)),
        Err(error) => Err(error.into()),
    }
}

/// Gives an account a new password and ends all its sessions.
///
/// # Errors
///
/// [`AccountError`] says why not; nothing changed then.
pub async fn set_password(
    state: &ApiState,
    email: &Email,
    password: String,
    context: &ChangeContext,
) -> Result<User, AccountError> {
    let (user, _) = state.ports.users.find_by_email(email).await?.ok_or(AccountError::Unknown)?;
    let mut rng = state.random.fork();
    let patch = UserPatch {
        password_hash: Some(state.passwords.hash(password, &mut rng).await?),
        ..UserPatch::default()
    };
    state.ports.users.update(user.id, &patch, context).await?.ok_or(AccountError::Unknown)
}

/// Returns the context of a change that the system itself makes, such as one from the command line.
pub fn system_context(state: &ApiState) -> ChangeContext {
    let at = state.clock.now();
    ChangeContext {
        audit_id: AuditId::generate(at, &mut state.random.fork()),
        user_id: None,
        key_id: None,
        request_id: None,
        at,
    }
}

/// Names a workspace after the part of the address before the `@`.
fn workspace_name(email: &Email) -> String {
    let local = email.as_str().rsplit_once('@').map_or(email.as_str(), |(local, _)| local);
    let mut name = String::new();
    for c in local.chars() {
        if name.len() + c.len_utf8() > WORKSPACE_NAME_LEN_MAX {
            break;
        }
        name.push(c);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspaces_are_named_after_people() {
        assert_eq!(workspace_name(&"ada@example.com".parse().expect("valid")), "ada");
        let long = format!("{}@example.com", "ü".repeat(80));
        assert_eq!(workspace_name(&long.parse().expect("valid")).len(), WORKSPACE_NAME_LEN_MAX);
    }
}
