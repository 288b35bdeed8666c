//! The call that explains a visit.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use vayro_core::timestamp::Timestamp;

use super::error::ApiError;
use super::http::{Api, Call};

/// A visit that is to be explained.
#[derive(Clone, Debug, Serialize)]
pub struct Visit {
    /// The whole short address.
    pub url: String,
    /// The method.
    pub method: String,
    /// The headers.
    pub headers: Vec<Header>,
    /// Who is connected with the edge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// When; now if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The visitor's country.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

/// A header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What would be done with a visit, and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The address.
    pub url: String,
    /// The method.
    pub method: String,
    /// When the visit would be.
    pub at: Timestamp,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// The short code, if the address has one.
    pub short_code: Option<String>,
    /// The link, if there is one.
    pub link: Option<serde_json::Value>,
    /// What an edge answers, if it does.
    pub answer: Option<Answer>,
    /// What the visit counts for.
    pub count: serde_json::Value,
    /// How long it all took, in microseconds.
    pub took_us: u64,
}

/// One step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Which one.
    pub step: String,
    /// What came of it.
    pub result: String,
    /// The same in words.
    pub detail: String,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

/// An answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<Header>,
}

impl Api {
    /// Explains what a visit gets; nothing is counted.
    pub async fn explain(&self, visit: &Visit) -> Result<Explanation, ApiError> {
        self.send(Call::post(&["explain"]).body(visit)).await
    }
}
