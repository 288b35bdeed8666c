//! Rules of [`Outbox`](crate::ports::Outbox): every change of a link or domain leaves its event, in order.
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use super::stores::{Owner, Stores, at, join_all};
use crate::link::{Link, LinkPatch, LinkUpdate, NewLink};
use crate::outbox::{OutboxEntry, OutboxEvent};

/// Generates one test per rule; `$fixture` is a future of a value with a field `stores`.
#[macro_export]
macro_rules! outbox_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            outbox,
            [
                a_new_database_has_nothing_to_tell,
                every_change_of_a_link_leaves_its_event_in_order,
                events_of_an_own_domain_carry_its_host,
                changes_of_domains_leave_an_event,
                pending_takes_the_oldest_first,
                removed_entries_are_gone_and_unknown_ones_ignored,
                refused_changes_leave_no_event,
                changes_at_once_leave_one_event_each,
            ]
        );
    };
}

async fn pending(stores: &Stores, max: u16) -> Vec<OutboxEntry> {
    stores.outbox.pending(max).await.expect("the outbox answers")
}

fn event(link: &Link) -> OutboxEvent {
    OutboxEvent::Link { key: link.key(), revision: link.revision }
}

fn title(text: &str) -> LinkPatch {
    LinkPatch { title: Some(text.to_owned()), ..LinkPatch::default() }
}

async fn update(stores: &Stores, owner: &Owner, link: &Link, patch: &LinkPatch) -> LinkUpdate {
    let context = owner.context(at(1));
    stores
        .links
        .update(owner.workspace_id, link.id, None, patch, &context)
        .await
        .expect("the database answers")
}

/// Neither migrations nor accounts concern caches.
pub async fn a_new_database_has_nothing_to_tell(stores: &Stores) {
    stores.owner("ada").await;
    assert!(pending(stores, 10).await.is_empty());
}

/// Insert, update, delete, restore: key and revision of each, sequences ascending.
pub async fn every_change_of_a_link_leaves_its_event_in_order(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let workspace = owner.workspace_id;
    let link = stores.link(&owner, "launch").await;
    let mut expected = vec![event(&link)];
    update(stores, &owner, &link, &title("x")).await;
    expected.push(event(&stores.reload(&link).await));
    let deleted = stores.links.delete(workspace, link.id, None, &owner.context(at(2))).await;
    deleted.expect("the database answers");
    expected.push(event(&stores.reload(&link).await));
    let restored = stores.links.restore(workspace, link.id, &owner.context(at(3))).await;
    restored.expect("the database answers");
    expected.push(event(&stores.reload(&link).await));

    let entries = pending(stores, 10).await;
    let events: Vec<_> = entries.iter().map(|entry| entry.event.clone()).collect();
    assert_eq!(events, expected);
    assert!(entries.is_sorted_by(|a, b| a.sequence < b.sequence), "{entries:?}");
}

/// The key is the one edges look the link up by.
pub async fn events_of_an_own_domain_carry_its_host(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let domain = stores.domain(&owner, "go.example.com").await;
    stores.clear_outbox().await;
    let link =
        stores.link_at(NewLink { domain_id: domain.id, ..owner.new_link("launch") }, &owner, at(0)).await;
    update(stores, &owner, &link, &title("x")).await;
    let link = stores.reload(&link).await;
    assert_eq!(link.key().domain, Some(domain.host));
    let entries = pending(stores, 10).await;
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1].event, event(&link));
}

/// Edges reload the set of domains when one comes or goes.
pub async fn changes_of_domains_leave_an_event(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let domain = stores.domain(&owner, "go.example.com").await;
    let is_gone = stores.domains.delete(owner.workspace_id, domain.id, &owner.context(at(1))).await;
    assert!(is_gone.expect("the database answers"));
    let events: Vec<_> = pending(stores, 10).await.into_iter().map(|entry| entry.event).collect();
    assert_eq!(events, [OutboxEvent::Domains, OutboxEvent::Domains]);
}

/// At most `max`, and asking again gives the same.
pub async fn pending_takes_the_oldest_first(stores: &Stores) {
    let owner = stores.owner("ada").await;
    for n in 0..5 {
        stores.link(&owner, &format!("c{n}")).await;
    }
    let all = pending(stores, 100).await;
    assert_eq!(all.len(), 5);
    assert_eq!(pending(stores, 3).await, all[..3]);
    assert_eq!(pending(stores, 3).await, all[..3]);
}

/// Removing is what ends an entry; removing it twice changes nothing, and neither does removing none.
pub async fn removed_entries_are_gone_and_unknown_ones_ignored(stores: &Stores) {
    let owner = stores.owner("ada").await;
    for n in 0..4 {
        stores.link(&owner, &format!("c{n}")).await;
    }
    let all = pending(stores, 100).await;
    let remove = [all[2].sequence, all[0].sequence, i64::MAX, -1];
    for _ in 0..2 {
        stores.outbox.remove(&remove).await.expect("the outbox answers");
        assert_eq!(pending(stores, 100).await, [all[1].clone(), all[3].clone()]);
    }
    stores.outbox.remove(&[]).await.expect("the outbox answers");
    assert_eq!(pending(stores, 100).await.len(), 2);
    // A number is never given out again: a late removal would take a newer event with it.
    stores.outbox.remove(&[all[1].sequence, all[3].sequence]).await.expect("the outbox answers");
    stores.link(&owner, "later").await;
    assert!(pending(stores, 100).await[0].sequence > all[3].sequence);
}

/// What did not happen is not told.
pub async fn refused_changes_leave_no_event(stores: &Stores) {
    let (ada, eve) = (stores.owner("ada").await, stores.owner("eve").await);
    let domain = stores.domain(&ada, "go.example.com").await;
    let link = stores.link_at(NewLink { domain_id: domain.id, ..ada.new_link("launch") }, &ada, at(0)).await;
    stores.clear_outbox().await;
    assert_eq!(update(stores, &eve, &link, &title("x")).await, LinkUpdate::Missing);
    let refused = stores.links.delete(ada.workspace_id, link.id, Some(9), &ada.context(at(1))).await;
    assert_eq!(refused.expect("the database answers"), LinkUpdate::VersionMismatch { current: 1 });
    let refused = stores.domains.delete(ada.workspace_id, domain.id, &ada.context(at(1))).await;
    assert!(refused.is_err(), "a domain with links stays");
    assert!(pending(stores, 10).await.is_empty());
}

/// Writers at the same time lose no event, and each link's events are in the order of its revisions.
pub async fn changes_at_once_leave_one_event_each(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let link = stores.link(&owner, "launch").await;
    stores.clear_outbox().await;
    join_all((0..8).map(|n| {
        let (link, owner) = (&link, &owner);
        async move { update(stores, owner, link, &title(&n.to_string())).await }
    }))
    .await;
    let revisions: Vec<i64> = pending(stores, 100)
        .await
        .into_iter()
        .map(|entry| match entry.event {
            OutboxEvent::Link { revision, .. } => revision,
            OutboxEvent::Domains => panic!("no domain changed"),
        })
        .collect();
    assert_eq!(revisions.len(), 8);
    assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
    assert_eq!(revisions.last(), Some(&stores.reload(&link).await.revision));
}
