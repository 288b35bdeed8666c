//! One certificate from order to store.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, ChallengeType, Error, Identifier,
    NewOrder, Order as ServerOrder, OrderStatus, RetryPolicy,
};
use rand::RngCore as _;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData as _};
use rustls::pki_types::CertificateDer;
use vayro_backends::config::{ChallengeKind, SelfCheck};
use vayro_backends::vault::key_purpose;
use vayro_core::certificate::{
    Certificate, CertificateName, CertificateRecord, Challenge, Order, RenewalWindow, Validity, renewal,
};
use vayro_core::change::ChangeContext;
use vayro_core::failpoint;
use vayro_core::ids::AuditId;
use vayro_core::timestamp::Timestamp;

use super::trouble::{Trouble, words_of};
use super::{Issuer, check, dns_hook, leaf};

/// How long edges answer a challenge; servers ask within seconds.
const CHALLENGE_LIFE: Duration = Duration::from_mins(15);
/// Tries of one order, as when the server takes none of our nonces, which the client retries itself twice.
const TRIES_MAX: u32 = 6;
/// How often a server with renewal information is asked whether a certificate is to be renewed sooner.
const RENEWAL_QUESTION_EVERY: Duration = Duration::from_hours(12);
/// How long the server may take to check a name, or to issue.
const POLL: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(60));

/// What proves control of a name, and has to be tidied up.
enum Proof {
    File { token: String },
    Record { name: String, value: String },
}

/// The key of the certificate to come, open and sealed.
struct OrderKey {
    pair: KeyPair,
    sealed: Vec<u8>,
}

impl Issuer {
    /// Does what is due about one name.
    pub(super) async fn work_on(&self, record: &CertificateRecord) -> Result<(), Trouble> {
        match record.validity {
            Some(validity) if !record.is_to_be_ordered((self.clock)()) => {
                self.ask_when(record, validity).await
            }
            _ => self.issue(&record.name, record.order.clone()).await,
        }
    }

    async fn issue(&self, name: &CertificateName, mut order: Option<Order>) -> Result<(), Trouble> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_issue(name, order).await {
                // The order is stored, so this goes on where it was.
                Err(Trouble::Again) if tries < TRIES_MAX => {
                    let records = self.deps.certificates.find(std::slice::from_ref(name)).await?;
                    order = records.into_iter().next().and_then(|record| record.order);
                }
                Err(Trouble::Again) => {
                    return Err(Trouble::server("the ACME server takes none of the nonces it gives out"));
                }
                Err(Trouble::Name(reason)) => {
                    // What failed is over for the server too.
                    self.deps.certificates.set_order(name, None).await?;
                    return Err(Trouble::Name(reason));
                }
                ended => return ended,
            }
        }
    }

    async fn try_issue(&self, name: &CertificateName, order: Option<Order>) -> Result<(), Trouble> {
        let resumed = match order {
            Some(order) => self.resume(name, &order).await?,
            None => None,
        };
        let (mut order, key) = match resumed {
            Some(resumed) => resumed,
            None => match self.begin(name).await? {
                Some(begun) => begun,
                // The name is not wanted any more.
                None => return Ok(()),
            },
        };
        if order.state().status == OrderStatus::Pending {
            self.prove(name, &mut order).await?;
        }
        if order.state().status == OrderStatus::Ready {
            let mut params = CertificateParams::new(vec![name.to_string()]).map_err(unusable)?;
            params.distinguished_name = DistinguishedName::new();
            let request = params.serialize_request(&key.pair).map_err(unusable)?;
            order.finalize_csr(request.der()).await?;
        }
        failpoint::hit(failpoint::AFTER_FINALIZE);
        let chain = order.poll_certificate(&POLL).await?;
        self.store(name, chain, key).await
    }

    /// Returns the order of an issuer before us, if it can be gone on with.
    async fn resume(
        &self,
        name: &CertificateName,
        order: &Order,
    ) -> Result<Option<(ServerOrder, OrderKey)>, Trouble> {
        let opened = self.config.vault.open(&key_purpose(name), &order.sealed_key).ok();
        let pair = opened.and_then(|pem| KeyPair::from_pem(std::str::from_utf8(&pem).ok()?).ok());
        let (Some(pair), Some(url)) = (pair, &order.url) else { return Ok(None) };
        let mut found = match self.server.account().await?.order(url.clone()).await {
            Ok(found) => found,
            Err(error) => {
                return match self.server.trouble(error).await {
                    // Servers forget orders.
                    Trouble::Name(_) => Ok(None),
                    other => Err(other),
                };
            }
        };
        if found.state().status == OrderStatus::Invalid {
            return Ok(None);
        }
        tracing::info!(certificate.name = %name, "going on with the order for {name} that was begun");
        Ok(Some((found, OrderKey { pair, sealed: order.sealed_key.clone() })))
    }

    /// Makes sure that an order can come to something, then places it. `None` if the name is not wanted any more.
    async fn begin(&self, name: &CertificateName) -> Result<Option<(ServerOrder, OrderKey)>, Trouble> {
        let account = self.server.account().await?;
        if self.kind_for(name) == ChallengeKind::Http && self.config.check != SelfCheck::Off {
            self.check(name).await?;
            self.verify(name).await?;
        }
        let pair = KeyPair::generate().map_err(unusable)?;
        let sealed = self.config.vault.seal(&key_purpose(name), pair.serialize_pem().as_bytes());
        let mut order = Order { url: None, sealed_key: sealed };
        // What cannot be stored is not ordered: servers count certificates, and nobody would have this one.
        self.deps.certificates.set_order(name, Some(&order)).await?;
        let stored = self.deps.certificates.find(std::slice::from_ref(name)).await?;
        let Some(stored) = stored.into_iter().next() else { return Ok(None) };
        if stored.order.as_ref() != Some(&order) {
            return Err(Trouble::server("the database does not keep what it is given"));
        }
        let placed = self.place(&account, name).await?;
        order.url = Some(placed.url().to_owned());
        self.deps.certificates.set_order(name, Some(&order)).await?;
        failpoint::hit(failpoint::AFTER_ORDER);
        Ok(Some((placed, OrderKey { pair, sealed: order.sealed_key })))
    }

    async fn place(&self, account: &Account, name: &CertificateName) -> Result<ServerOrder, Trouble> {
        let identifiers = [Identifier::Dns(name.to_string())];
        match account.new_order(&NewOrder::new(&identifiers)).await {
            Ok(placed) => Ok(placed),
            Err(error) => Err(self.server.trouble(error).await),
        }
    }

    fn kind_for(&self, name: &CertificateName) -> ChallengeKind {
        if name.is_wildcard() { ChallengeKind::Dns } else { self.config.challenge }
    }

    /// Asks the name for an answer that only our edges have.
    async fn check(&self, name: &CertificateName) -> Result<(), Trouble> {
        let challenge = Challenge {
            token: self.random_text(),
            answer: self.random_text(),
            expires_at: (self.clock)().plus(CHALLENGE_LIFE),
        };
        self.deps.issuer.put_challenge(&challenge, (self.clock)()).await?;
        let asked = check::ask(name, &challenge, self.config.check).await;
        self.deps.issuer.remove_challenge(&challenge.token).await?;
        asked.map_err(Trouble::Name)
    }

    fn random_text(&self) -> String {
        let mut bytes = [0; 24];
        self.rng.lock().fill_bytes(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Notes that the owner of the name controls it.
    async fn verify(&self, name: &CertificateName) -> Result<(), Trouble> {
        let Ok(host) = name.as_str().parse() else { return Ok(()) };
        let at = (self.clock)();
        let audit_id = AuditId::generate(at, &mut *self.rng.lock());
        let context = ChangeContext { audit_id, user_id: None, key_id: None, request_id: None, at };
        Ok(self.deps.domains.verify(&host, &context).await?)
    }

    /// Shows the server that the name is ours.
    async fn prove(&self, name: &CertificateName, order: &mut ServerOrder) -> Result<(), Trouble> {
        let mut proofs = Vec::new();
        let proved = self.prove_with(name, order, &mut proofs).await;
        for proof in proofs {
            self.tidy_up(proof).await;
        }
        proved
    }

    async fn prove_with(
        &self,
        name: &CertificateName,
        order: &mut ServerOrder,
        proofs: &mut Vec<Proof>,
    ) -> Result<(), Trouble> {
        let kind = self.kind_for(name);
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let wanted = match kind {
                ChallengeKind::Http => ChallengeType::Http01,
                ChallengeKind::Dns => ChallengeType::Dns01,
            };
            let Some(mut challenge) = authorization.challenge(wanted) else {
                return Err(Trouble::name("the ACME server offers no kind of proof that can be given"));
            };
            if challenge.status != ChallengeStatus::Pending {
                continue;
            }
            let key = challenge.key_authorization();
            match kind {
                ChallengeKind::Http => {
                    let now = (self.clock)();
                    let answer = Challenge {
                        token: challenge.token.clone(),
                        answer: key.as_str().to_owned(),
                        expires_at: now.plus(CHALLENGE_LIFE),
                    };
                    proofs.push(Proof::File { token: answer.token.clone() });
                    self.deps.issuer.put_challenge(&answer, now).await?;
                }
                ChallengeKind::Dns => {
                    let record = format!("_acme-challenge.{}", name.base());
                    let value = key.dns_value();
                    proofs.push(Proof::Record { name: record.clone(), value: value.clone() });
                    dns_hook::run(&self.config.dns_hook, dns_hook::Verb::Set, &record, &value).await?;
                    tokio::time::sleep(self.config.dns_wait).await;
                }
            }
            challenge.set_ready().await?;
        }
        match order.poll_ready(&POLL).await {
            Ok(OrderStatus::Ready) => Ok(()),
            Ok(_) => Err(why(order, "the ACME server refused the name without a reason".to_owned()).await),
            Err(Error::Api(problem)) => match problem.clone().into() {
                Trouble::Name(_) => Err(why(order, words_of(&problem)).await),
                other => Err(other),
            },
            Err(error) => Err(error.into()),
        }
    }

    async fn tidy_up(&self, proof: Proof) {
        let tidied = match proof {
            Proof::File { token } => self.deps.issuer.remove_challenge(&token).await.map_err(Trouble::from),
            Proof::Record { name, value } => {
                dns_hook::run(&self.config.dns_hook, dns_hook::Verb::Remove, &name, &value).await
            }
        };
        if let Err(error) = tidied {
            // Challenges expire, and a record that stays does no harm.
            tracing::warn!(?error, "something that proved control of a name was left behind");
        }
    }

    async fn store(&self, name: &CertificateName, chain: String, key: OrderKey) -> Result<(), Trouble> {
        let unfit = |error: leaf::LeafError| {
            Trouble::name(format!("the certificate that the ACME server issued is not taken: {error}"))
        };
        let leaf = leaf::leaf_of(&chain).map_err(unfit)?;
        let public_key = key.pair.subject_public_key_info();
        let validity = leaf::check(&leaf, name, &public_key).map_err(unfit)?;
        let issued_at = (self.clock)();
        let certificate =
            Certificate { name: name.clone(), chain, sealed_key: key.sealed, validity, issued_at };
        let renew_at = self.renewal(validity, None);
        if self.kind_for(name) == ChallengeKind::Http {
            self.verify(name).await?;
        }
        if !self.deps.certificates.complete(&certificate, renew_at).await? {
            tracing::warn!(certificate.name = %name, "somebody else went on with the order for {name}");
            return Ok(());
        }
        self.metrics.issued();
        tracing::info!(
            certificate.name = %name,
            not_after = %validity.not_after,
            renew_at = %renew_at,
            "issued a certificate for {name} until {}", validity.not_after
        );
        self.move_renewal(name, validity, renew_at, &leaf).await
    }

    fn renewal(&self, validity: Validity, window: Option<RenewalWindow>) -> Timestamp {
        renewal(validity, window, self.config.renew_percent, &mut *self.rng.lock())
    }

    /// Asks the server again whether the certificate is to be renewed sooner.
    async fn ask_when(&self, record: &CertificateRecord, validity: Validity) -> Result<(), Trouble> {
        let name = std::slice::from_ref(&record.name);
        let certificates = self.deps.served.load(name).await?;
        let renew_at = record.renew_at.unwrap_or_else(|| self.renewal(validity, None));
        match certificates.first().and_then(|certificate| leaf::leaf_of(&certificate.chain).ok()) {
            Some(leaf) => self.move_renewal(&record.name, validity, renew_at, &leaf).await,
            None => Ok(self.deps.certificates.reschedule(&record.name, renew_at, renew_at).await?),
        }
    }

    /// Moves a renewal to where the server wants it (RFC 9773), if it says that.
    async fn move_renewal(
        &self,
        name: &CertificateName,
        validity: Validity,
        renew_at: Timestamp,
        leaf: &CertificateDer<'_>,
    ) -> Result<(), Trouble> {
        let Ok(id) = CertificateIdentifier::try_from(leaf) else {
            return Ok(self.deps.certificates.reschedule(name, renew_at, renew_at).await?);
        };
        let asked = self.server.account().await?.renewal_info(&id).await;
        let next = (self.clock)().plus(RENEWAL_QUESTION_EVERY);
        let (renew_at, due_at) = match asked {
            Ok((info, _)) => {
                let window = &info.suggested_window;
                let at = |at: i128| Timestamp::from_micros(i64::try_from(at / 1000).ok()?);
                let window = at(window.start.unix_timestamp_nanos())
                    .zip(at(window.end.unix_timestamp_nanos()))
                    .map(|(start, end)| RenewalWindow { start, end });
                // An instant within the window stays, so that asking again does not choose again.
                let is_within = window.is_some_and(|window| (window.start..=window.end).contains(&renew_at));
                let renew_at = if is_within { renew_at } else { self.renewal(validity, window) };
                (renew_at, renew_at.min(next))
            }
            Err(Error::Unsupported(_)) => (renew_at, renew_at),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "no renewal information");
                (renew_at, renew_at.min(next))
            }
        };
        Ok(self.deps.certificates.reschedule(name, renew_at, due_at).await?)
    }
}

/// Returns why an order failed: what the server found wrong when it asked, or else `otherwise`.
async fn why(order: &mut ServerOrder, otherwise: String) -> Trouble {
    let mut found = None;
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if let Ok(state) = authorization.refresh().await {
            found = state.challenges.iter().find_map(|challenge| challenge.error.as_ref().map(words_of));
        }
    }
    Trouble::name(format!("the ACME server says: {}", found.unwrap_or(otherwise)))
}

#[expect(clippy::needless_pass_by_value, reason = "it is what errors are mapped with")]
fn unusable(error: rcgen::Error) -> Trouble {
    Trouble::name(format!("no certificate can be asked for: {error}"))
}
