//! Amounts of clicks that take more than one step, and values that only look like ids.

use vayro_core::analytics::{ClickScope, Dimension};
use vayro_core::click::{ClickClass, ClickRow};
use vayro_core::contract::stores::{Owner, at, click};

use crate::fixture::fixture;

fn everything(owner: &Owner) -> ClickScope {
    ClickScope {
        workspace_id: owner.workspace_id,
        link_id: None,
        start: at(-1),
        end: at(100_000),
        classes: ClickClass::ALL.to_vec(),
        filters: Vec::new(),
    }
}

/// A purge lets writers in between its steps and still takes everything.
#[tokio::test]
async fn a_link_with_many_clicks_is_purged_whole_while_others_write() {
    let fixture = fixture().await;
    let stores = &fixture.stores;
    let owner = stores.owner("ada").await;
    let (gone, kept) = (stores.link(&owner, "gone").await, stores.link(&owner, "kept").await);
    let rows: Vec<_> = (0..4_100).map(|n| click(&gone, at(n))).collect();
    stores.clicks.write(&rows).await.expect("stored");
    let context = owner.context(at(1));
    stores.links.delete(owner.workspace_id, gone.id, None, &context).await.expect("deleted");

    let others = async {
        for n in 0..10 {
            stores.clicks.write(&[click(&kept, at(n))]).await.expect("stored");
        }
    };
    let (purged, ()) = tokio::join!(stores.links.purge_deleted(at(2), 10), others);
    assert_eq!(purged.expect("purged"), 1);
    assert_eq!(stores.analytics.totals(&everything(&owner)).await.expect("counted").clicks, 10);
    assert_eq!(stores.links.find(owner.workspace_id, gone.id).await.expect("it answers"), None);
}

/// Sixteen bytes of text are no UUID, although SQLite's driver would read them as one.
#[tokio::test]
async fn texts_as_long_as_an_id_stay_texts() {
    let fixture = fixture().await;
    let stores = &fixture.stores;
    let owner = stores.owner("ada").await;
    let link = stores.link(&owner, "launch").await;
    let browser = "Samsung Internet";
    assert_eq!(browser.len(), 16);
    let row = ClickRow { browser: browser.to_owned(), ..click(&link, at(1)) };
    stores.clicks.write(&[row]).await.expect("stored");
    let breakdown = stores.analytics.breakdown(&everything(&owner), Dimension::Browser, 5).await;
    assert_eq!(breakdown.expect("counted").rows[0].value, browser);
}
