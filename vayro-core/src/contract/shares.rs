//! Rules of [`ShareStore`](crate::ports::ShareStore).
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use serde_json::Value;

use super::stores::{Owner, Stores, at, fresh_uuid};
use crate::ids::{LinkId, ShareId};
use crate::ports::StoreError;
use crate::share::{NewShare, Share};

/// Generates one test per rule; `$fixture` is a future of a value with a field `stores`.
#[macro_export]
macro_rules! share_store_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            shares,
            [
                a_stored_share_is_found_by_its_hash,
                a_taken_hash_is_a_conflict,
                a_list_is_the_workspaces_own_newest_first,
                revoking_twice_changes_nothing,
                only_the_workspace_revokes,
                a_share_goes_with_its_link,
            ]
        );
    };
}

fn new_share(owner: &Owner, link_id: Option<LinkId>) -> NewShare {
    let id = fresh_uuid();
    let mut hash = [7; 32];
    hash[..16].copy_from_slice(id.as_bytes());
    NewShare {
        id: ShareId::from_uuid(id),
        workspace_id: owner.workspace_id,
        link_id,
        user_id: owner.user_id,
        name: "for the board".to_owned(),
        prefix: "abcdefgh".to_owned(),
        hash,
        password_hash: None,
        expires_at: None,
    }
}

async fn insert(stores: &Stores, owner: &Owner, new: NewShare, second: i64) -> Share {
    stores.shares.insert(new, &owner.context(at(second))).await.expect("a new share is stored")
}

/// What goes in comes out; hashes are neither in the share nor in the audit log.
pub async fn a_stored_share_is_found_by_its_hash(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let link = stores.link(&owner, "launch").await;
    let hash = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA".to_owned();
    let new = NewShare {
        password_hash: Some(hash.clone()),
        expires_at: Some(at(1000)),
        ..new_share(&owner, Some(link.id))
    };
    let share = insert(stores, &owner, new.clone(), 5).await;
    let expected = Share {
        id: new.id,
        workspace_id: owner.workspace_id,
        link_id: Some(link.id),
        user_id: owner.user_id,
        name: new.name.clone(),
        prefix: new.prefix.clone(),
        has_password: true,
        expires_at: Some(at(1000)),
        revoked_at: None,
        created_at: at(5),
    };
    assert_eq!(share, expected);
    let found = stores.shares.find_by_hash(&new.hash).await.expect("the database answers");
    assert_eq!(found, Some((expected, Some(hash.clone()))));
    let whole = insert(stores, &owner, new_share(&owner, None), 6).await;
    assert_eq!((whole.link_id, whole.has_password, whole.expires_at), (None, false, None));
    assert_eq!(stores.shares.find_by_hash(&[1; 32]).await.expect("the database answers"), None);
    let audit = &stores.audit_of(&owner, &share.id.to_string()).await[0];
    assert_eq!(audit.action, "share.create");
    assert_eq!((&audit.before, &audit.after), (&Value::Null, &serde_json::to_value(&share).expect("JSON")));
    assert!(!audit.after.to_string().contains(&hash), "{audit:?}");
}

/// Two tokens cannot have one hash.
pub async fn a_taken_hash_is_a_conflict(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let first = new_share(&owner, None);
    let second = NewShare { hash: first.hash, ..new_share(&owner, None) };
    insert(stores, &owner, first, 1).await;
    let result = stores.shares.insert(second, &owner.context(at(2))).await;
    assert!(matches!(result, Err(StoreError::Conflict { constraint: "share_hash" })), "{result:?}");
}

/// Revoked ones are listed and not counted.
pub async fn a_list_is_the_workspaces_own_newest_first(stores: &Stores) {
    let (ada, eve) = (stores.owner("ada").await, stores.owner("eve").await);
    let mut ids = Vec::new();
    for second in [30, 10, 20] {
        ids.push(insert(stores, &ada, new_share(&ada, None), second).await.id);
    }
    insert(stores, &eve, new_share(&eve, None), 15).await;
    stores.shares.revoke(ada.workspace_id, ids[2], &ada.context(at(40))).await.expect("an answer");
    let list = async |max| stores.shares.list(ada.workspace_id, max).await.expect("the database answers");
    let listed = list(100).await;
    assert_eq!(listed.iter().map(|share| share.id).collect::<Vec<_>>(), [ids[0], ids[2], ids[1]]);
    assert_eq!(listed[1].revoked_at, Some(at(40)));
    assert_eq!(list(1).await.len(), 1);
    assert_eq!(stores.shares.count(ada.workspace_id).await.expect("the database answers"), 2);
}

/// Revoking is for good and is written down once.
pub async fn revoking_twice_changes_nothing(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let new = new_share(&owner, None);
    let share = insert(stores, &owner, new.clone(), 1).await;
    for second in [2, 3] {
        let context = owner.context(at(second));
        let revoked = stores.shares.revoke(owner.workspace_id, share.id, &context).await;
        let expected = Share { revoked_at: Some(at(2)), ..share.clone() };
        assert_eq!(revoked.expect("the database answers"), Some(expected.clone()));
        let found = stores.shares.find_by_hash(&new.hash).await.expect("the database answers");
        assert_eq!(found, Some((expected, None)));
    }
    let actions: Vec<String> =
        stores.audit_of(&owner, &share.id.to_string()).await.into_iter().map(|entry| entry.action).collect();
    assert_eq!(actions, ["share.revoke", "share.create"]);
}

/// Nobody else's shares can be touched, and unknown ones are not there.
pub async fn only_the_workspace_revokes(stores: &Stores) {
    let (ada, eve) = (stores.owner("ada").await, stores.owner("eve").await);
    let share = insert(stores, &ada, new_share(&ada, None), 1).await;
    for (owner, id) in [(&eve, share.id), (&ada, ShareId::from_uuid(fresh_uuid()))] {
        let result = stores.shares.revoke(owner.workspace_id, id, &owner.context(at(2))).await;
        assert_eq!(result.expect("the database answers"), None);
    }
    assert_eq!(stores.shares.list(ada.workspace_id, 10).await.expect("an answer"), [share]);
}

/// A deleted link can be restored, a purged one cannot.
pub async fn a_share_goes_with_its_link(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let link = stores.link(&owner, "launch").await;
    let new = new_share(&owner, Some(link.id));
    insert(stores, &owner, new.clone(), 1).await;
    let deleted = stores.links.delete(owner.workspace_id, link.id, None, &owner.context(at(2))).await;
    assert!(deleted.is_ok(), "{deleted:?}");
    let found = async || stores.shares.find_by_hash(&new.hash).await.expect("the database answers");
    assert!(found().await.is_some());
    stores.links.purge_deleted(at(3), 10).await.expect("the database answers");
    assert_eq!(found().await, None);
}
