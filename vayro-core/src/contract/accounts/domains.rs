//! Rules of [`crate::ports::DomainStore`].

use serde_json::Value;

use super::sample::{self, at, context, domain, owner};
use crate::account::Domain;
use crate::contract::stores::Stores;
use crate::host::Host;
use crate::ids::{DomainId, LinkId, UserId, WorkspaceId};
use crate::link::{Link, LinkUpdate, NewLink, RedirectStatus};
use crate::outbox::OutboxEvent;
use crate::ports::StoreError;
use crate::target::TargetUrl;

fn host(text: &str) -> Host {
    text.parse().expect("valid")
}

async fn insert(stores: &Stores, domain: &Domain) {
    stores.domains.insert(domain, &context(domain.created_at)).await.expect("stored");
}

async fn insert_link(stores: &Stores, workspace: WorkspaceId, user: UserId, domain: DomainId) -> Link {
    let new = NewLink {
        id: LinkId::from_parts(at(0), [7; 10]),
        workspace_id: workspace,
        user_id: user,
        domain_id: domain,
        short_code: "launch".parse().expect("valid"),
        target_url: TargetUrl::from_stored("https://example.com/".to_owned()).expect("valid"),
        title: String::new(),
        redirect_status: RedirectStatus::Found,
        is_active: true,
        expires_at: None,
    };
    stores.links.insert(new, &context(at(0))).await.expect("stored")
}

/// The default domain is there from the first migration on and open to every workspace.
pub async fn default_domain_is_there_for_everyone(stores: &Stores) {
    let (_, workspace) = owner(stores, at(0)).await;
    for workspace in [workspace.id, sample::workspace_id(at(0))] {
        let list = stores.domains.list(workspace).await.expect("ok");
        assert_eq!(list.len(), 1);
        assert!(list[0].is_default());
        assert_eq!((list[0].workspace_id, list[0].host.as_str()), (None, "localhost"));
        let found = stores.domains.find(workspace, DomainId::DEFAULT).await.expect("ok");
        assert_eq!(found.as_ref(), list.first());
        let found = stores.domains.find_by_host(workspace, &host("localhost")).await.expect("ok");
        assert_eq!(found.as_ref(), list.first());
    }
    assert_eq!(stores.domains.hosts().await.expect("ok"), []);
}

/// The default domain takes the configured host, tells the edges once, and keeps quiet afterwards.
pub async fn default_domain_follows_the_configuration(stores: &Stores) {
    let (_, workspace) = owner(stores, at(0)).await;
    stores.domains.ensure_default(&host("localhost"), at(1)).await.expect("ok");
    assert_eq!(sample::empty_outbox(stores).await, 0);
    stores.domains.ensure_default(&host("vay.ro"), at(2)).await.expect("ok");
    let found = stores.domains.find(workspace.id, DomainId::DEFAULT).await.expect("ok").expect("there");
    assert_eq!(found.host, host("vay.ro"));
    assert!(stores.domains.find_by_host(workspace.id, &host("localhost")).await.expect("ok").is_none());
    let pending = stores.outbox.pending(10).await.expect("ok");
    assert_eq!(pending.iter().map(|entry| &entry.event).collect::<Vec<_>>(), [&OutboxEvent::Domains]);
    sample::empty_outbox(stores).await;
    stores.domains.ensure_default(&host("vay.ro"), at(3)).await.expect("ok");
    assert_eq!(sample::empty_outbox(stores).await, 0);
}

/// The default domain cannot take a host that a workspace has.
pub async fn default_domain_cannot_take_a_taken_host(stores: &Stores) {
    let (_, workspace) = owner(stores, at(0)).await;
    let taken = domain(workspace.id, at(1));
    insert(stores, &taken).await;
    let result = stores.domains.ensure_default(&taken.host, at(2)).await;
    assert!(matches!(result, Err(StoreError::Conflict { constraint: "domain_host" })), "{result:?}");
}

/// What goes in comes out; it is audited and announced to the edges.
pub async fn stored_domain_is_found(stores: &Stores) {
    let (_, workspace) = owner(stores, at(0)).await;
    sample::empty_outbox(stores).await;
    let domain = Domain { verified_at: Some(at(5)), ..domain(workspace.id, at(1)) };
    insert(stores, &domain).await;
    assert_eq!(stores.domains.find(workspace.id, domain.id).await.expect("ok"), Some(domain.clone()));
    let by_host = stores.domains.find_by_host(workspace.id, &domain.host).await.expect("ok");
    assert_eq!(by_host, Some(domain.clone()));
    let pending = stores.outbox.pending(10).await.expect("ok");
    assert_eq!(pending.iter().map(|entry| &entry.event).collect::<Vec<_>>(), [&OutboxEvent::Domains]);
    let audit = sample::last_audit(stores, workspace.id).await;
    assert_eq!((audit.action.as_str(), audit.subject_id), ("domain.create", domain.id.to_string()));
    assert_eq!((audit.before, audit.after), (Value::Null, serde_json::to_value(&domain).expect("JSON")));
}

/// Proof of control is kept from when it was first given, and audited once.
pub async fn a_domain_is_verified_once(stores: &Stores) {
    let (_, workspace) = owner(stores, at(0)).await;
    let domain = domain(workspace.id, at(1));
    insert(stores, &domain).await;
    stores.domains.verify(&domain.host, &context(at(5))).await.expect("ok");
    stores.domains.verify(&domain.host, &context(at(9))).await.expect("ok");
    stores.domains.verify(&host("nobody.example.com"), &context(at(9))).await.expect("ok");
    let verified = Domain { verified_at: Some(at(5)), ..domain.clone() };
    let found = stores.domains.find(workspace.id, domain.id).await.expect("ok");
    assert_eq!(found.as_ref(), Some(&verified));
    let audit = sample::last_audit(stores, workspace.id).await;
    assert_eq!((audit.action.as_str(), audit.subject_id), ("domain.verify", domain.id.to_string()));
    assert_eq!(audit.created_at, at(5));
    assert_eq!(audit.before, serde_json::to_value(&domain).expect("JSON"));
}

/// A workspace does not see, find or remove another one's domains.
pub async fn domains_of_others_are_hidden(stores: &Stores) {
    let (_, mine) = owner(stores, at(0)).await;
    let (_, theirs) = owner(stores, at(0)).await;
    let domain = domain(theirs.id, at(1));
    insert(stores, &domain).await;
    assert_eq!(stores.domains.find(mine.id, domain.id).await.expect("ok"), None);
    assert_eq!(stores.domains.find_by_host(mine.id, &domain.host).await.expect("ok"), None);
    assert_eq!(stores.domains.list(mine.id).await.expect("ok").len(), 1);
    assert!(!stores.domains.delete(mine.id, domain.id, &context(at(2))).await.expect("ok"));
    assert_eq!(stores.domains.find(theirs.id, domain.id).await.expect("ok"), Some(domain));
}

/// The default domain comes first, the others by creation.
pub async fn list_begins_with_the_default_domain(stores: &Stores) {
    let (_, workspace) = owner(stores, at(0)).await;
    let later = domain(workspace.id, at(20));
    let earlier = domain(workspace.id, at(10));
    insert(stores, &later).await;
    insert(stores, &earlier).await;
    let list = stores.domains.list(workspace.id).await.expect("ok");
    let ids: Vec<DomainId> = list.iter().map(|domain| domain.id).collect();
    assert_eq!(ids, [DomainId::DEFAULT, earlier.id, later.id]);
}

/// A host is taken once on the instance, whoever asks, and an unsuccessful try leaves no trace.
pub async fn taken_host_is_a_conflict(stores: &Stores) {
    let (_, mine) = owner(stores, at(0)).await;
    let (_, theirs) = owner(stores, at(0)).await;
    let taken = domain(theirs.id, at(1));
    insert(stores, &taken).await;
    sample::empty_outbox(stores).await;
    for host in [taken.host, host("localhost")] {
        let again = Domain { host, ..domain(mine.id, at(2)) };
        let result = stores.domains.insert(&again, &context(at(2))).await;
        assert!(matches!(result, Err(StoreError::Conflict { constraint: "domain_host" })), "{result:?}");
        assert_eq!(stores.domains.find(mine.id, again.id).await.expect("ok"), None);
    }
    assert_eq!(sample::empty_outbox(stores).await, 0);
    assert_eq!(sample::audit_of(stores, mine.id).await.len(), 1);
}

/// Removing is audited and announced; the host is free again.
pub async fn removed_domain_is_gone(stores: &Stores) {
    let (_, workspace) = owner(stores, at(0)).await;
    let gone = domain(workspace.id, at(1));
    insert(stores, &gone).await;
    sample::empty_outbox(stores).await;
    assert!(stores.domains.delete(workspace.id, gone.id, &context(at(2))).await.expect("ok"));
    assert_eq!(stores.domains.find(workspace.id, gone.id).await.expect("ok"), None);
    let pending = stores.outbox.pending(10).await.expect("ok");
    assert_eq!(pending.iter().map(|entry| &entry.event).collect::<Vec<_>>(), [&OutboxEvent::Domains]);
    let audit = sample::last_audit(stores, workspace.id).await;
    assert_eq!((audit.action.as_str(), audit.subject_id), ("domain.delete", gone.id.to_string()));
    assert_eq!((audit.before, audit.after), (serde_json::to_value(&gone).expect("JSON"), Value::Null));
    assert!(!stores.domains.delete(workspace.id, gone.id, &context(at(3))).await.expect("ok"));
    insert(stores, &Domain { host: gone.host, ..domain(workspace.id, at(4)) }).await;
}

/// The default domain cannot be removed.
pub async fn default_domain_stays(stores: &Stores) {
    let (_, workspace) = owner(stores, at(0)).await;
    let deleted = stores.domains.delete(workspace.id, DomainId::DEFAULT, &context(at(1))).await;
    assert!(!deleted.expect("ok"));
    assert!(stores.domains.find(workspace.id, DomainId::DEFAULT).await.expect("ok").is_some());
}

/// A domain with links, even deleted ones, stays.
pub async fn domain_with_links_stays(stores: &Stores) {
    let (user, workspace) = owner(stores, at(0)).await;
    let domain = domain(workspace.id, at(1));
    insert(stores, &domain).await;
    let link = insert_link(stores, workspace.id, user.id, domain.id).await;
    let result = stores.domains.delete(workspace.id, domain.id, &context(at(2))).await;
    assert!(matches!(result, Err(StoreError::Conflict { constraint: "domain_links" })), "{result:?}");
    let deleted = stores.links.delete(workspace.id, link.id, None, &context(at(3))).await.expect("ok");
    assert!(matches!(deleted, LinkUpdate::Done(_)), "{deleted:?}");
    let result = stores.domains.delete(workspace.id, domain.id, &context(at(4))).await;
    assert!(matches!(result, Err(StoreError::Conflict { constraint: "domain_links" })), "{result:?}");
    assert_eq!(stores.links.purge_deleted(at(5), 10).await.expect("ok"), 1);
    assert!(stores.domains.delete(workspace.id, domain.id, &context(at(6))).await.expect("ok"));
}

/// Edges get every host of every workspace, without the default one.
pub async fn hosts_are_all_but_the_default_one(stores: &Stores) {
    let (_, one) = owner(stores, at(0)).await;
    let (_, two) = owner(stores, at(0)).await;
    let mut expected = Vec::new();
    for workspace in [one.id, two.id, one.id] {
        let domain = domain(workspace, at(1));
        insert(stores, &domain).await;
        expected.push(domain.host);
    }
    let mut hosts = stores.domains.hosts().await.expect("ok");
    hosts.sort();
    expected.sort();
    assert_eq!(hosts, expected);
}

/// Makes one test per rule of [`crate::ports::DomainStore`].
#[macro_export]
macro_rules! domain_store_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            accounts::domains,
            [
                default_domain_is_there_for_everyone,
                default_domain_follows_the_configuration,
                default_domain_cannot_take_a_taken_host,
                stored_domain_is_found,
                a_domain_is_verified_once,
                domains_of_others_are_hidden,
                list_begins_with_the_default_domain,
                taken_host_is_a_conflict,
                removed_domain_is_gone,
                default_domain_stays,
                domain_with_links_stays,
                hosts_are_all_but_the_default_one,
            ]
        );
    };
}
