//! Removing clicks, for instance operators.

use serde::{Deserialize, Serialize};
use vayro_core::timestamp::Timestamp;

use super::error::ApiError;
use super::http::{Api, Call};

/// Which clicks to remove.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewPurge {
    /// Of this link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_id: Option<String>,
    /// At or after this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Before this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// From the network of this address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// Clicks that are removed because somebody asked for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Purge {
    /// Its identity.
    pub id: String,
    /// Of this link.
    pub link_id: Option<String>,
    /// At or after this instant.
    pub from: Option<Timestamp>,
    /// Before this instant.
    pub to: Option<Timestamp>,
    /// From this network.
    pub network: Option<String>,
    /// How far it is.
    pub state: String,
    /// Clicks removed so far.
    pub clicks: u64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was carried out last.
    pub done_at: Option<Timestamp>,
    /// Until when it is remembered.
    pub forget_at: Timestamp,
}

impl Purge {
    /// Tells whether nobody has carried it out yet.
    pub fn is_waiting(&self) -> bool {
        self.state == "waiting"
    }
}

impl Api {
    /// Asks for a purge.
    pub async fn create_purge(&self, new: &NewPurge) -> Result<Purge, ApiError> {
        self.send(Call::post(&["ops", "purges"]).body(new)).await
    }

    /// Returns a purge.
    pub async fn find_purge(&self, id: &str) -> Result<Purge, ApiError> {
        self.send(Call::get(&["ops", "purges", id])).await
    }
}
