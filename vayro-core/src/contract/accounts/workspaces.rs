//! Rules of [`crate::ports::WorkspaceStore`].

use serde_json::Value;

use super::sample::{self, at, context, owner};
use crate::access::Role;
use crate::account::{MemberChange, Plan, User, UserPatch, Workspace};
use crate::contract::stores::{Stores, join_all};
use crate::ports::StoreError;

/// What goes in comes out, owned by whom it says.
pub async fn stored_workspace_is_found(stores: &Stores) {
    let (user, first) = owner(stores, at(0)).await;
    let second = sample::workspace(at(1));
    stores.workspaces.insert(&second, user.id, &context(at(1))).await.expect("ok");
    assert_eq!(stores.workspaces.find(second.id).await.expect("ok"), Some(second.clone()));
    assert_eq!(stores.workspaces.role(second.id, user.id).await.expect("ok"), Some(Role::Owner));
    let audit = sample::last_audit(stores, second.id).await;
    assert_eq!((audit.action.as_str(), audit.subject_id), ("workspace.create", second.id.to_string()));
    assert_eq!((audit.before, audit.after), (Value::Null, serde_json::to_value(&second).expect("JSON")));
    assert_eq!(sample::audit_of(stores, first.id).await.len(), 1);
}

/// Nothing is nothing.
pub async fn unknown_workspace_is_none(stores: &Stores) {
    let (user, _) = owner(stores, at(0)).await;
    let unknown = sample::workspace_id(at(0));
    assert_eq!(stores.workspaces.find(unknown).await.expect("ok"), None);
    assert_eq!(stores.workspaces.role(unknown, user.id).await.expect("ok"), None);
    assert_eq!(stores.workspaces.plan(unknown).await.expect("ok"), None);
    assert_eq!(stores.workspaces.members(unknown).await.expect("ok"), []);
    assert_eq!(stores.workspaces.rename(unknown, "X", &context(at(0))).await.expect("ok"), None);
    let removed = stores.workspaces.remove_member(unknown, user.id, &context(at(0))).await;
    assert_eq!(removed.expect("ok"), MemberChange::Missing);
    let set = stores.workspaces.set_member(unknown, user.id, Role::Member, &context(at(0))).await;
    assert_eq!(set.expect("ok"), MemberChange::Missing);
}

/// An account sees its own workspaces only, oldest first, with its role in each.
pub async fn workspaces_of_an_account_are_oldest_first(stores: &Stores) {
    let (user, third) = owner(stores, at(30)).await;
    let (_, first) = owner(stores, at(10)).await;
    owner(stores, at(15)).await;
    let second = sample::workspace(at(20));
    stores.workspaces.insert(&second, user.id, &context(at(40))).await.expect("ok");
    set(stores, &first, &user, Role::Viewer, 50).await;
    let list = stores.workspaces.list_for_user(user.id).await.expect("ok");
    assert_eq!(list, [(first, Role::Viewer), (second, Role::Owner), (third, Role::Owner)]);
}

/// Renaming changes the name, is audited, and is no change if the name is the same.
pub async fn rename_changes_the_name(stores: &Stores) {
    let (_, workspace) = owner(stores, at(0)).await;
    let renamed = stores.workspaces.rename(workspace.id, "Süß & <b>", &context(at(1))).await.expect("ok");
    let expected = Workspace { name: "Süß & <b>".to_owned(), ..workspace.clone() };
    assert_eq!(renamed, Some(expected.clone()));
    assert_eq!(stores.workspaces.find(workspace.id).await.expect("ok"), Some(expected.clone()));
    let audit = sample::last_audit(stores, workspace.id).await;
    assert_eq!((audit.action.as_str(), audit.subject_id), ("workspace.update", workspace.id.to_string()));
    assert_eq!(audit.before, serde_json::to_value(&workspace).expect("JSON"));
    assert_eq!(audit.after, serde_json::to_value(&expected).expect("JSON"));
    let entries = sample::audit_of(stores, workspace.id).await.len();
    let same = stores.workspaces.rename(workspace.id, "Süß & <b>", &context(at(2))).await.expect("ok");
    assert_eq!(same, Some(expected));
    assert_eq!(sample::audit_of(stores, workspace.id).await.len(), entries);
}

/// A rename whose audit entry cannot be stored is not made.
pub async fn change_and_audit_entry_are_stored_together(stores: &Stores) {
    let (_, workspace) = owner(stores, at(0)).await;
    let once = context(at(1));
    stores.workspaces.rename(workspace.id, "Once", &once).await.expect("ok");
    let again = stores.workspaces.rename(workspace.id, "Twice", &once).await;
    assert!(matches!(again, Err(StoreError::Internal(_))), "{again:?}");
    let kept = stores.workspaces.find(workspace.id).await.expect("ok").expect("there");
    assert_eq!(kept.name, "Once");
}

/// Members are listed oldest first; a changed role does not move them.
pub async fn members_are_oldest_first(stores: &Stores) {
    let (user, workspace) = owner(stores, at(0)).await;
    let (later, _) = owner(stores, at(1)).await;
    let (earlier, _) = owner(stores, at(2)).await;
    set(stores, &workspace, &earlier, Role::Viewer, 10).await;
    set(stores, &workspace, &later, Role::Admin, 20).await;
    set(stores, &workspace, &earlier, Role::Member, 30).await;
    let members = stores.workspaces.members(workspace.id).await.expect("ok");
    let listed: Vec<_> = members.iter().map(|m| (m.user_id, &m.email, m.role, m.created_at)).collect();
    assert_eq!(
        listed,
        [
            (user.id, &user.email, Role::Owner, at(0)),
            (earlier.id, &earlier.email, Role::Member, at(10)),
            (later.id, &later.email, Role::Admin, at(20)),
        ]
    );
}

/// Adding, changing and removing members is audited; setting the same role again is no change.
pub async fn member_changes_are_audited(stores: &Stores) {
    let (_, workspace) = owner(stores, at(0)).await;
    let (user, _) = owner(stores, at(0)).await;
    for (second, role, entries) in [(1, Role::Viewer, 2), (2, Role::Viewer, 2), (3, Role::Admin, 3)] {
        set(stores, &workspace, &user, role, second).await;
        assert_eq!(sample::audit_of(stores, workspace.id).await.len(), entries);
    }
    let audit = sample::last_audit(stores, workspace.id).await;
    assert_eq!((audit.action.as_str(), audit.subject_id), ("member.set", user.id.to_string()));
    assert_eq!((&audit.before["role"], &audit.after["role"]), (&"viewer".into(), &"admin".into()));
    let done = stores.workspaces.remove_member(workspace.id, user.id, &context(at(9))).await;
    assert_eq!(done.expect("ok"), MemberChange::Done);
    let audit = sample::last_audit(stores, workspace.id).await;
    assert_eq!((audit.action.as_str(), audit.subject_id), ("member.remove", user.id.to_string()));
    assert_eq!((&audit.before["role"], audit.after), (&"admin".into(), Value::Null));
}

/// Who does not exist cannot become a member, who is none cannot be removed.
pub async fn unknown_member_is_missing(stores: &Stores) {
    let (_, workspace) = owner(stores, at(0)).await;
    let (stranger, _) = owner(stores, at(0)).await;
    let nobody = sample::user_id(at(0));
    let set = stores.workspaces.set_member(workspace.id, nobody, Role::Member, &context(at(1))).await;
    assert_eq!(set.expect("ok"), MemberChange::Missing);
    let removed = stores.workspaces.remove_member(workspace.id, stranger.id, &context(at(1))).await;
    assert_eq!(removed.expect("ok"), MemberChange::Missing);
    assert_eq!(sample::audit_of(stores, workspace.id).await.len(), 1);
}

/// The last owner stays one; with a second one either may go.
pub async fn last_owner_stays(stores: &Stores) {
    let (first, workspace) = owner(stores, at(0)).await;
    let (second, _) = owner(stores, at(0)).await;
    set(stores, &workspace, &second, Role::Admin, 1).await;
    let removed = stores.workspaces.remove_member(workspace.id, first.id, &context(at(2))).await;
    assert_eq!(removed.expect("ok"), MemberChange::LastOwner);
    let lowered = stores.workspaces.set_member(workspace.id, first.id, Role::Admin, &context(at(2))).await;
    assert_eq!(lowered.expect("ok"), MemberChange::LastOwner);
    assert_eq!(stores.workspaces.role(workspace.id, first.id).await.expect("ok"), Some(Role::Owner));
    set(stores, &workspace, &second, Role::Owner, 3).await;
    let removed = stores.workspaces.remove_member(workspace.id, first.id, &context(at(4))).await;
    assert_eq!(removed.expect("ok"), MemberChange::Done);
    assert_eq!(stores.workspaces.role(workspace.id, first.id).await.expect("ok"), None);
}

/// Two owners who remove each other at once leave one of them.
pub async fn two_owners_cannot_remove_each_other(stores: &Stores) {
    let (first, workspace) = owner(stores, at(0)).await;
    let (second, _) = owner(stores, at(0)).await;
    set(stores, &workspace, &second, Role::Owner, 1).await;
    let (one, two) = (context(at(2)), context(at(2)));
    let results = join_all([
        stores.workspaces.remove_member(workspace.id, first.id, &one),
        stores.workspaces.remove_member(workspace.id, second.id, &two),
    ])
    .await;
    let done = results.iter().filter(|result| matches!(result, Ok(MemberChange::Done))).count();
    let refused = results.iter().filter(|result| matches!(result, Ok(MemberChange::LastOwner))).count();
    assert_eq!((done, refused), (1, 1), "{results:?}");
    assert_eq!(stores.workspaces.members(workspace.id).await.expect("ok").len(), 1);
}

/// Who leaves loses the API keys of that workspace, and only those.
pub async fn leaving_revokes_keys(stores: &Stores) {
    let (boss, workspace) = owner(stores, at(0)).await;
    let (user, own) = owner(stores, at(0)).await;
    set(stores, &workspace, &user, Role::Member, 1).await;
    let key = |workspace, user| sample::new_key(workspace, user, at(2));
    let bosses = stores.keys.insert(key(workspace.id, boss.id), &context(at(2))).await.expect("ok");
    let theirs = stores.keys.insert(key(workspace.id, user.id), &context(at(2))).await.expect("ok");
    let old = stores.keys.insert(key(workspace.id, user.id), &context(at(2))).await.expect("ok");
    let elsewhere = stores.keys.insert(key(own.id, user.id), &context(at(2))).await.expect("ok");
    stores.keys.revoke(workspace.id, old.id, &context(at(3))).await.expect("ok");
    stores.workspaces.remove_member(workspace.id, user.id, &context(at(4))).await.expect("ok");
    let keys = stores.keys.list(workspace.id).await.expect("ok");
    let revoked = |id| keys.iter().find(|key| key.id == id).expect("listed").revoked_at;
    assert_eq!((revoked(bosses.id), revoked(theirs.id), revoked(old.id)), (None, Some(at(4)), Some(at(3))));
    assert_eq!(stores.keys.list(own.id).await.expect("ok"), [elsewhere]);
}

/// The plan is that of the oldest owner.
pub async fn plan_is_the_oldest_owners(stores: &Stores) {
    let (first, workspace) = owner(stores, at(0)).await;
    let (second, _) = owner(stores, at(0)).await;
    let (viewer, _) = owner(stores, at(0)).await;
    for (user, plan) in [(&second, Plan::Enterprise), (&viewer, Plan::Pro)] {
        let patch = UserPatch { plan: Some(plan), ..UserPatch::default() };
        stores.users.update(user.id, &patch, &context(at(1))).await.expect("ok");
    }
    set(stores, &workspace, &viewer, Role::Admin, 2).await;
    set(stores, &workspace, &second, Role::Owner, 3).await;
    assert_eq!(stores.workspaces.plan(workspace.id).await.expect("ok"), Some(Plan::Free));
    stores.workspaces.remove_member(workspace.id, first.id, &context(at(4))).await.expect("ok");
    assert_eq!(stores.workspaces.plan(workspace.id).await.expect("ok"), Some(Plan::Enterprise));
}

async fn set(stores: &Stores, workspace: &Workspace, user: &User, role: Role, second: i64) {
    let change = stores.workspaces.set_member(workspace.id, user.id, role, &context(at(second))).await;
    assert_eq!(change.expect("ok"), MemberChange::Done);
}

/// Makes one test per rule of [`crate::ports::WorkspaceStore`].
#[macro_export]
macro_rules! workspace_store_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            accounts::workspaces,
            [
                stored_workspace_is_found,
                unknown_workspace_is_none,
                workspaces_of_an_account_are_oldest_first,
                rename_changes_the_name,
                change_and_audit_entry_are_stored_together,
                members_are_oldest_first,
                member_changes_are_audited,
                unknown_member_is_missing,
                last_owner_stays,
                two_owners_cannot_remove_each_other,
                leaving_revokes_keys,
                plan_is_the_oldest_owners,
            ]
        );
    };
}
