//! Certificates that an ACME server issues: which names get one, when something is to be done about one, and how
//! far it is.
//!
//! Only decisions are here. The protocol is spoken by the worker, the bytes are kept by a
//! [`CertificateStore`](crate::ports::CertificateStore) and served by the edges.

mod name;
mod schedule;
mod ticket;
mod wanted;

use serde::{Deserialize, Serialize};

pub use name::{CertificateName, CertificateNameError};
pub use schedule::{RETRY_PAUSES, RenewalWindow, clear_reason, renewal, retry_pause};
pub use ticket::{TICKET_PERIOD, TicketKey, ticket_period};
pub use wanted::wanted;

use crate::timestamp::Timestamp;

/// Most names that get certificates; edges keep all of them in memory, some 8 KiB each.
pub const CERTIFICATES_MAX: u32 = 20_000;
/// Most challenges that edges answer at one time; more than one issuer ever has under way.
pub const CHALLENGES_MAX: u32 = 200;
/// Longest reason of a failure, in bytes.
pub const REASON_LEN_MAX: usize = 500;
/// Longest token of a challenge, in bytes. RFC 8555 §8.1 asks for at least 128 bits in base64url; servers send
/// 43 characters.
pub const TOKEN_LEN_MAX: usize = 128;

/// The time for which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From when.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// What it is for.
    pub name: CertificateName,
    /// The certificate and those that vouch for it, as PEM.
    pub chain: String,
    /// Its private key, sealed.
    pub sealed_key: Vec<u8>,
    /// When it is valid.
    pub validity: Validity,
    /// When it was stored; no two of one name have the same.
    pub issued_at: Timestamp,
}

/// An order that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Where the server keeps it; `None` until the server has it.
    pub url: Option<String>,
    /// The private key of the certificate to come, sealed.
    pub sealed_key: Vec<u8>,
}

/// Why the last try came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Words for the owner of the name, at most [`REASON_LEN_MAX`] bytes.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// Failures since the last success; those that are not the name's fault do not count.
    pub count: u32,
}

/// How far the certificate of a name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRecord {
    /// The name.
    pub name: CertificateName,
    /// The certificate that is served, if there is one.
    pub validity: Option<Validity>,
    /// When that one is to be renewed.
    pub renew_at: Option<Timestamp>,
    /// The order under way.
    pub order: Option<Order>,
    /// The last failure since the last success.
    pub failure: Option<Failure>,
    /// When something is to be done next.
    pub due_at: Timestamp,
}

/// How far a certificate is, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateState {
    /// None is wanted.
    None,
    /// It is on its way.
    Pending,
    /// It is served.
    Issued,
    /// There is none that is valid, and the last try failed.
    Failed,
}

impl CertificateState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::None, Self::Pending, Self::Issued, Self::Failed];

    /// Returns its name in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pending => "pending",
            Self::Issued => "issued",
            Self::Failed => "failed",
        }
    }
}

impl CertificateRecord {
    /// Tells how far it is. A valid certificate counts as issued also while its renewal fails.
    pub fn state(&self, now: Timestamp) -> CertificateState {
        match (self.validity, &self.failure) {
            (Some(validity), _) if now < validity.not_after => CertificateState::Issued,
            (_, Some(_)) => CertificateState::Failed,
            (_, None) => CertificateState::Pending,
        }
    }

    /// Tells whether a new certificate is to be ordered, in contrast to asking when.
    pub fn is_to_be_ordered(&self, now: Timestamp) -> bool {
        self.validity.is_none() || self.order.is_some() || self.renew_at.is_none_or(|at| at <= now)
    }
}

/// What an edge answers to an ACME server that asks for `token` (RFC 8555 §8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Last part of the path.
    pub token: String,
    /// The answer's body.
    pub answer: String,
    /// When it is forgotten.
    pub expires_at: Timestamp,
}

/// Tells whether `token` can be one (RFC 8555 §8.1: base64url).
pub fn is_token(token: &[u8]) -> bool {
    (16..=TOKEN_LEN_MAX).contains(&token.len())
        && token.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).expect("in range")
    }

    fn record() -> CertificateRecord {
        CertificateRecord {
            name: "go.example.com".parse().expect("valid"),
            validity: None,
            renew_at: None,
            order: None,
            failure: None,
            due_at: at(0),
        }
    }

    #[test]
    fn a_valid_certificate_counts_more_than_a_failed_renewal() {
        let mut record = record();
        assert_eq!(record.state(at(1)), CertificateState::Pending);
        record.failure = Some(Failure { reason: "no route".to_owned(), at: at(1), count: 1 });
        assert_eq!(record.state(at(1)), CertificateState::Failed);
        record.validity = Some(Validity { not_before: at(0), not_after: at(100) });
        assert_eq!(record.state(at(99)), CertificateState::Issued);
        assert_eq!(record.state(at(100)), CertificateState::Failed);
    }

    #[test]
    fn an_order_under_way_is_finished_and_a_certificate_is_renewed_when_it_is_time() {
        let mut record = record();
        assert!(record.is_to_be_ordered(at(0)));
        record.validity = Some(Validity { not_before: at(0), not_after: at(100) });
        record.renew_at = Some(at(60));
        assert!(!record.is_to_be_ordered(at(59)) && record.is_to_be_ordered(at(60)));
        record.order = Some(Order { url: None, sealed_key: vec![1] });
        assert!(record.is_to_be_ordered(at(0)));
    }

    #[test]
    fn tokens_are_base64url() {
        assert!(is_token(b"evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA"));
        for token in ["", "short", "../../../../etc/passwd", "a%2fb%2fc%2fd%2fe%2fb", "evaGxfADs6pSRb2LAv9I="]
        {
            assert!(!is_token(token.as_bytes()), "{token}");
        }
        assert!(!is_token(&[b'a'; TOKEN_LEN_MAX + 1]));
    }
}
