//! Things for the suites to store: distinct by construction, the same in every run.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::account::{Domain, NewApiKey, NewSession, NewUser, Plan, Session, User, Workspace};
use crate::change::{AuditEntry, AuditFilter, ChangeContext};
use crate::contract::stores::Stores;
use crate::ids::{AuditId, DomainId, KeyId, SessionId, UserId, WorkspaceId};
use crate::page::PageSize;
use crate::timestamp::Timestamp;

/// 2026-05-01T12:00:00Z in microseconds.
const NOON: i64 = 1_777_636_800_000_000;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Returns a number that no other call of this process returned; later calls return larger ones.
pub fn unique() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Returns the instant `seconds` after a fixed noon, with microseconds that must survive.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(NOON + seconds * 1_000_000 + 123_457).expect("in range")
}

fn random() -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[2..].copy_from_slice(&unique().to_be_bytes());
    bytes
}

/// Returns an account id whose order follows `at`.
pub fn user_id(at: Timestamp) -> UserId {
    UserId::from_parts(at, random())
}

/// Returns a workspace id whose order follows `at`.
pub fn workspace_id(at: Timestamp) -> WorkspaceId {
    WorkspaceId::from_parts(at, random())
}

/// Returns what the system itself would change something with.
pub fn context(at: Timestamp) -> ChangeContext {
    ChangeContext {
        audit_id: AuditId::from_parts(at, random()),
        user_id: None,
        key_id: None,
        request_id: None,
        at,
    }
}

/// Returns an account that nobody has yet.
pub fn new_user(at: Timestamp) -> NewUser {
    NewUser {
        id: user_id(at),
        email: format!("user{}@example.com", unique()).parse().expect("valid"),
        password_hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA".to_owned(),
        plan: Plan::Free,
        is_operator: false,
    }
}

/// Returns a workspace that nobody has yet.
pub fn workspace(at: Timestamp) -> Workspace {
    Workspace { id: workspace_id(at), name: format!("Workspace {}", unique()), created_at: at }
}

/// Stores an account with its own workspace.
pub async fn owner(stores: &Stores, at: Timestamp) -> (User, Workspace) {
    let workspace = workspace(at);
    let user = stores.users.insert(new_user(at), &workspace, &context(at)).await.expect("stored");
    (user, workspace)
}

/// Returns a domain of `workspace` that nobody has yet.
pub fn domain(workspace: WorkspaceId, at: Timestamp) -> Domain {
    Domain {
        id: DomainId::from_parts(at, random()),
        workspace_id: Some(workspace),
        host: format!("go{}.example.com", unique()).parse().expect("valid"),
        verified_at: None,
        created_at: at,
    }
}

/// Returns a hash that no other call returns.
pub fn hash() -> [u8; 32] {
    let mut bytes = [0xA5; 32];
    bytes[24..].copy_from_slice(&unique().to_be_bytes());
    bytes
}

/// Returns a key of `user` in `workspace` that nobody has yet.
pub fn new_key(workspace: WorkspaceId, user: UserId, at: Timestamp) -> NewApiKey {
    NewApiKey {
        id: KeyId::from_parts(at, random()),
        workspace_id: workspace,
        user_id: user,
        name: "Deploy".to_owned(),
        prefix: format!("vayro_{:08}", unique()),
        hash: hash(),
        scopes: Vec::new(),
        expires_at: None,
    }
}

/// Returns a session of `user` that ends at `expires_at`.
pub fn new_session(user: UserId, created_at: Timestamp, expires_at: Timestamp) -> NewSession {
    let session = Session {
        id: SessionId::from_parts(created_at, random()),
        user_id: user,
        expires_at,
        last_used_at: created_at,
        user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned(),
        ip_address: "192.0.2.0".to_owned(),
        created_at,
    };
    NewSession { session, hash: hash() }
}

/// Returns every audit entry of `workspace`, newest first.
pub async fn audit_of(stores: &Stores, workspace: WorkspaceId) -> Vec<AuditEntry> {
    let filter = AuditFilter {
        workspace_id: workspace,
        subject_id: None,
        before: None,
        size: PageSize::new(PageSize::MAX).expect("in range"),
    };
    stores.audit.list(&filter).await.expect("listed").items
}

/// Returns the newest audit entry of `workspace`.
pub async fn last_audit(stores: &Stores, workspace: WorkspaceId) -> AuditEntry {
    audit_of(stores, workspace).await.into_iter().next().expect("an entry")
}

/// Tells whether an audit entry with the id of `context` was stored, by trying to store another one
/// with it: a change whose audit entry is refused must be refused as a whole.
pub async fn is_audited(stores: &Stores, context: &ChangeContext) -> bool {
    let workspace = workspace(context.at);
    let result = stores.users.insert(new_user(context.at), &workspace, context).await;
    let is_stored = stores.workspaces.find(workspace.id).await.expect("found").is_some();
    assert_eq!(result.is_ok(), is_stored, "a change and its audit entry are stored together");
    result.is_err()
}

/// Takes every waiting event out of the outbox and returns how many there were.
pub async fn empty_outbox(stores: &Stores) -> usize {
    let mut count = 0;
    loop {
        let entries = stores.outbox.pending(100).await.expect("listed");
        if entries.is_empty() {
            return count;
        }
        count += entries.len();
        let sequences: Vec<i64> = entries.iter().map(|entry| entry.sequence).collect();
        stores.outbox.remove(&sequences).await.expect("removed");
    }
}
