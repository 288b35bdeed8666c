//! Calls about shared statistics.

use serde::{Deserialize, Serialize};
use vayro_core::ids::LinkId;
use vayro_core::timestamp::Timestamp;

use super::error::ApiError;
use super::http::{Api, Call};

/// A share without its token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Share {
    /// Its identity.
    pub id: String,
    /// The link whose statistics it shows; `None` for the whole workspace.
    pub link_id: Option<LinkId>,
    /// Its name for people.
    pub name: String,
    /// The beginning of the token.
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

/// A share about to be made.
#[derive(Clone, Debug, Serialize)]
pub struct NewShare {
    /// The link whose statistics it shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_id: Option<LinkId>,
    /// Its name for people.
    pub name: String,
    /// A password that is needed besides the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// When it stops working.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A new share with its token, which is never shown again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreatedShare {
    /// The token.
    pub token: String,
    /// Where the statistics are.
    pub url: String,
    /// The rest.
    #[serde(flatten)]
    pub details: Share,
}

#[derive(Deserialize)]
struct ShareList {
    items: Vec<Share>,
}

impl Api {
    /// Shares statistics.
    pub async fn create_share(&self, new: &NewShare) -> Result<CreatedShare, ApiError> {
        self.send(Call::post(&["shares"]).body(new)).await
    }

    /// Lists the shares of the workspace, newest first, revoked and expired ones included.
    pub async fn list_shares(&self) -> Result<Vec<Share>, ApiError> {
        let list: ShareList = self.send(Call::get(&["shares"])).await?;
        Ok(list.items)
    }

    /// Revokes a share for good.
    pub async fn revoke_share(&self, id: &str) -> Result<(), ApiError> {
        self.send_only(Call::delete(&["shares", id])).await
    }
}
