//! Shares: statistics that whoever has a token may read.

use serde::{Deserialize, Serialize};

use crate::ids::{LinkId, ShareId, UserId, WorkspaceId};
use crate::timestamp::Timestamp;

/// Longest name of a share, in bytes.
pub const SHARE_NAME_LEN_MAX: usize = 100;

/// A share without its token and its password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Its identity.
    pub id: ShareId,
    /// Whose statistics.
    pub workspace_id: WorkspaceId,
    /// Of which link; `None` for all of the workspace.
    pub link_id: Option<LinkId>,
    /// Who made it.
    pub user_id: UserId,
    /// Its name for people; may be empty.
    pub name: String,
    /// The beginning of the token, to recognise it by.
    pub prefix: String,
    /// Whether a password is needed besides.
    pub has_password: bool,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Share {
    /// Tells whether it works at `now`.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }
}

/// A share about to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewShare {
    /// Its identity.
    pub id: ShareId,
    /// Whose statistics.
    pub workspace_id: WorkspaceId,
    /// Of which link of that workspace.
    pub link_id: Option<LinkId>,
    /// Who makes it.
    pub user_id: UserId,
    /// Its name for people, at most [`SHARE_NAME_LEN_MAX`] bytes.
    pub name: String,
    /// The beginning of the token.
    pub prefix: String,
    /// SHA-256 of the token, which is stored nowhere.
    pub hash: [u8; 32],
    /// Argon2id hash of the password in PHC form.
    pub password_hash: Option<String>,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_works_until_it_is_revoked_or_expires() {
        let at = |micros| Timestamp::from_micros(micros).expect("in range");
        let id = uuid::Uuid::from_u128(1);
        let share = Share {
            id: ShareId::from_uuid(id),
            workspace_id: WorkspaceId::from_uuid(id),
            link_id: None,
            user_id: UserId::from_uuid(id),
            name: String::new(),
            prefix: "abcdefgh".to_owned(),
            has_password: false,
            expires_at: Some(at(10)),
            revoked_at: None,
            created_at: at(0),
        };
        assert!(share.is_open(at(9)));
        assert!(!share.is_open(at(10)));
        assert!(Share { expires_at: None, ..share.clone() }.is_open(at(10)));
        assert!(!Share { revoked_at: Some(at(1)), ..share }.is_open(at(9)));
    }
}
