//! Ports of accounts, workspaces, domains and credentials.

use async_trait::async_trait;

use super::StoreError;
use crate::access::Role;
use crate::account::{
    ApiKey, Domain, Email, Member, MemberChange, NewApiKey, NewSession, NewUser, Plan, Session, User,
    UserPatch, Workspace,
};
use crate::change::{AuditEntry, AuditFilter, ChangeContext};
use crate::host::Host;
use crate::ids::{AuditId, DomainId, KeyId, SessionId, UserId, WorkspaceId};
use crate::page::Page;
use crate::timestamp::Timestamp;

/// Accounts. Changes write an audit entry without password hashes: `user.create` in the log of the
/// account's own workspace, `user.update` in the log of the instance.
#[async_trait]
pub trait UserStore: Send + Sync {
    /// Inserts an account together with its own workspace, of which it is the owner.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] `user_email` if the address is taken.
    async fn insert(
        &self,
        new: NewUser,
        workspace: &Workspace,
        context: &ChangeContext,
    ) -> Result<User, StoreError>;

    /// Returns the account.
    async fn find(&self, id: UserId) -> Result<Option<User>, StoreError>;

    /// Returns the account and its password hash.
    async fn find_by_email(&self, email: &Email) -> Result<Option<(User, String)>, StoreError>;

    /// Lists accounts by creation, at most `max`.
    async fn list(&self, max: u16) -> Result<Vec<User>, StoreError>;

    /// Changes an account; `None` if there is none. Switching off an account that is off already keeps the
    /// instant. A patch that changes nothing is not audited.
    async fn update(
        &self,
        id: UserId,
        patch: &UserPatch,
        context: &ChangeContext,
    ) -> Result<Option<User>, StoreError>;

    /// Returns how many accounts there are.
    async fn count(&self) -> Result<u64, StoreError>;
}

/// Workspaces and their members. Changes write an audit entry (`workspace.create`,
/// `workspace.update`, `member.set`, `member.remove`).
#[async_trait]
pub trait WorkspaceStore: Send + Sync {
    /// Inserts a workspace owned by `owner`.
    async fn insert(&self, new: &Workspace, owner: UserId, context: &ChangeContext)
    -> Result<(), StoreError>;

    /// Returns the workspace.
    async fn find(&self, id: WorkspaceId) -> Result<Option<Workspace>, StoreError>;

    /// Lists the workspaces of an account with its role in each, oldest first.
    async fn list_for_user(&self, user: UserId) -> Result<Vec<(Workspace, Role)>, StoreError>;

    /// Returns the role of an account in a workspace.
    async fn role(&self, workspace: WorkspaceId, user: UserId) -> Result<Option<Role>, StoreError>;

    /// Renames a workspace; `None` if there is none. The same name again is no change and not audited.
    async fn rename(
        &self,
        id: WorkspaceId,
        name: &str,
        context: &ChangeContext,
    ) -> Result<Option<Workspace>, StoreError>;

    /// Lists the members, oldest first.
    async fn members(&self, id: WorkspaceId) -> Result<Vec<Member>, StoreError>;

    /// Adds a member or changes its role; `Missing` if there is no such account or workspace. A changed
    /// role keeps the member's `created_at`; the same role again is no change and not audited.
    async fn set_member(
        &self,
        id: WorkspaceId,
        user: UserId,
        role: Role,
        context: &ChangeContext,
    ) -> Result<MemberChange, StoreError>;

    /// Removes a member; its API keys in that workspace are revoked with it.
    async fn remove_member(
        &self,
        id: WorkspaceId,
        user: UserId,
        context: &ChangeContext,
    ) -> Result<MemberChange, StoreError>;

    /// Returns the plan of the workspace: that of its oldest owner. The only way to read a plan.
    async fn plan(&self, id: WorkspaceId) -> Result<Option<Plan>, StoreError>;
}

/// Domains. Changes write an audit entry (`domain.create`, `domain.delete`) and the outbox event
/// [`crate::outbox::OutboxEvent::Domains`].
#[async_trait]
pub trait DomainStore: Send + Sync {
    /// Makes the default domain's host what the configuration says and tells the edges; writes nothing if it
    /// is already. Not audited.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] `domain_host` if a workspace has registered that host.
    async fn ensure_default(&self, host: &Host, at: Timestamp) -> Result<(), StoreError>;

    /// Inserts a domain.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] `domain_host` if the host is taken on this instance.
    async fn insert(&self, new: &Domain, context: &ChangeContext) -> Result<(), StoreError>;

    /// Returns the domain if the workspace may use it: its own ones and the default one.
    async fn find(&self, workspace: WorkspaceId, id: DomainId) -> Result<Option<Domain>, StoreError>;

    /// Returns the domain with this host if the workspace may use it.
    async fn find_by_host(&self, workspace: WorkspaceId, host: &Host) -> Result<Option<Domain>, StoreError>;

    /// Lists the domains the workspace may use, the default one first, the others by creation.
    async fn list(&self, workspace: WorkspaceId) -> Result<Vec<Domain>, StoreError>;

    /// Removes a domain of the workspace; `Ok(false)` if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] `domain_links` while links, deleted ones included, live on it.
    async fn delete(
        &self,
        workspace: WorkspaceId,
        id: DomainId,
        context: &ChangeContext,
    ) -> Result<bool, StoreError>;

    /// Notes that the owner of this host was proved to control it; writes nothing if that was known. Audited as
    /// `domain.verify`.
    async fn verify(&self, host: &Host, context: &ChangeContext) -> Result<(), StoreError>;

    /// Returns every host except the default one; edges tell domains apart by it.
    async fn hosts(&self) -> Result<Vec<Host>, StoreError>;
}

/// API keys. Changes write an audit entry (`key.create`, `key.revoke`).
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// Inserts a key created at `context.at`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] `key_hash` if there is a key with this hash.
    async fn insert(&self, new: NewApiKey, context: &ChangeContext) -> Result<ApiKey, StoreError>;

    /// Returns the key with this hash, revoked or expired ones included, together with its account.
    async fn find_by_hash(&self, hash: &[u8; 32]) -> Result<Option<(ApiKey, User)>, StoreError>;

    /// Lists the keys of a workspace, newest first, revoked ones included.
    async fn list(&self, workspace: WorkspaceId) -> Result<Vec<ApiKey>, StoreError>;

    /// Revokes a key of the workspace for good; `None` if there is none. Revoking twice changes nothing.
    async fn revoke(
        &self,
        workspace: WorkspaceId,
        id: KeyId,
        context: &ChangeContext,
    ) -> Result<Option<ApiKey>, StoreError>;

    /// Remembers that the key was used, never moving backwards.
    async fn touch(&self, id: KeyId, at: Timestamp) -> Result<(), StoreError>;
}

/// Sessions.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Inserts a session.
    async fn insert(&self, new: NewSession) -> Result<(), StoreError>;

    /// Returns the session with this hash, expired ones included, together with its account.
    async fn find_by_hash(&self, hash: &[u8; 32]) -> Result<Option<(Session, User)>, StoreError>;

    /// Lists the sessions of an account that have not expired at `now`, newest first.
    async fn list(&self, user: UserId, now: Timestamp) -> Result<Vec<Session>, StoreError>;

    /// Remembers that the session was used and moves its end.
    async fn touch(&self, id: SessionId, at: Timestamp, expires_at: Timestamp) -> Result<(), StoreError>;

    /// Ends a session of the account; `false` if there is none.
    async fn delete(&self, user: UserId, id: SessionId) -> Result<bool, StoreError>;

    /// Removes what expired before `now` and returns how many.
    async fn delete_expired(&self, now: Timestamp) -> Result<u64, StoreError>;
}

/// The audit log, written by the other stores inside their transactions.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Lists entries, newest first.
    async fn list(&self, filter: &AuditFilter) -> Result<Page<AuditEntry, AuditId>, StoreError>;
}
