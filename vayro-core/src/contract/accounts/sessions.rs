//! Rules of [`crate::ports::SessionStore`].

use super::sample::{self, at, context, new_session, owner};
use crate::account::{Session, UserPatch};
use crate::contract::stores::Stores;
use crate::ids::SessionId;

/// What goes in comes out, with its account as it is now.
pub async fn stored_session_is_found_by_hash(stores: &Stores) {
    let (user, _) = owner(stores, at(0)).await;
    let new = new_session(user.id, at(1), at(100));
    stores.sessions.insert(new.clone()).await.expect("ok");
    let found = stores.sessions.find_by_hash(&new.hash).await.expect("ok");
    assert_eq!(found, Some((new.session.clone(), user.clone())));
    assert_eq!(stores.sessions.find_by_hash(&sample::hash()).await.expect("ok"), None);
    let patch = UserPatch { is_operator: Some(true), ..UserPatch::default() };
    let changed = stores.users.update(user.id, &patch, &context(at(2))).await.expect("ok").expect("there");
    let found = stores.sessions.find_by_hash(&new.hash).await.expect("ok");
    assert_eq!(found, Some((new.session, changed)));
}

/// A list is the account's alone, newest first, without what has expired.
pub async fn list_is_newest_first_and_alive(stores: &Stores) {
    let (user, _) = owner(stores, at(0)).await;
    let (other, _) = owner(stores, at(0)).await;
    let old = new_session(user.id, at(1), at(200));
    let new = new_session(user.id, at(3), at(200));
    let ended = new_session(user.id, at(2), at(100));
    let foreign = new_session(other.id, at(2), at(200));
    for session in [&old, &new, &ended, &foreign] {
        stores.sessions.insert(session.clone()).await.expect("ok");
    }
    let listed = stores.sessions.list(user.id, at(100)).await.expect("ok");
    assert_eq!(listed, [new.session.clone(), old.session.clone()]);
    let listed = stores.sessions.list(user.id, at(99)).await.expect("ok");
    assert_eq!(listed, [new.session, ended.session.clone(), old.session]);
    let found = stores.sessions.find_by_hash(&ended.hash).await.expect("ok").expect("expired ones too");
    assert_eq!(found.0, ended.session);
}

/// Use moves both instants, of that session only.
pub async fn use_moves_the_end(stores: &Stores) {
    let (user, _) = owner(stores, at(0)).await;
    let busy = new_session(user.id, at(2), at(100));
    let idle = new_session(user.id, at(1), at(100));
    for session in [&busy, &idle] {
        stores.sessions.insert(session.clone()).await.expect("ok");
    }
    stores.sessions.touch(busy.session.id, at(50), at(150)).await.expect("ok");
    let expected = Session { last_used_at: at(50), expires_at: at(150), ..busy.session };
    assert_eq!(stores.sessions.list(user.id, at(60)).await.expect("ok"), [expected, idle.session]);
    stores
        .sessions
        .touch(SessionId::from_parts(at(0), [9; 10]), at(1), at(2))
        .await
        .expect("unknown is fine");
}

/// An account ends its own sessions and nobody else's.
pub async fn only_own_sessions_can_be_ended(stores: &Stores) {
    let (user, _) = owner(stores, at(0)).await;
    let (other, _) = owner(stores, at(0)).await;
    let session = new_session(user.id, at(1), at(100));
    stores.sessions.insert(session.clone()).await.expect("ok");
    assert!(!stores.sessions.delete(other.id, session.session.id).await.expect("ok"));
    assert!(stores.sessions.find_by_hash(&session.hash).await.expect("ok").is_some());
    assert!(stores.sessions.delete(user.id, session.session.id).await.expect("ok"));
    assert!(stores.sessions.find_by_hash(&session.hash).await.expect("ok").is_none());
    assert!(!stores.sessions.delete(user.id, session.session.id).await.expect("ok"));
}

/// Clearing up takes what has expired and nothing else.
pub async fn expired_sessions_are_removed(stores: &Stores) {
    let (user, _) = owner(stores, at(0)).await;
    let alive = new_session(user.id, at(1), at(101));
    stores.sessions.insert(alive.clone()).await.expect("ok");
    for end in [98, 99] {
        stores.sessions.insert(new_session(user.id, at(1), at(end))).await.expect("ok");
    }
    assert_eq!(stores.sessions.delete_expired(at(100)).await.expect("ok"), 2);
    assert_eq!(stores.sessions.delete_expired(at(100)).await.expect("ok"), 0);
    assert_eq!(stores.sessions.list(user.id, at(0)).await.expect("ok"), [alive.session]);
}

/// Makes one test per rule of [`crate::ports::SessionStore`].
#[macro_export]
macro_rules! session_store_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            accounts::sessions,
            [
                stored_session_is_found_by_hash,
                list_is_newest_first_and_alive,
                use_moves_the_end,
                only_own_sessions_can_be_ended,
                expired_sessions_are_removed,
            ]
        );
    };
}
