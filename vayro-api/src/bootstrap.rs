//! The first account of a new instance.

use vayro_core::access::Scope;
use vayro_core::account::{Email, NewApiKey, Plan, User, Workspace};
use vayro_core::ids::KeyId;

use crate::accounts::{AccountError, NewAccount, create_user, system_context};
use crate::auth::{ApiKeySecret, hash};
use crate::state::ApiState;

/// Name of the API key made with the first account.
const KEY_NAME: &str = "first key";

/// The first account with its secrets, which are kept nowhere else.
pub struct FirstAccount {
    /// The account; it operates the instance.
    pub user: User,
    /// Its workspace.
    pub workspace: Workspace,
    /// Its password.
    pub password: String,
    /// An API key with every scope.
    pub api_key: String,
}

/// Makes the first account and an API key for it; `None` if the instance has an account already.
///
/// # Errors
///
/// [`AccountError`] when the database refuses or is away. A key that cannot be stored leaves the account
/// behind, whose password can be set anew on the command line.
pub async fn bootstrap(state: &ApiState, email: Email) -> Result<Option<FirstAccount>, AccountError> {
    if state.ports.users.count().await? > 0 {
        return Ok(None);
    }
    let mut rng = state.random.fork();
    let new = NewAccount { email, password: None, plan: Plan::Free, is_operator: true };
    let created = match create_user(state, new, &system_context(state)).await {
        // Another process was quicker.
        Err(AccountError::EmailTaken(_)) => return Ok(None),
        other => other?,
    };
    let context = system_context(state);
    let secret = ApiKeySecret::generate(&mut rng);
    let key = NewApiKey {
        id: KeyId::generate(context.at, &mut rng),
        workspace_id: created.workspace.id,
        user_id: created.user.id,
        name: KEY_NAME.to_owned(),
        prefix: secret.prefix,
        hash: hash(&secret.text),
        scopes: Scope::ALL.to_vec(),
        expires_at: None,
    };
    state.ports.keys.insert(key, &context).await?;
    Ok(Some(FirstAccount {
        user: created.user,
        workspace: created.workspace,
        password: created.generated_password.unwrap_or_default(),
        api_key: secret.text,
    }))
}
