//! What the suites of the SQL adapters share: the ports under test, and a small cast to work with.
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use uuid::Uuid;

use crate::account::{Domain, NewUser, Plan, Workspace};
use crate::change::{AuditEntry, AuditFilter, ChangeContext};
use crate::click::{ClickClass, ClickRow};
use crate::ids::{AuditId, ClickId, DomainId, LinkId, UserId, WorkspaceId};
use crate::link::{Link, NewLink, RedirectStatus};
use crate::page::PageSize;
use crate::ports::{
    AmendmentStore, AnalyticsStore, AuditStore, CertificateStore, ClickStore, DomainStore, EventStore,
    IdempotencyStore, IssuerStore, KeyStore, LedgerStore, LinkLookup, LinkStore, Outbox, PurgeStore,
    RetentionStore, RollupStore, ServedCertificates, SessionStore, ShareStore, TicketKeyStore, UserStore,
    WorkspaceStore,
};
use crate::rollup::RolledUpAnalytics;
use crate::short_code::ShortCode;
use crate::target::TargetUrl;
use crate::timestamp::Timestamp;

/// Every port of one freshly migrated, otherwise empty database.
///
/// An adapter's fixture is a value with a field `stores` of this type and whatever keeps the database
/// alive beside it.
#[derive(Clone)]
pub struct Stores {
    /// Accounts.
    pub users: Arc<dyn UserStore>,
    /// Workspaces.
    pub workspaces: Arc<dyn WorkspaceStore>,
    /// Domains.
    pub domains: Arc<dyn DomainStore>,
    /// API keys.
    pub keys: Arc<dyn KeyStore>,
    /// Sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// The audit log.
    pub audit: Arc<dyn AuditStore>,
    /// Links.
    pub links: Arc<dyn LinkStore>,
    /// The outbox.
    pub outbox: Arc<dyn Outbox>,
    /// The edge's look-up, straight on the database.
    pub lookup: Arc<dyn LinkLookup>,
    /// Click rows.
    pub clicks: Arc<dyn ClickStore>,
    /// Changes of click rows.
    pub amendments: Arc<dyn AmendmentStore>,
    /// Questions about clicks, answered from the rows.
    pub analytics: Arc<dyn AnalyticsStore>,
    /// What makes that so.
    pub rollups: Arc<dyn RollupStore>,
    /// The same questions, answered from rollups, see [`rolled_up`].
    pub rolled_up: Arc<dyn AnalyticsStore>,
    /// Stored clicks one by one.
    pub events: Arc<dyn EventStore>,
    /// Shares of statistics.
    pub shares: Arc<dyn ShareStore>,
    /// Idempotency keys.
    pub idempotency: Arc<dyn IdempotencyStore>,
    /// The edges' own count.
    pub ledger: Arc<dyn LedgerStore>,
    /// Clicks that somebody asked to have removed.
    pub purges: Arc<dyn PurgeStore>,
    /// What goes by age.
    pub retention: Arc<dyn RetentionStore>,
    /// How far certificates are.
    pub certificates: Arc<dyn CertificateStore>,
    /// What their issuer keeps.
    pub issuer: Arc<dyn IssuerStore>,
    /// What edges read of them.
    pub served: Arc<dyn ServedCertificates>,
    /// Keys of session tickets.
    pub tickets: Arc<dyn TicketKeyStore>,
    /// Whether a click is refused when its month was never prepared; `false` where any time can be stored.
    pub needs_partitions: bool,
}

/// An account and the workspace it owns.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// The account.
    pub user_id: UserId,
    /// Its workspace.
    pub workspace_id: WorkspaceId,
}

/// Answers questions from rollups, long after every click of the suites.
pub fn rolled_up<S: RollupStore + AnalyticsStore + 'static>(store: S) -> Arc<dyn AnalyticsStore> {
    Arc::new(RolledUpAnalytics::new(store, Arc::new(|| at(100_000_000))))
}

/// Returns a number no other call of this process got.
fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn random_part() -> [u8; 10] {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&unique().to_be_bytes());
    random
}

/// Returns the instant `seconds` after 2026-05-10T12:00:00Z, the suites' noon; may be negative.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_778_414_400_000_000 + seconds * 1_000_000).expect("within the years 1 to 9999")
}

/// Returns a fresh UUID that is made of a counter; for ids whose order does not matter.
pub fn fresh_uuid() -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(at(0).as_millis().unsigned_abs(), &random_part()).into_uuid()
}

/// Parses a short code that is known to be one.
pub fn code(text: &str) -> ShortCode {
    text.parse().expect("the suite writes valid codes")
}

/// Parses a target that is known to be one.
pub fn target(text: &str) -> TargetUrl {
    TargetUrl::parse(text, &[]).expect("the suite writes valid targets")
}

impl Owner {
    /// Returns the context of a change this account makes at `at`.
    pub fn context(&self, at: Timestamp) -> ChangeContext {
        ChangeContext {
            audit_id: AuditId::from_parts(at, random_part()),
            user_id: Some(self.user_id),
            key_id: None,
            request_id: Some("request-1".to_owned()),
            at,
        }
    }

    /// Returns a link of this owner on the default domain, ready to be inserted.
    pub fn new_link(&self, short_code: &str) -> NewLink {
        NewLink {
            id: LinkId::from_uuid(fresh_uuid()),
            workspace_id: self.workspace_id,
            user_id: self.user_id,
            domain_id: DomainId::DEFAULT,
            short_code: code(short_code),
            target_url: target("https://example.com/"),
            title: String::new(),
            redirect_status: RedirectStatus::Found,
            is_active: true,
            expires_at: None,
        }
    }
}

impl Stores {
    /// Inserts an account `name@example.com` with its own workspace, made at noon.
    pub async fn owner(&self, name: &str) -> Owner {
        let owner = Owner {
            user_id: UserId::from_uuid(fresh_uuid()),
            workspace_id: WorkspaceId::from_uuid(fresh_uuid()),
        };
        let user = NewUser {
            id: owner.user_id,
            email: format!("{name}@example.com").parse().expect("a plain name makes an address"),
            password_hash: "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA".to_owned(),
            plan: Plan::Free,
            is_operator: false,
        };
        let workspace =
            Workspace { id: owner.workspace_id, name: format!("{name}'s workspace"), created_at: at(0) };
        self.users.insert(user, &workspace, &owner.context(at(0))).await.expect("a new account is stored");
        owner
    }

    /// Inserts a domain of the owner's workspace.
    pub async fn domain(&self, owner: &Owner, host: &str) -> Domain {
        let domain = Domain {
            id: DomainId::from_uuid(fresh_uuid()),
            workspace_id: Some(owner.workspace_id),
            host: host.parse().expect("the suite writes valid hosts"),
            verified_at: None,
            created_at: at(0),
        };
        self.domains.insert(&domain, &owner.context(at(0))).await.expect("a new domain is stored");
        domain
    }

    /// Inserts a link on the default domain at noon.
    pub async fn link(&self, owner: &Owner, short_code: &str) -> Link {
        self.link_at(owner.new_link(short_code), owner, at(0)).await
    }

    /// Inserts a link at an instant.
    pub async fn link_at(&self, new: NewLink, owner: &Owner, at: Timestamp) -> Link {
        self.links.insert(new, &owner.context(at)).await.expect("a new link is stored")
    }

    /// Returns the link as it is now.
    pub async fn reload(&self, link: &Link) -> Link {
        let found = self.links.find(link.workspace_id, link.id).await.expect("the database answers");
        found.expect("the link is there")
    }

    /// Returns the newest audit entries of the owner's workspace about `subject`, newest first.
    pub async fn audit_of(&self, owner: &Owner, subject: &str) -> Vec<AuditEntry> {
        let filter = AuditFilter {
            workspace_id: owner.workspace_id,
            subject_id: Some(subject.to_owned()),
            before: None,
            size: PageSize::DEFAULT,
        };
        self.audit.list(&filter).await.expect("the audit log answers").items
    }

    /// Removes everything that waits in the outbox.
    pub async fn clear_outbox(&self) {
        loop {
            let entries = self.outbox.pending(100).await.expect("the outbox answers");
            if entries.is_empty() {
                return;
            }
            let sequences: Vec<i64> = entries.iter().map(|entry| entry.sequence).collect();
            self.outbox.remove(&sequences).await.expect("the outbox answers");
        }
    }

    /// Makes storage for the clicks of noon's month and its neighbors.
    pub async fn prepare_months(&self) {
        let month = Duration::from_hours(31 * 24);
        self.clicks
            .ensure_partitions(at(0).minus(month), at(0).plus(month))
            .await
            .expect("months can be prepared");
    }
}

/// Returns a counted click on `link` at `at`, which is cut to whole milliseconds as ids are.
pub fn click(link: &Link, at: Timestamp) -> ClickRow {
    let id = ClickId::from_parts(at, random_part());
    ClickRow {
        id,
        timestamp: id.timestamp().expect("the id was made from a time"),
        link_id: link.id,
        workspace_id: link.workspace_id,
        domain: String::new(),
        class: ClickClass::Counted,
        bot: String::new(),
        user_agent: String::new(),
        country_code: String::new(),
        region: String::new(),
        city: String::new(),
        device_type: String::new(),
        browser: String::new(),
        os: String::new(),
        language: String::new(),
        referer: String::new(),
        referer_host: String::new(),
        ip_address: String::new(),
        trigger: "link".to_owned(),
        utm_source: String::new(),
        utm_medium: String::new(),
        utm_campaign: String::new(),
        utm_term: String::new(),
        utm_content: String::new(),
        visitor_id: None,
    }
}

/// Runs all of them at the same time and returns their results in order.
pub(crate) async fn join_all<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<Pin<Box<_>>> = futures.into_iter().map(Box::pin).collect();
    let mut results: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut is_done = true;
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(value) => *result = Some(value),
                    Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    results.into_iter().map(|result| result.expect("every future has ended")).collect()
}

/// Generates one `#[tokio::test]` per named rule of a suite; the suites' own macros call it.
#[macro_export]
macro_rules! store_rules {
    (@rule $fixture:expr, [$($module:ident)::+], $rule:ident) => {
        #[tokio::test]
        async fn $rule() {
            let fixture = $fixture.await;
            $crate::contract::$($module)::+::$rule(&fixture.stores).await;
        }
    };
    (@all $fixture:expr, $module:tt, $($rule:ident),+) => {
        $($crate::store_rules!(@rule $fixture, $module, $rule);)+
    };
    ($fixture:expr, $($module:ident)::+, [$($rule:ident),+ $(,)?]) => {
        $crate::store_rules!(@all $fixture, [$($module)::+], $($rule),+);
    };
}

#[cfg(test)]
mod tests {
    /// A rule that no macro names would never run.
    #[test]
    fn every_rule_is_listed_in_its_macro() {
        for (file, source) in [
            ("links.rs", include_str!("links.rs")),
            ("link_lists.rs", include_str!("link_lists.rs")),
            ("lookup.rs", include_str!("lookup.rs")),
            ("outbox.rs", include_str!("outbox.rs")),
            ("clicks.rs", include_str!("clicks.rs")),
            ("analytics.rs", include_str!("analytics.rs")),
            ("events.rs", include_str!("events.rs")),
            ("shares.rs", include_str!("shares.rs")),
            ("rollups.rs", include_str!("rollups.rs")),
            ("idempotency.rs", include_str!("idempotency.rs")),
            ("ledger.rs", include_str!("ledger.rs")),
            ("retention.rs", include_str!("retention.rs")),
            ("purges.rs", include_str!("purges.rs")),
            ("amendments.rs", include_str!("amendments.rs")),
            ("certificates.rs", include_str!("certificates.rs")),
        ] {
            let listing = source.split("macro_rules!").nth(1).expect("a suite has a macro");
            let listed: Vec<&str> = listing.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
            let rules = source
                .lines()
                .filter_map(|line| line.strip_prefix("pub async fn "))
                .filter_map(|rest| rest.split_once('(').map(|(name, _)| name));
            for rule in rules {
                assert!(listed.contains(&rule), "{file}: {rule} is not listed");
            }
        }
    }
}
