//! Ports of certificates that an ACME server issues.

use async_trait::async_trait;

use super::StoreError;
use crate::certificate::{
    Certificate, CertificateName, CertificateRecord, Challenge, Failure, Order, TicketKey,
};
use crate::timestamp::Timestamp;

/// How far the certificate of each name is. What concerns a name that is not wanted (any more) does nothing.
#[async_trait]
pub trait CertificateStore: Send + Sync {
    /// Makes `names` the ones that are wanted. New ones are due at `now`; those left out are removed with their
    /// certificates, and edges are told.
    async fn want(&self, names: &[CertificateName], now: Timestamp) -> Result<(), StoreError>;

    /// Lists those that something is to be done about at `now`, the longest due first, at most `max`.
    async fn due(&self, now: Timestamp, max: u16) -> Result<Vec<CertificateRecord>, StoreError>;

    /// Returns those of `names` that are wanted, in no order.
    async fn find(&self, names: &[CertificateName]) -> Result<Vec<CertificateRecord>, StoreError>;

    /// Lists all by name, at most `max`.
    async fn list(&self, max: u32) -> Result<Vec<CertificateRecord>, StoreError>;

    /// Sets or removes the order under way.
    async fn set_order(&self, name: &CertificateName, order: Option<&Order>) -> Result<(), StoreError>;

    /// Stores the certificate that the order under way led to, removes the order and the last failure, and tells
    /// the edges. Returns false and stores nothing unless the order under way has the certificate's key: somebody
    /// else went on with it.
    async fn complete(&self, certificate: &Certificate, renew_at: Timestamp) -> Result<bool, StoreError>;

    /// Notes a failure, and when to try again.
    async fn fail(
        &self,
        name: &CertificateName,
        failure: &Failure,
        due_at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Sets when the certificate is to be renewed, and when to look at it before that.
    async fn reschedule(
        &self,
        name: &CertificateName,
        renew_at: Timestamp,
        due_at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Makes a failed one due at `now`, unless it is due before that; tells whether there is such a one.
    async fn hasten(&self, name: &CertificateName, now: Timestamp) -> Result<bool, StoreError>;
}

/// What the one process that speaks with ACME servers keeps beside that.
#[async_trait]
pub trait IssuerStore: Send + Sync {
    /// Takes or keeps the right to be the issuer until `until`; false if another holder has it at `now`.
    async fn lease(&self, holder: &str, now: Timestamp, until: Timestamp) -> Result<bool, StoreError>;

    /// Gives that right up.
    async fn release(&self, holder: &str) -> Result<(), StoreError>;

    /// Returns the sealed account at the server with this directory.
    async fn account(&self, directory: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Stores it, over one that was there.
    async fn put_account(&self, directory: &str, sealed: &[u8], now: Timestamp) -> Result<(), StoreError>;

    /// Stores a challenge for edges to answer, and removes those that expired at `now`.
    async fn put_challenge(&self, challenge: &Challenge, now: Timestamp) -> Result<(), StoreError>;

    /// Removes a challenge.
    async fn remove_challenge(&self, token: &str) -> Result<(), StoreError>;
}

/// What edges read of all that.
#[async_trait]
pub trait ServedCertificates: Send + Sync {
    /// Lists the names that have a certificate and when it was stored, at most `max`.
    async fn versions(&self, max: u32) -> Result<Vec<(CertificateName, Timestamp)>, StoreError>;

    /// Returns the certificates of these names, in no order.
    async fn load(&self, names: &[CertificateName]) -> Result<Vec<Certificate>, StoreError>;

    /// Lists the challenges that have not expired at `now`, at most `max`.
    async fn challenges(&self, now: Timestamp, max: u32) -> Result<Vec<Challenge>, StoreError>;
}

/// Keys that edges share, so that each resumes the sessions of all.
#[async_trait]
pub trait TicketKeyStore: Send + Sync {
    /// Stores each of `proposed` unless its period has a key, removes those before the period `oldest` for good, and
    /// returns all that are left by period.
    async fn exchange(&self, proposed: &[TicketKey], oldest: i64) -> Result<Vec<TicketKey>, StoreError>;
}
