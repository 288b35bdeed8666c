//! Who changes something, and what caches must learn of it.

use serde::{Deserialize, Serialize};

use crate::ids::{AuditId, KeyId, UserId, WorkspaceId};
use crate::link::LinkKey;
use crate::page::PageSize;
use crate::resolve::CachedLink;
use crate::timestamp::Timestamp;

/// Who makes a change and when; stored with it in the audit log, in the same transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeContext {
    /// Identity of the audit entry.
    pub audit_id: AuditId,
    /// The account behind the change; `None` for the system itself.
    pub user_id: Option<UserId>,
    /// The API key it came through, if any.
    pub key_id: Option<KeyId>,
    /// The HTTP request it came in.
    pub request_id: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// One entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its identity.
    pub id: AuditId,
    /// The workspace it belongs to; `None` for the instance.
    pub workspace_id: Option<WorkspaceId>,
    /// Who did it; `None` for the system itself.
    pub user_id: Option<UserId>,
    /// The API key used.
    pub key_id: Option<KeyId>,
    /// What was done, as `<subject>.<verb>`, for example `link.update`.
    pub action: String,
    /// The id of what it was done to.
    pub subject_id: String,
    /// The subject before, `null` if it was not there.
    pub before: serde_json::Value,
    /// The subject after, `null` if it is gone.
    pub after: serde_json::Value,
    /// The HTTP request it came in.
    pub request_id: Option<String>,
    /// When.
    pub created_at: Timestamp,
}

/// Which audit entries a list wants, newest first.
#[derive(Clone, Debug)]
pub struct AuditFilter {
    /// Of which workspace.
    pub workspace_id: WorkspaceId,
    /// Only about this subject.
    pub subject_id: Option<String>,
    /// Only older than this entry.
    pub before: Option<AuditId>,
    /// How many.
    pub size: PageSize,
}

/// What shared and edge caches must learn: the link under `key` is now `link`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkChange {
    /// Where caches keep it.
    pub key: LinkKey,
    /// What it is now; `None` if there is none any more.
    pub link: Option<CachedLink>,
    /// The revision of this state, also when `link` is `None`.
    pub revision: i64,
}

/// What an edge hears about its cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// These links changed; entries with a lower revision are stale.
    Links(Vec<(LinkKey, i64)>),
    /// The set of domains changed.
    Domains,
    /// Messages were missed: everything may be stale.
    Everything,
}
