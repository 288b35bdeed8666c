//! Rules of [`LinkLookup`](crate::ports::LinkLookup) straight on a database.
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use super::stores::{Stores, at, code};
use crate::link::{Link, LinkKey, LinkPatch, NewLink, RedirectStatus};
use crate::resolve::CachedLink;

/// Generates one test per rule; `$fixture` is a future of a value with a field `stores`.
#[macro_export]
macro_rules! link_lookup_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            lookup,
            [
                active_link_is_found_with_everything_the_edge_needs,
                unknown_code_is_none,
                lookup_is_exact_about_case,
                disabled_link_is_found_inactive,
                expired_link_is_found_with_its_expiry,
                archived_link_is_found_active,
                deleted_link_is_none_until_it_is_restored,
                domains_have_codes_of_their_own,
            ]
        );
    };
}

async fn lookup(stores: &Stores, key: &LinkKey) -> Option<CachedLink> {
    stores.lookup.lookup(key).await.expect("the database answers")
}

async fn update(stores: &Stores, link: &Link, patch: LinkPatch) -> Link {
    let owner = super::stores::Owner { user_id: link.user_id, workspace_id: link.workspace_id };
    let update = stores.links.update(link.workspace_id, link.id, None, &patch, &owner.context(at(1))).await;
    update.expect("the database answers");
    stores.reload(link).await
}

/// The answer is what [`CachedLink::from`] makes of the stored link, its revision included.
pub async fn active_link_is_found_with_everything_the_edge_needs(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let new = NewLink { redirect_status: RedirectStatus::TemporaryRedirect, ..owner.new_link("launch") };
    let link = stores.link_at(new, &owner, at(0)).await;
    let found = lookup(stores, &link.key()).await;
    assert_eq!(found, Some(CachedLink::from(&link)));
    assert!(found.is_some_and(|found| found.active));
    let link = update(stores, &link, LinkPatch { title: Some("x".to_owned()), ..LinkPatch::default() }).await;
    assert_eq!(lookup(stores, &link.key()).await, Some(CachedLink::from(&link)));
}

/// Not-found is `None`, on known and unknown domains.
pub async fn unknown_code_is_none(stores: &Stores) {
    let owner = stores.owner("ada").await;
    stores.link(&owner, "launch").await;
    let domain = Some("nobody.example.com".parse().expect("a valid host"));
    assert_eq!(lookup(stores, &LinkKey { domain: None, short_code: code("other") }).await, None);
    assert_eq!(lookup(stores, &LinkKey { domain, short_code: code("launch") }).await, None);
}

/// `Launch` is not `launch`.
pub async fn lookup_is_exact_about_case(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let link = stores.link(&owner, "launch").await;
    assert_eq!(lookup(stores, &LinkKey { domain: None, short_code: code("Launch") }).await, None);
    let upper = stores.link(&owner, "Launch").await;
    assert_eq!(lookup(stores, &link.key()).await.map(|found| found.id), Some(link.id));
    assert_eq!(lookup(stores, &upper.key()).await.map(|found| found.id), Some(upper.id));
}

/// A cache must be able to tell "switched off" from "unknown".
pub async fn disabled_link_is_found_inactive(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let link = stores.link_at(NewLink { is_active: false, ..owner.new_link("launch") }, &owner, at(0)).await;
    let found = lookup(stores, &link.key()).await;
    assert_eq!(found, Some(CachedLink::from(&link)));
    assert!(found.is_some_and(|found| !found.active));
}

/// Time decides at the edge, not in the database.
pub async fn expired_link_is_found_with_its_expiry(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let new = NewLink { expires_at: Some(at(-86_400)), ..owner.new_link("launch") };
    let link = stores.link_at(new, &owner, at(0)).await;
    let found = lookup(stores, &link.key()).await.expect("expired links are found");
    assert_eq!((found.active, found.expires_at), (true, Some(at(-86_400))));
}

/// Archiving hides from lists and nothing else.
pub async fn archived_link_is_found_active(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let link = stores.link(&owner, "launch").await;
    let link = update(stores, &link, LinkPatch { is_archived: Some(true), ..LinkPatch::default() }).await;
    let found = lookup(stores, &link.key()).await;
    assert_eq!(found, Some(CachedLink::from(&link)));
    assert!(found.is_some_and(|found| found.active));
}

/// Deleting takes effect for visitors at once, and so does restoring.
pub async fn deleted_link_is_none_until_it_is_restored(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let link = stores.link(&owner, "launch").await;
    let deleted = stores.links.delete(owner.workspace_id, link.id, None, &owner.context(at(1))).await;
    deleted.expect("the database answers");
    assert_eq!(lookup(stores, &link.key()).await, None);
    let restored = stores.links.restore(owner.workspace_id, link.id, &owner.context(at(2))).await;
    restored.expect("the database answers");
    let link = stores.reload(&link).await;
    assert_eq!(lookup(stores, &link.key()).await, Some(CachedLink::from(&link)));
}

/// The same code leads elsewhere on another domain.
pub async fn domains_have_codes_of_their_own(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let domain = stores.domain(&owner, "go.example.com").await;
    stores.domain(&owner, "other.example.com").await;
    let on_default = stores.link(&owner, "launch").await;
    let on_own =
        stores.link_at(NewLink { domain_id: domain.id, ..owner.new_link("launch") }, &owner, at(0)).await;
    assert_eq!(lookup(stores, &on_default.key()).await.map(|found| found.id), Some(on_default.id));
    assert_eq!(lookup(stores, &on_own.key()).await.map(|found| found.id), Some(on_own.id));
    let elsewhere = LinkKey {
        domain: Some("other.example.com".parse().expect("a valid host")),
        short_code: code("launch"),
    };
    assert_eq!(lookup(stores, &elsewhere).await, None);
}
