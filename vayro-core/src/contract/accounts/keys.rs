//! Rules of [`crate::ports::KeyStore`].

use serde_json::Value;

use super::sample::{self, at, context, new_key, owner};
use crate::access::Scope;
use crate::account::{ApiKey, NewApiKey};
use crate::contract::stores::Stores;
use crate::ids::KeyId;
use crate::ports::StoreError;

/// What goes in comes out, with its account, and the hash stays out of the audit log.
pub async fn stored_key_is_found_by_hash(stores: &Stores) {
    let (user, workspace) = owner(stores, at(0)).await;
    let new = NewApiKey {
        scopes: Scope::ALL.to_vec(),
        expires_at: Some(at(1000)),
        name: "Käse, \"quoted\"".to_owned(),
        ..new_key(workspace.id, user.id, at(1))
    };
    let key = stores.keys.insert(new.clone(), &context(at(2))).await.expect("ok");
    let expected = ApiKey {
        id: new.id,
        workspace_id: workspace.id,
        user_id: user.id,
        name: new.name.clone(),
        prefix: new.prefix.clone(),
        scopes: new.scopes.clone(),
        expires_at: Some(at(1000)),
        last_used_at: None,
        revoked_at: None,
        created_at: at(2),
    };
    assert_eq!(key, expected);
    assert_eq!(stores.keys.find_by_hash(&new.hash).await.expect("ok"), Some((expected, user)));
    assert_eq!(stores.keys.find_by_hash(&sample::hash()).await.expect("ok"), None);
    let audit = sample::last_audit(stores, workspace.id).await;
    assert_eq!((audit.action.as_str(), audit.subject_id), ("key.create", key.id.to_string()));
    assert_eq!((audit.before, audit.after), (Value::Null, serde_json::to_value(&key).expect("JSON")));
}

/// Two keys cannot have one hash.
pub async fn taken_hash_is_a_conflict(stores: &Stores) {
    let (user, workspace) = owner(stores, at(0)).await;
    let first = new_key(workspace.id, user.id, at(1));
    let second = NewApiKey { hash: first.hash, ..new_key(workspace.id, user.id, at(1)) };
    stores.keys.insert(first, &context(at(1))).await.expect("ok");
    let result = stores.keys.insert(second, &context(at(1))).await;
    assert!(matches!(result, Err(StoreError::Conflict { constraint: "key_hash" })), "{result:?}");
    assert_eq!(stores.keys.list(workspace.id).await.expect("ok").len(), 1);
}

/// A list is the workspace's alone, newest first, revoked keys included.
pub async fn list_is_newest_first(stores: &Stores) {
    let (user, workspace) = owner(stores, at(0)).await;
    let (other, elsewhere) = owner(stores, at(0)).await;
    let mut ids = Vec::new();
    for second in [30, 10, 20] {
        let new = new_key(workspace.id, user.id, at(second));
        ids.push(stores.keys.insert(new, &context(at(second))).await.expect("ok").id);
    }
    let foreign = new_key(elsewhere.id, other.id, at(15));
    stores.keys.insert(foreign, &context(at(15))).await.expect("ok");
    stores.keys.revoke(workspace.id, ids[2], &context(at(40))).await.expect("ok");
    let list = stores.keys.list(workspace.id).await.expect("ok");
    assert_eq!(list.iter().map(|key| key.id).collect::<Vec<_>>(), [ids[0], ids[2], ids[1]]);
    assert_eq!(list[1].revoked_at, Some(at(40)));
}

/// Revoking is for good and counts once.
pub async fn revoking_twice_changes_nothing(stores: &Stores) {
    let (user, workspace) = owner(stores, at(0)).await;
    let new = new_key(workspace.id, user.id, at(1));
    let key = stores.keys.insert(new.clone(), &context(at(1))).await.expect("ok");
    let revoked = stores.keys.revoke(workspace.id, key.id, &context(at(2))).await.expect("ok");
    let expected = ApiKey { revoked_at: Some(at(2)), ..key.clone() };
    assert_eq!(revoked, Some(expected.clone()));
    let audit = sample::audit_of(stores, workspace.id).await;
    assert_eq!((audit[0].action.as_str(), audit[0].subject_id.clone()), ("key.revoke", key.id.to_string()));
    assert_eq!(audit[0].before, serde_json::to_value(&key).expect("JSON"));
    assert_eq!(audit[0].after, serde_json::to_value(&expected).expect("JSON"));
    let again = stores.keys.revoke(workspace.id, key.id, &context(at(3))).await.expect("ok");
    assert_eq!(again, Some(expected.clone()));
    assert_eq!(sample::audit_of(stores, workspace.id).await.len(), audit.len());
    let (found, _) = stores.keys.find_by_hash(&new.hash).await.expect("ok").expect("still there");
    assert_eq!(found, expected);
}

/// A workspace cannot revoke another one's keys.
pub async fn keys_of_others_cannot_be_revoked(stores: &Stores) {
    let (user, workspace) = owner(stores, at(0)).await;
    let (_, other) = owner(stores, at(0)).await;
    let key = stores.keys.insert(new_key(workspace.id, user.id, at(1)), &context(at(1))).await.expect("ok");
    assert_eq!(stores.keys.revoke(other.id, key.id, &context(at(2))).await.expect("ok"), None);
    assert_eq!(stores.keys.list(workspace.id).await.expect("ok"), [key]);
}

/// The last use moves forwards only; an unknown key is no error.
pub async fn last_use_never_moves_backwards(stores: &Stores) {
    let (user, workspace) = owner(stores, at(0)).await;
    let key = stores.keys.insert(new_key(workspace.id, user.id, at(1)), &context(at(1))).await.expect("ok");
    for (used, expected) in [(20, 20), (10, 20), (30, 30)] {
        stores.keys.touch(key.id, at(used)).await.expect("ok");
        let list = stores.keys.list(workspace.id).await.expect("ok");
        assert_eq!(list[0].last_used_at, Some(at(expected)));
    }
    stores.keys.touch(KeyId::from_parts(at(0), [9; 10]), at(1)).await.expect("ok");
}

/// Makes one test per rule of [`crate::ports::KeyStore`].
#[macro_export]
macro_rules! key_store_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            accounts::keys,
            [
                stored_key_is_found_by_hash,
                taken_hash_is_a_conflict,
                list_is_newest_first,
                revoking_twice_changes_nothing,
                keys_of_others_cannot_be_revoked,
                last_use_never_moves_backwards,
            ]
        );
    };
}
