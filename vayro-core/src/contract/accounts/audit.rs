//! Rules of [`crate::ports::AuditStore`].

use super::sample::{self, at, context, domain, owner};
use crate::change::{AuditFilter, ChangeContext};
use crate::contract::stores::Stores;
use crate::ids::{AuditId, KeyId, WorkspaceId};
use crate::page::PageSize;

fn filter(workspace_id: WorkspaceId, size: u16) -> AuditFilter {
    AuditFilter { workspace_id, subject_id: None, before: None, size: PageSize::new(size).expect("in range") }
}

/// Who, how, when and with which key is kept, also of keys that are gone.
pub async fn entry_keeps_its_context(stores: &Stores) {
    let (user, workspace) = owner(stores, at(0)).await;
    let context = ChangeContext {
        user_id: Some(user.id),
        key_id: Some(KeyId::from_parts(at(0), [3; 10])),
        request_id: Some("req-1".to_owned()),
        ..context(at(1))
    };
    stores.workspaces.rename(workspace.id, "New", &context).await.expect("ok");
    let entry = sample::last_audit(stores, workspace.id).await;
    assert_eq!((entry.id, entry.created_at), (context.audit_id, at(1)));
    assert_eq!(entry.workspace_id, Some(workspace.id));
    assert_eq!((entry.user_id, entry.key_id), (context.user_id, context.key_id));
    assert_eq!(entry.request_id, context.request_id);
}

/// Entries come newest first, page by page, each once, and the last page says so.
pub async fn pages_are_newest_first(stores: &Stores) {
    let (_, workspace) = owner(stores, at(0)).await;
    let mut expected = Vec::<AuditId>::new();
    for second in 1..=6 {
        let context = context(at(second));
        stores.workspaces.rename(workspace.id, &format!("Name {second}"), &context).await.expect("ok");
        expected.insert(0, context.audit_id);
    }
    expected.push(sample::audit_of(stores, workspace.id).await.pop().expect("user.create").id);
    for size in [1, 2, 7, 200] {
        let mut filter = filter(workspace.id, size);
        let mut seen = Vec::new();
        loop {
            let page = stores.audit.list(&filter).await.expect("ok");
            assert!(page.items.len() <= usize::from(size));
            assert!(!page.items.is_empty(), "a page that was promised has entries");
            seen.extend(page.items.iter().map(|entry| entry.id));
            filter.before = page.next;
            if filter.before.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected, "pages of {size}");
    }
}

/// A workspace sees its own entries, and a subject its own.
pub async fn list_is_scoped(stores: &Stores) {
    let (_, mine) = owner(stores, at(0)).await;
    let (_, theirs) = owner(stores, at(0)).await;
    let domain = domain(mine.id, at(1));
    stores.domains.insert(&domain, &context(at(1))).await.expect("ok");
    stores.workspaces.rename(mine.id, "New", &context(at(2))).await.expect("ok");
    stores.domains.delete(mine.id, domain.id, &context(at(3))).await.expect("ok");
    stores.workspaces.rename(theirs.id, "New", &context(at(4))).await.expect("ok");
    let about = AuditFilter { subject_id: Some(domain.id.to_string()), ..filter(mine.id, 50) };
    let actions = |items: Vec<crate::change::AuditEntry>| -> Vec<String> {
        items.into_iter().map(|entry| entry.action).collect()
    };
    let page = stores.audit.list(&about).await.expect("ok");
    assert_eq!(
        (actions(page.items), page.next),
        (["domain.delete", "domain.create"].map(str::to_owned).to_vec(), None)
    );
    let page = stores.audit.list(&filter(mine.id, 50)).await.expect("ok");
    assert_eq!(actions(page.items), ["domain.delete", "workspace.update", "domain.create", "user.create"]);
    let foreign = AuditFilter { subject_id: about.subject_id, ..filter(theirs.id, 50) };
    assert_eq!(stores.audit.list(&foreign).await.expect("ok").items, []);
    let nobody = filter(sample::workspace_id(at(0)), 50);
    assert_eq!(stores.audit.list(&nobody).await.expect("ok").items, []);
}

/// Makes one test per rule of [`crate::ports::AuditStore`].
#[macro_export]
macro_rules! audit_store_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            accounts::audit,
            [entry_keeps_its_context, pages_are_newest_first, list_is_scoped,]
        );
    };
}
