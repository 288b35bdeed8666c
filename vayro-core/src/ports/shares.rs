//! Port of shares.

use async_trait::async_trait;

use super::StoreError;
use crate::change::ChangeContext;
use crate::ids::{ShareId, WorkspaceId};
use crate::share::{NewShare, Share};

/// Shares. Changes write an audit entry (`share.create`, `share.revoke`) without hashes. A share of a link
/// that is removed for good goes with it.
#[async_trait]
pub trait ShareStore: Send + Sync {
    /// Inserts a share made at `context.at`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] `share_hash` if there is a share with this hash.
    async fn insert(&self, new: NewShare, context: &ChangeContext) -> Result<Share, StoreError>;

    /// Returns the share with this hash, revoked or expired ones included, and its password's hash if it has
    /// a password.
    async fn find_by_hash(&self, hash: &[u8; 32]) -> Result<Option<(Share, Option<String>)>, StoreError>;

    /// Lists the shares of a workspace, newest first, revoked and expired ones included, at most `max`.
    async fn list(&self, workspace: WorkspaceId, max: u16) -> Result<Vec<Share>, StoreError>;

    /// Returns how many shares of a workspace are not revoked.
    async fn count(&self, workspace: WorkspaceId) -> Result<u64, StoreError>;

    /// Revokes a share of the workspace for good; `None` if there is none. Revoking twice changes nothing.
    async fn revoke(
        &self,
        workspace: WorkspaceId,
        id: ShareId,
        context: &ChangeContext,
    ) -> Result<Option<Share>, StoreError>;
}
