//! Rules of [`LinkStore`](crate::ports::LinkStore): inserting, changing, deleting, restoring, purging.
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use super::stores::{Owner, Stores, at, click, code, fresh_uuid, join_all, target};
use crate::ids::{DomainId, KeyId, LinkId};
use crate::link::{Link, LinkPatch, LinkUpdate, NewLink, RedirectStatus};
use crate::links::LINK_CODE_CONSTRAINT;
use crate::ports::StoreError;
use crate::timestamp::Timestamp;

/// Generates one test per rule; `$fixture` is a future of a value with a field `stores`.
#[macro_export]
macro_rules! link_store_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            links,
            [
                inserted_link_is_what_was_asked_for,
                link_on_an_own_domain_knows_its_host,
                every_redirect_status_is_kept,
                texts_and_instants_are_kept_exactly,
                unknown_link_is_none,
                code_taken_is_conflict,
                code_of_a_deleted_link_is_taken,
                whether_a_code_is_taken_is_known_beforehand,
                codes_differ_by_case,
                links_are_counted_by_the_length_of_their_codes,
                a_code_is_free_on_another_domain,
                a_refused_insert_leaves_nothing_behind,
                update_changes_what_the_patch_names,
                expiry_is_set_and_cleared,
                archiving_remembers_when,
                version_mismatch_changes_nothing,
                a_patch_that_changes_nothing_is_no_change,
                deleted_links_are_kept_and_not_updated,
                deletion_asks_for_the_version_too,
                restoring_takes_back_a_deletion,
                revisions_strictly_increase_over_all_links,
                every_change_is_audited,
                other_workspaces_cannot_touch_a_link,
                of_two_updates_of_one_version_one_wins,
                unconditional_updates_all_happen,
                of_two_inserts_of_one_code_one_wins,
                purge_removes_links_deleted_before_the_deadline,
                purge_takes_at_most_max,
                purge_removes_the_clicks,
            ]
        );
    };
}

fn done(update: Result<LinkUpdate, StoreError>) -> Link {
    match update.expect("the database answers") {
        LinkUpdate::Done(link) => *link,
        other => panic!("expected the change to be done, got {other:?}"),
    }
}

fn title(text: &str) -> LinkPatch {
    LinkPatch { title: Some(text.to_owned()), ..LinkPatch::default() }
}

fn is_code_conflict<T: std::fmt::Debug>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Conflict { constraint: LINK_CODE_CONSTRAINT }))
}

/// A link starts at version 1, made and changed at the context's instant, never clicked.
pub async fn inserted_link_is_what_was_asked_for(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let new = NewLink {
        target_url: target("https://example.com/a?b=c#d"),
        title: "Launch".to_owned(),
        redirect_status: RedirectStatus::PermanentRedirect,
        is_active: false,
        expires_at: Some(at(60)),
        ..owner.new_link("launch")
    };
    let link = stores.link_at(new.clone(), &owner, at(5)).await;
    let expected = Link {
        id: new.id,
        workspace_id: owner.workspace_id,
        user_id: owner.user_id,
        domain_id: DomainId::DEFAULT,
        domain: None,
        short_code: code("launch"),
        target_url: new.target_url,
        title: "Launch".to_owned(),
        redirect_status: RedirectStatus::PermanentRedirect,
        is_active: false,
        expires_at: Some(at(60)),
        archived_at: None,
        deleted_at: None,
        created_at: at(5),
        updated_at: at(5),
        version: 1,
        revision: link.revision,
        clicks: 0,
        last_click_at: None,
    };
    assert_eq!(link, expected);
    assert!(link.revision > 0);
    assert_eq!(stores.reload(&link).await, link);
}

/// `domain` is the host of a domain that is not the default one.
pub async fn link_on_an_own_domain_knows_its_host(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let domain = stores.domain(&owner, "go.example.com").await;
    let new = NewLink { domain_id: domain.id, ..owner.new_link("launch") };
    let link = stores.link_at(new, &owner, at(0)).await;
    assert_eq!(link.domain.as_ref(), Some(&domain.host));
    assert_eq!(stores.reload(&link).await, link);
    let link = done(
        stores.links.update(owner.workspace_id, link.id, None, &title("x"), &owner.context(at(1))).await,
    );
    assert_eq!(link.domain, Some(domain.host));
}

/// All five statuses come back.
pub async fn every_redirect_status_is_kept(stores: &Stores) {
    let owner = stores.owner("ada").await;
    for status in [301, 302, 303, 307, 308] {
        let redirect_status = RedirectStatus::try_from(status).expect("one of the five");
        let new = NewLink { redirect_status, ..owner.new_link(&format!("s{status}")) };
        let link = stores.link_at(new, &owner, at(0)).await;
        assert_eq!(stores.reload(&link).await.redirect_status, redirect_status);
    }
}

/// Quotes, wildcards, other scripts and microseconds survive.
pub async fn texts_and_instants_are_kept_exactly(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let expiry = Timestamp::from_micros(at(0).as_micros() + 123_457).expect("in range");
    let new = NewLink {
        title: "it's \"50 %\" \\ Größe_日本 🚀".to_owned(),
        target_url: target("https://bücher.example/ü?q='\"%25&x=ä"),
        expires_at: Some(expiry),
        ..owner.new_link("-odd_Code-")
    };
    let link = stores.link_at(new.clone(), &owner, expiry).await;
    let found = stores.reload(&link).await;
    assert_eq!(found.title, new.title);
    assert_eq!(found.target_url, new.target_url);
    assert_eq!((found.expires_at, found.created_at), (Some(expiry), expiry));
}

/// Not-found is `None`, not an error.
pub async fn unknown_link_is_none(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let id = LinkId::from_uuid(fresh_uuid());
    let context = owner.context(at(0));
    assert_eq!(stores.links.find(owner.workspace_id, id).await.expect("the database answers"), None);
    let update = stores.links.update(owner.workspace_id, id, Some(1), &title("x"), &context).await;
    assert_eq!(update.expect("the database answers"), LinkUpdate::Missing);
    let delete = stores.links.delete(owner.workspace_id, id, None, &context).await;
    assert_eq!(delete.expect("the database answers"), LinkUpdate::Missing);
    let restore = stores.links.restore(owner.workspace_id, id, &context).await;
    assert_eq!(restore.expect("the database answers"), LinkUpdate::Missing);
}

/// A code is unique on its domain, also over workspaces.
pub async fn code_taken_is_conflict(stores: &Stores) {
    let (ada, bob) = (stores.owner("ada").await, stores.owner("bob").await);
    stores.link(&ada, "launch").await;
    for owner in [ada, bob] {
        let again = stores.links.insert(owner.new_link("launch"), &owner.context(at(1))).await;
        assert!(is_code_conflict(&again), "{again:?}");
    }
}

/// A deleted link can be restored, so it keeps its code.
pub async fn code_of_a_deleted_link_is_taken(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let link = stores.link(&owner, "launch").await;
    done(stores.links.delete(owner.workspace_id, link.id, None, &owner.context(at(1))).await);
    let again = stores.links.insert(owner.new_link("launch"), &owner.context(at(2))).await;
    assert!(is_code_conflict(&again), "{again:?}");
}

/// As inserting would find it: over workspaces, deleted or not, on that domain, in that case.
pub async fn whether_a_code_is_taken_is_known_beforehand(stores: &Stores) {
    let (ada, bob) = (stores.owner("ada").await, stores.owner("bob").await);
    let domain = stores.domain(&ada, "go.example.com").await;
    let is_taken = async |domain, text: &str| {
        stores.links.is_code_taken(domain, &code(text)).await.expect("the database answers")
    };
    assert!(!is_taken(DomainId::DEFAULT, "launch").await);
    let link = stores.link(&bob, "launch").await;
    let deleted = NewLink { domain_id: domain.id, ..ada.new_link("gone") };
    let deleted = stores.link_at(deleted, &ada, at(0)).await;
    done(stores.links.delete(bob.workspace_id, link.id, None, &bob.context(at(1))).await);
    done(stores.links.delete(ada.workspace_id, deleted.id, None, &ada.context(at(1))).await);
    assert!(is_taken(DomainId::DEFAULT, "launch").await);
    assert!(is_taken(domain.id, "gone").await);
    for (domain, text) in [(domain.id, "launch"), (DomainId::DEFAULT, "gone"), (DomainId::DEFAULT, "Launch")]
    {
        assert!(!is_taken(domain, text).await, "{text}");
    }
    stores.links.purge_deleted(at(2), 10).await.expect("the database answers");
    assert!(!is_taken(DomainId::DEFAULT, "launch").await, "a purged link keeps no code");
}

/// Codes are compared byte for byte.
pub async fn codes_differ_by_case(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let lower = stores.link(&owner, "launch").await;
    let upper = stores.link(&owner, "Launch").await;
    assert_ne!(lower.id, upper.id);
    assert_eq!(stores.reload(&upper).await.short_code, code("Launch"));
}

/// On all domains; deleted ones lead nowhere.
pub async fn links_are_counted_by_the_length_of_their_codes(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let counted = async || stores.links.count_by_code_length().await.expect("the database answers");
    assert_eq!(counted().await, []);
    let domain = stores.domain(&owner, "go.example.com").await;
    stores.link_at(NewLink { domain_id: domain.id, ..owner.new_link("six666") }, &owner, at(0)).await;
    for code in ["launch", "ab", "gone11"] {
        stores.link(&owner, code).await;
    }
    assert_eq!(counted().await, [(2, 1), (6, 3)]);
    let gone = stores.link(&owner, "gone22").await;
    done(stores.links.delete(owner.workspace_id, gone.id, None, &owner.context(at(1))).await);
    assert_eq!(counted().await, [(2, 1), (6, 3)]);
}

/// Domains have codes of their own.
pub async fn a_code_is_free_on_another_domain(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let domain = stores.domain(&owner, "go.example.com").await;
    stores.link(&owner, "launch").await;
    let new = NewLink { domain_id: domain.id, ..owner.new_link("launch") };
    stores.link_at(new, &owner, at(0)).await;
}

/// Row, audit entry and event are stored together or not at all.
pub async fn a_refused_insert_leaves_nothing_behind(stores: &Stores) {
    let owner = stores.owner("ada").await;
    stores.link(&owner, "launch").await;
    stores.clear_outbox().await;
    let new = owner.new_link("launch");
    let id = new.id;
    let again = stores.links.insert(new, &owner.context(at(1))).await;
    assert!(is_code_conflict(&again), "{again:?}");
    assert_eq!(stores.links.find(owner.workspace_id, id).await.expect("the database answers"), None);
    assert!(stores.audit_of(&owner, &id.to_string()).await.is_empty());
    assert!(stores.outbox.pending(10).await.expect("the outbox answers").is_empty());
}

/// Named fields change; the rest stays; version, revision and `updated_at` move on.
pub async fn update_changes_what_the_patch_names(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let before = stores.link(&owner, "launch").await;
    let patch = LinkPatch {
        target_url: Some(target("https://example.org/")),
        is_active: Some(false),
        ..LinkPatch::default()
    };
    let context = owner.context(at(9));
    let link = done(stores.links.update(owner.workspace_id, before.id, Some(1), &patch, &context).await);
    let expected = Link {
        target_url: target("https://example.org/"),
        is_active: false,
        version: 2,
        updated_at: at(9),
        revision: link.revision,
        ..before.clone()
    };
    assert_eq!(link, expected);
    assert!(link.revision > before.revision);
    assert_eq!(stores.reload(&link).await, link);

    let patch = LinkPatch {
        title: Some("New".to_owned()),
        redirect_status: Some(RedirectStatus::SeeOther),
        ..LinkPatch::default()
    };
    let context = owner.context(at(10));
    let link = done(stores.links.update(owner.workspace_id, before.id, None, &patch, &context).await);
    assert_eq!((link.title.as_str(), link.redirect_status), ("New", RedirectStatus::SeeOther));
    assert_eq!((link.version, link.is_active), (3, false));
    assert_eq!(stores.reload(&link).await, link);
}

/// `Some(None)` clears an expiry, `None` leaves it.
pub async fn expiry_is_set_and_cleared(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let link = stores.link(&owner, "launch").await;
    let mut seconds = 0;
    for (expires_at, expected) in
        [(Some(Some(at(60))), Some(at(60))), (None, Some(at(60))), (Some(None), None), (None, None)]
    {
        seconds += 1;
        let patch = LinkPatch { expires_at, title: Some(seconds.to_string()), ..LinkPatch::default() };
        let context = owner.context(at(seconds));
        let link = done(stores.links.update(owner.workspace_id, link.id, None, &patch, &context).await);
        assert_eq!(link.expires_at, expected);
        assert_eq!(stores.reload(&link).await.expires_at, expected);
    }
}

/// `archived_at` is the instant of the change; archiving twice changes nothing.
pub async fn archiving_remembers_when(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let link = stores.link(&owner, "launch").await;
    let archive = |is_archived| LinkPatch { is_archived: Some(is_archived), ..LinkPatch::default() };
    for (seconds, is_archived, archived_at, version) in
        [(1, true, Some(at(1)), 2), (2, true, Some(at(1)), 2), (3, false, None, 3), (4, false, None, 3)]
    {
        let context = owner.context(at(seconds));
        let update =
            stores.links.update(owner.workspace_id, link.id, None, &archive(is_archived), &context).await;
        let link = done(update);
        assert_eq!((link.archived_at, link.version), (archived_at, version));
    }
}

/// A caller that saw another version is told the current one.
pub async fn version_mismatch_changes_nothing(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let link = stores.link(&owner, "launch").await;
    let context = owner.context(at(1));
    let link = done(stores.links.update(owner.workspace_id, link.id, Some(1), &title("a"), &context).await);
    for expected in [1, 3] {
        let context = owner.context(at(2));
        // Also when the patch would change nothing: the caller's picture is old.
        for patch in [title("b"), title("a"), LinkPatch::default()] {
            let update =
                stores.links.update(owner.workspace_id, link.id, Some(expected), &patch, &context).await;
            assert_eq!(update.expect("the database answers"), LinkUpdate::VersionMismatch { current: 2 });
        }
    }
    assert_eq!(stores.reload(&link).await, link);
    assert_eq!(stores.audit_of(&owner, &link.id.to_string()).await.len(), 2);
}

/// Neither an empty patch nor one that says what is so already makes a version, an entry or an event.
pub async fn a_patch_that_changes_nothing_is_no_change(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let new = NewLink { expires_at: Some(at(60)), title: "T".to_owned(), ..owner.new_link("launch") };
    let link = stores.link_at(new, &owner, at(0)).await;
    stores.clear_outbox().await;
    let same = LinkPatch {
        target_url: Some(link.target_url.clone()),
        title: Some("T".to_owned()),
        redirect_status: Some(link.redirect_status),
        is_active: Some(true),
        expires_at: Some(Some(at(60))),
        is_archived: Some(false),
    };
    for patch in [LinkPatch::default(), same] {
        let context = owner.context(at(1));
        let update = stores.links.update(owner.workspace_id, link.id, Some(1), &patch, &context).await;
        assert_eq!(done(update), link);
    }
    assert_eq!(stores.reload(&link).await, link);
    assert_eq!(stores.audit_of(&owner, &link.id.to_string()).await.len(), 1);
    assert!(stores.outbox.pending(10).await.expect("the outbox answers").is_empty());
}

/// Deleting marks the link; after that it can be seen and restored, nothing else.
pub async fn deleted_links_are_kept_and_not_updated(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let before = stores.link(&owner, "launch").await;
    let workspace = owner.workspace_id;
    let link = done(stores.links.delete(workspace, before.id, None, &owner.context(at(7))).await);
    let expected = Link {
        deleted_at: Some(at(7)),
        updated_at: at(7),
        version: 2,
        revision: link.revision,
        ..before.clone()
    };
    assert_eq!(link, expected);
    assert!(link.revision > before.revision);
    assert_eq!(stores.reload(&link).await, link);
    let again = stores.links.delete(workspace, link.id, None, &owner.context(at(8))).await;
    assert_eq!(again.expect("the database answers"), LinkUpdate::Missing);
    let update = stores.links.update(workspace, link.id, None, &title("x"), &owner.context(at(8))).await;
    assert_eq!(update.expect("the database answers"), LinkUpdate::Missing);
    assert_eq!(stores.reload(&link).await, link);
}

/// `If-Match` holds for deletions as well.
pub async fn deletion_asks_for_the_version_too(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let link = stores.link(&owner, "launch").await;
    let refused = stores.links.delete(owner.workspace_id, link.id, Some(2), &owner.context(at(1))).await;
    assert_eq!(refused.expect("the database answers"), LinkUpdate::VersionMismatch { current: 1 });
    assert_eq!(stores.reload(&link).await, link);
    done(stores.links.delete(owner.workspace_id, link.id, Some(1), &owner.context(at(2))).await);
}

/// A restored link is what it was, at a new version; one that is not deleted is `Missing`.
pub async fn restoring_takes_back_a_deletion(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let workspace = owner.workspace_id;
    let before = stores.link(&owner, "launch").await;
    let context = owner.context(at(1));
    let not_deleted = stores.links.restore(workspace, before.id, &context).await;
    assert_eq!(not_deleted.expect("the database answers"), LinkUpdate::Missing);
    let deleted = done(stores.links.delete(workspace, before.id, None, &owner.context(at(2))).await);
    let link = done(stores.links.restore(workspace, before.id, &owner.context(at(3))).await);
    let expected = Link { version: 3, updated_at: at(3), revision: link.revision, ..before };
    assert_eq!(link, expected);
    assert!(link.revision > deleted.revision);
    assert_eq!(stores.reload(&link).await, link);
}

/// Whatever changes, in whatever workspace, its revision is the highest so far.
pub async fn revisions_strictly_increase_over_all_links(stores: &Stores) {
    let (ada, bob) = (stores.owner("ada").await, stores.owner("bob").await);
    let first = stores.link(&ada, "one").await;
    let second = stores.link(&bob, "two").await;
    let mut revisions = vec![first.revision, second.revision];
    for seconds in 1..4 {
        for (owner, link) in [(ada, &first), (bob, &second)] {
            let (workspace, context) = (owner.workspace_id, owner.context(at(seconds)));
            let patch = title(&seconds.to_string());
            revisions
                .push(done(stores.links.update(workspace, link.id, None, &patch, &context).await).revision);
            let context = owner.context(at(seconds));
            revisions.push(done(stores.links.delete(workspace, link.id, None, &context).await).revision);
            let context = owner.context(at(seconds));
            revisions.push(done(stores.links.restore(workspace, link.id, &context).await).revision);
        }
    }
    revisions.push(stores.link(&ada, "three").await.revision);
    assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
}

/// Who did what, when, through what, with the link's JSON before and after.
pub async fn every_change_is_audited(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let workspace = owner.workspace_id;
    let key_id = KeyId::from_uuid(fresh_uuid());
    let mut contexts = Vec::new();
    for seconds in 1..=4 {
        let mut context = owner.context(at(seconds));
        context.key_id = Some(key_id);
        context.request_id = Some(format!("request-{seconds}"));
        contexts.push(context);
    }
    let new = owner.new_link("launch");
    let id = new.id;
    let created = stores.links.insert(new, &contexts[0]).await.expect("a new link is stored");
    let updated = done(stores.links.update(workspace, id, None, &title("x"), &contexts[1]).await);
    let deleted = done(stores.links.delete(workspace, id, None, &contexts[2]).await);
    let restored = done(stores.links.restore(workspace, id, &contexts[3]).await);

    let json = |link: &Link| serde_json::to_value(link).expect("a link has a JSON form");
    let mut entries = stores.audit_of(&owner, &id.to_string()).await;
    entries.reverse();
    let expected = [
        ("link.create", serde_json::Value::Null, json(&created)),
        ("link.update", json(&created), json(&updated)),
        ("link.delete", json(&updated), json(&deleted)),
        ("link.restore", json(&deleted), json(&restored)),
    ];
    assert_eq!(entries.len(), expected.len());
    for ((entry, context), (action, before, after)) in entries.iter().zip(&contexts).zip(expected) {
        assert_eq!(entry.id, context.audit_id);
        assert_eq!(entry.action, action);
        assert_eq!((&entry.before, &entry.after), (&before, &after), "{action}");
        assert_eq!(entry.workspace_id, Some(workspace));
        assert_eq!((entry.user_id, entry.key_id), (Some(owner.user_id), Some(key_id)));
        assert_eq!(entry.request_id, context.request_id);
        assert_eq!(entry.created_at, context.at);
    }
}

/// For anybody else the link is not there.
pub async fn other_workspaces_cannot_touch_a_link(stores: &Stores) {
    let (ada, eve) = (stores.owner("ada").await, stores.owner("eve").await);
    let link = stores.link(&ada, "launch").await;
    let (workspace, context) = (eve.workspace_id, eve.context(at(1)));
    assert_eq!(stores.links.find(workspace, link.id).await.expect("the database answers"), None);
    let update = stores.links.update(workspace, link.id, None, &title("x"), &context).await;
    assert_eq!(update.expect("the database answers"), LinkUpdate::Missing);
    // Not even its version is told.
    let update = stores.links.update(workspace, link.id, Some(9), &title("x"), &context).await;
    assert_eq!(update.expect("the database answers"), LinkUpdate::Missing);
    let delete = stores.links.delete(workspace, link.id, None, &context).await;
    assert_eq!(delete.expect("the database answers"), LinkUpdate::Missing);
    assert_eq!(stores.reload(&link).await, link);
    done(stores.links.delete(ada.workspace_id, link.id, None, &ada.context(at(2))).await);
    let restore = stores.links.restore(workspace, link.id, &context).await;
    assert_eq!(restore.expect("the database answers"), LinkUpdate::Missing);
    assert!(stores.reload(&link).await.deleted_at.is_some());
}

const WRITERS: i64 = 8;

async fn update_at_once(
    stores: &Stores,
    owner: &Owner,
    id: LinkId,
    expected: Option<i32>,
) -> Vec<LinkUpdate> {
    let updates = join_all((1..=WRITERS).map(|n| async move {
        let context = owner.context(at(n));
        stores.links.update(owner.workspace_id, id, expected, &title(&n.to_string()), &context).await
    }));
    updates.await.into_iter().map(|update| update.expect("the database answers")).collect()
}

/// Conditional updates never overwrite each other.
pub async fn of_two_updates_of_one_version_one_wins(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let link = stores.link(&owner, "launch").await;
    let updates = update_at_once(stores, &owner, link.id, Some(1)).await;
    let winners: Vec<_> = updates.iter().filter(|update| matches!(update, LinkUpdate::Done(_))).collect();
    assert_eq!(winners.len(), 1, "{updates:?}");
    let losers =
        updates.iter().filter(|update| matches!(update, LinkUpdate::VersionMismatch { current: 2 })).count();
    assert_eq!(losers, updates.len() - 1, "{updates:?}");
    assert_eq!(winners, [&LinkUpdate::Done(Box::new(stores.reload(&link).await))]);
}

/// Updates that ask for no version happen one after the other, each with a revision of its own.
pub async fn unconditional_updates_all_happen(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let link = stores.link(&owner, "launch").await;
    let mut seen: Vec<(i32, i64)> = update_at_once(stores, &owner, link.id, None)
        .await
        .into_iter()
        .map(|update| match update {
            LinkUpdate::Done(link) => (link.version, link.revision),
            other => panic!("expected the change to be done, got {other:?}"),
        })
        .collect();
    seen.sort_unstable();
    let versions: Vec<i64> = seen.iter().map(|(version, _)| i64::from(*version)).collect();
    assert_eq!(versions, (2..=WRITERS + 1).collect::<Vec<_>>());
    // The higher version has the higher revision: caches order by it.
    assert!(seen.is_sorted_by(|a, b| a.1 < b.1), "{seen:?}");
}

/// The uniqueness of codes holds against writers at the same time.
pub async fn of_two_inserts_of_one_code_one_wins(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let inserts = join_all(
        (0..WRITERS)
            .map(|_| async { stores.links.insert(owner.new_link("launch"), &owner.context(at(1))).await }),
    )
    .await;
    assert_eq!(inserts.iter().filter(|insert| insert.is_ok()).count(), 1, "{inserts:?}");
    let refused = inserts.iter().filter(|insert| is_code_conflict(insert)).count();
    assert_eq!(refused, inserts.len() - 1, "{inserts:?}");
}

/// Only what was deleted strictly before the deadline goes, and its code is free again.
pub async fn purge_removes_links_deleted_before_the_deadline(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let workspace = owner.workspace_id;
    let mut links = Vec::new();
    for (name, deleted_at) in [("early", Some(at(10))), ("late", Some(at(20))), ("alive", None)] {
        let link = stores.link(&owner, name).await;
        if let Some(deleted_at) = deleted_at {
            done(stores.links.delete(workspace, link.id, None, &owner.context(deleted_at)).await);
        }
        links.push(link);
    }
    let purge =
        async |deadline| stores.links.purge_deleted(deadline, 100).await.expect("the database answers");
    let before =
        async |deadline, max| stores.links.deleted_before(deadline, max).await.expect("the database answers");
    assert_eq!(before(at(10), 100).await, []);
    assert_eq!(before(at(20), 100).await, [links[0].id]);
    assert_eq!(before(at(30), 100).await, [links[0].id, links[1].id]);
    assert_eq!(before(at(30), 1).await, [links[0].id]);
    assert_eq!(purge(at(10)).await, 0);
    assert_eq!(purge(at(20)).await, 1);
    assert_eq!(before(at(30), 100).await, [links[1].id]);
    assert_eq!(stores.links.find(workspace, links[0].id).await.expect("the database answers"), None);
    stores.reload(&links[1]).await;
    stores.reload(&links[2]).await;
    let again = stores.link(&owner, "early").await;
    assert!(again.revision > links[0].revision);
}

/// What is left is taken by the next call.
pub async fn purge_takes_at_most_max(stores: &Stores) {
    let owner = stores.owner("ada").await;
    for n in 0..5 {
        let link = stores.link(&owner, &format!("code-{n}")).await;
        done(stores.links.delete(owner.workspace_id, link.id, None, &owner.context(at(n))).await);
    }
    let mut purged = Vec::new();
    for _ in 0..4 {
        purged.push(stores.links.purge_deleted(at(100), 2).await.expect("the database answers"));
    }
    assert_eq!(purged, [2, 2, 1, 0]);
}

/// Clicks and counters go with their link; those of other links stay.
pub async fn purge_removes_the_clicks(stores: &Stores) {
    let owner = stores.owner("ada").await;
    stores.prepare_months().await;
    let (gone, kept) = (stores.link(&owner, "gone").await, stores.link(&owner, "kept").await);
    let month = 31 * 86_400;
    let rows = [click(&gone, at(1)), click(&gone, at(month)), click(&kept, at(1))];
    stores.clicks.write(&rows).await.expect("clicks are stored");
    done(stores.links.delete(owner.workspace_id, gone.id, None, &owner.context(at(2))).await);
    assert_eq!(stores.links.purge_deleted(at(3), 10).await.expect("the database answers"), 1);
    assert_eq!(stores.links.find(owner.workspace_id, gone.id).await.expect("the database answers"), None);
    assert_eq!(stores.reload(&kept).await.clicks, 1);
    let scope = crate::analytics::ClickScope {
        workspace_id: owner.workspace_id,
        link_id: None,
        start: at(-10),
        end: at(2 * month),
        classes: crate::click::ClickClass::ALL.to_vec(),
        filters: Vec::new(),
    };
    assert_eq!(stores.analytics.totals(&scope).await.expect("the database answers").clicks, 1);
}
