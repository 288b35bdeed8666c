//! Rules of [`crate::ports::UserStore`].

use super::sample::{self, at, context, new_user, owner};
use crate::access::Role;
use crate::account::{Plan, UserPatch};
use crate::contract::stores::{Stores, join_all};
use crate::ports::StoreError;

/// What goes in comes out, with times to the microsecond.
pub async fn stored_account_is_found(stores: &Stores) {
    let mut new = new_user(at(0));
    new.plan = Plan::Pro;
    new.is_operator = true;
    let user =
        stores.users.insert(new.clone(), &sample::workspace(at(0)), &context(at(1))).await.expect("ok");
    assert_eq!((user.id, &user.email, user.plan, user.is_operator), (new.id, &new.email, Plan::Pro, true));
    assert_eq!((user.created_at, user.disabled_at), (at(1), None));
    assert_eq!(stores.users.find(new.id).await.expect("ok"), Some(user.clone()));
    let (found, hash) = stores.users.find_by_email(&new.email).await.expect("ok").expect("there");
    assert_eq!((found, hash), (user, new.password_hash));
}

/// Nobody is nobody.
pub async fn unknown_account_is_none(stores: &Stores) {
    assert_eq!(stores.users.find(sample::user_id(at(0))).await.expect("ok"), None);
    let email = "nobody@example.com".parse().expect("valid");
    assert!(stores.users.find_by_email(&email).await.expect("ok").is_none());
    let patch = UserPatch { plan: Some(Plan::Pro), ..UserPatch::default() };
    let updated = stores.users.update(sample::user_id(at(0)), &patch, &context(at(0))).await;
    assert_eq!(updated.expect("ok"), None);
}

/// A new account owns its own workspace, and its making is in that workspace's audit log.
pub async fn new_account_owns_its_workspace(stores: &Stores) {
    let (user, workspace) = owner(stores, at(0)).await;
    assert_eq!(stores.workspaces.find(workspace.id).await.expect("ok"), Some(workspace.clone()));
    let role = stores.workspaces.role(workspace.id, user.id).await.expect("ok");
    assert_eq!(role, Some(Role::Owner));
    let audit = sample::audit_of(stores, workspace.id).await;
    assert_eq!(audit.len(), 1);
    assert_eq!((audit[0].action.as_str(), audit[0].subject_id.clone()), ("user.create", user.id.to_string()));
    assert_eq!(audit[0].before, serde_json::Value::Null);
    assert_eq!(audit[0].after, serde_json::to_value(&user).expect("JSON"));
}

/// A taken address is a conflict that leaves nothing behind.
pub async fn taken_address_is_a_conflict(stores: &Stores) {
    let (user, _) = owner(stores, at(0)).await;
    let mut new = new_user(at(1));
    new.email = user.email.clone();
    let workspace = sample::workspace(at(1));
    let result = stores.users.insert(new.clone(), &workspace, &context(at(1))).await;
    assert!(matches!(result, Err(StoreError::Conflict { constraint: "user_email" })), "{result:?}");
    assert_eq!(stores.users.find(new.id).await.expect("ok"), None);
    assert_eq!(stores.workspaces.find(workspace.id).await.expect("ok"), None);
    assert_eq!(stores.users.count().await.expect("ok"), 1);
}

/// Of two at once with the same address, one is stored.
pub async fn address_is_given_once_to_two_at_once(stores: &Stores) {
    let first = new_user(at(0));
    let mut second = new_user(at(0));
    second.email = first.email.clone();
    let (one, two) = (sample::workspace(at(0)), sample::workspace(at(0)));
    let (context_one, context_two) = (context(at(0)), context(at(0)));
    let results = join_all([
        stores.users.insert(first, &one, &context_one),
        stores.users.insert(second, &two, &context_two),
    ])
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    let refused = results.into_iter().find_map(Result::err);
    assert!(matches!(refused, Some(StoreError::Conflict { constraint: "user_email" })), "{refused:?}");
}

/// A list is by creation and ends where it is told to.
pub async fn list_is_by_creation_and_bounded(stores: &Stores) {
    let (third, _) = owner(stores, at(3)).await;
    let (first, _) = owner(stores, at(1)).await;
    let (second, _) = owner(stores, at(2)).await;
    assert_eq!(stores.users.list(10).await.expect("ok"), [first.clone(), second.clone(), third]);
    assert_eq!(stores.users.list(2).await.expect("ok"), [first, second]);
    assert_eq!(stores.users.count().await.expect("ok"), 3);
}

/// A patch changes what it names and nothing else.
pub async fn update_changes_what_it_names(stores: &Stores) {
    let (user, _) = owner(stores, at(0)).await;
    let (other, _) = owner(stores, at(0)).await;
    let patch = UserPatch { plan: Some(Plan::Enterprise), ..UserPatch::default() };
    let paid = stores.users.update(user.id, &patch, &context(at(1))).await.expect("ok").expect("there");
    assert_eq!(paid, crate::account::User { plan: Plan::Enterprise, ..user.clone() });
    let patch = UserPatch { is_operator: Some(true), ..UserPatch::default() };
    let operator = stores.users.update(user.id, &patch, &context(at(2))).await.expect("ok").expect("there");
    assert_eq!(operator, crate::account::User { is_operator: true, ..paid });
    assert_eq!(stores.users.find(user.id).await.expect("ok"), Some(operator));
    assert_eq!(stores.users.find(other.id).await.expect("ok"), Some(other));
}

/// Switching off remembers since when, even if done twice; switching on forgets it.
pub async fn disabling_remembers_since_when(stores: &Stores) {
    let (user, _) = owner(stores, at(0)).await;
    let off = UserPatch { is_disabled: Some(true), ..UserPatch::default() };
    for second in [5, 9] {
        let off = stores.users.update(user.id, &off, &context(at(second))).await.expect("ok").expect("there");
        assert_eq!(off.disabled_at, Some(at(5)));
    }
    let on = UserPatch { is_disabled: Some(false), ..UserPatch::default() };
    let on = stores.users.update(user.id, &on, &context(at(10))).await.expect("ok").expect("there");
    assert_eq!(on.disabled_at, None);
}

/// A new password ends every session of that account and of no other.
pub async fn new_password_ends_sessions(stores: &Stores) {
    let patch = UserPatch { password_hash: Some("$argon2id$new".to_owned()), ..UserPatch::default() };
    let user = sessions_end_with(stores, &patch).await;
    let (_, hash) = stores.users.find_by_email(&user.email).await.expect("ok").expect("there");
    assert_eq!(hash, "$argon2id$new");
}

/// Switching an account off ends every session of it and of no other.
pub async fn disabling_ends_sessions(stores: &Stores) {
    let patch = UserPatch { is_disabled: Some(true), ..UserPatch::default() };
    sessions_end_with(stores, &patch).await;
}

async fn sessions_end_with(stores: &Stores, patch: &UserPatch) -> crate::account::User {
    let (user, _) = owner(stores, at(0)).await;
    let (other, _) = owner(stores, at(0)).await;
    let harmless = UserPatch { plan: Some(Plan::Pro), is_operator: Some(true), ..UserPatch::default() };
    for user in [user.id, user.id, other.id] {
        stores.sessions.insert(sample::new_session(user, at(0), at(1000))).await.expect("ok");
    }
    stores.users.update(user.id, &harmless, &context(at(1))).await.expect("ok");
    assert_eq!(stores.sessions.list(user.id, at(2)).await.expect("ok").len(), 2);
    stores.users.update(user.id, patch, &context(at(2))).await.expect("ok");
    assert_eq!(stores.sessions.list(user.id, at(2)).await.expect("ok"), []);
    assert_eq!(stores.sessions.list(other.id, at(2)).await.expect("ok").len(), 1);
    user
}

/// A change of an account is audited, and stays undone if it cannot be.
pub async fn change_and_audit_entry_are_stored_together(stores: &Stores) {
    let (user, _) = owner(stores, at(0)).await;
    let once = context(at(1));
    let patch = UserPatch { plan: Some(Plan::Pro), ..UserPatch::default() };
    stores.users.update(user.id, &patch, &once).await.expect("ok");
    assert!(sample::is_audited(stores, &once).await);
    let patch = UserPatch {
        plan: Some(Plan::Enterprise),
        password_hash: Some("other".to_owned()),
        ..UserPatch::default()
    };
    let again = stores.users.update(user.id, &patch, &once).await;
    assert!(matches!(again, Err(StoreError::Internal(_))), "{again:?}");
    let (kept, hash) = stores.users.find_by_email(&user.email).await.expect("ok").expect("there");
    assert_eq!(kept.plan, Plan::Pro);
    assert_ne!(hash, "other");
}

/// An update that changes nothing is not audited.
pub async fn update_to_the_same_is_no_change(stores: &Stores) {
    let (user, _) = owner(stores, at(0)).await;
    let same = UserPatch { plan: Some(Plan::Free), is_operator: Some(false), ..UserPatch::default() };
    for patch in [UserPatch::default(), same] {
        let context = context(at(1));
        let kept = stores.users.update(user.id, &patch, &context).await.expect("ok");
        assert_eq!(kept, Some(user.clone()));
        assert!(!sample::is_audited(stores, &context).await);
    }
}

/// Makes one test per rule of [`crate::ports::UserStore`].
#[macro_export]
macro_rules! user_store_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            accounts::users,
            [
                stored_account_is_found,
                unknown_account_is_none,
                new_account_owns_its_workspace,
                taken_address_is_a_conflict,
                address_is_given_once_to_two_at_once,
                list_is_by_creation_and_bounded,
                update_changes_what_it_names,
                disabling_remembers_since_when,
                new_password_ends_sessions,
                disabling_ends_sessions,
                change_and_audit_entry_are_stored_together,
                update_to_the_same_is_no_change,
            ]
        );
    };
}
