//! What callers see when the file, the disk or another process stands in the way.

use std::future::Future as _;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use sqlx::{Connection as _, Executor as _};
use vayro_core::contract::stores::{at, click};
use vayro_core::ids::KeyId;
use vayro_core::link::LinkPatch;
use vayro_core::ports::{StoreError, WriteError};
use vayro_sqlite::{SqliteOptions, SqliteStores};

use crate::fixture::{fixture, fixture_with, ports};
use crate::opening::raw;

/// Gives up waiting for locks at once, so that tests need not wait.
const IMPATIENT: SqliteOptions = SqliteOptions {
    busy_timeout: Duration::from_millis(20),
    acquire_timeout: Duration::from_secs(5),
    readers: 2,
};

#[tokio::test]
async fn a_busy_file_is_unavailable_to_writers_and_open_to_readers() {
    let fixture = fixture_with(IMPATIENT).await;
    let stores = &fixture.stores;
    let owner = stores.owner("ada").await;
    let link = stores.link(&owner, "launch").await;
    let rows = [click(&link, at(1))];

    let mut other = raw(&fixture.path()).await;
    other.execute("BEGIN IMMEDIATE").await.expect("locked");
    let insert = stores.links.insert(owner.new_link("other"), &owner.context(at(1))).await;
    assert!(matches!(insert, Err(StoreError::Unavailable(_))), "{insert:?}");
    let touch = stores.keys.touch(KeyId::from_uuid(link.id.as_uuid()), at(1)).await;
    assert!(matches!(touch, Err(StoreError::Unavailable(_))), "{touch:?}");
    let write = stores.clicks.write(&rows).await;
    assert!(matches!(write, Err(WriteError::Unavailable(_))), "{write:?}");
    assert_eq!(stores.reload(&link).await, link);
    assert!(stores.lookup.lookup(&link.key()).await.expect("readers do not wait").is_some());

    other.execute("ROLLBACK").await.expect("unlocked");
    stores.link(&owner, "other").await;
    assert_eq!(stores.clicks.write(&rows).await.expect("stored").inserted, 1);
}

#[tokio::test]
async fn a_closed_store_is_unavailable() {
    let fixture = fixture().await;
    let owner = fixture.stores.owner("ada").await;
    let link = fixture.stores.link(&owner, "launch").await;
    fixture.sqlite.close().await;
    let ping = fixture.sqlite.ping().await;
    assert!(matches!(ping, Err(StoreError::Unavailable(_))), "{ping:?}");
    let found = fixture.stores.lookup.lookup(&link.key()).await;
    assert!(matches!(found, Err(StoreError::Unavailable(_))), "{found:?}");
    let write = fixture.stores.clicks.write(&[click(&link, at(1))]).await;
    assert!(matches!(write, Err(WriteError::Unavailable(_))), "{write:?}");
}

/// SQLite's default page.
const PAGE_BYTES: usize = 4096;

/// Good clicks must not become dead letters because the file is damaged.
#[tokio::test]
async fn a_damaged_file_is_never_the_clicks_fault() {
    let fixture = fixture().await;
    let owner = fixture.stores.owner("ada").await;
    let link = fixture.stores.link(&owner, "launch").await;
    let mut other = raw(&fixture.path()).await;
    let pages: Vec<i64> = sqlx::query_scalar(
        "SELECT rootpage FROM sqlite_schema WHERE tbl_name IN ('links', 'click_events', 'link_totals')",
    )
    .fetch_all(&mut other)
    .await
    .expect("the schema is readable");
    other.close().await.expect("closed");
    assert!(pages.len() > 5, "tables and their indexes");
    fixture.sqlite.close().await;
    let mut file = std::fs::OpenOptions::new().write(true).open(fixture.path()).expect("the file is there");
    for page in pages {
        let start = (page.unsigned_abs() - 1) * PAGE_BYTES as u64;
        file.seek(SeekFrom::Start(start)).expect("in the file");
        file.write_all(&[0xFF; PAGE_BYTES]).expect("written");
    }
    drop(file);

    let damaged = SqliteStores::open(fixture.path()).await.expect("its schema is whole");
    let stores = ports(&damaged);
    let write = stores.clicks.write(&[click(&link, at(1))]).await;
    assert!(matches!(write, Err(WriteError::Unavailable(_))), "{write:?}");
    let found = stores.links.find(link.workspace_id, link.id).await;
    assert!(matches!(found, Err(StoreError::Internal(_))), "{found:?}");
}

/// A request that is given up in the middle of a change leaves neither half a change nor a lock.
#[tokio::test]
async fn a_dropped_change_rolls_back_and_frees_the_writer() {
    let fixture = fixture().await;
    let stores = &fixture.stores;
    let owner = stores.owner("ada").await;
    let link = stores.link(&owner, "launch").await;
    let patch = LinkPatch { title: Some("half".to_owned()), ..LinkPatch::default() };
    for polls in 1..40 {
        let context = owner.context(at(1));
        {
            let mut update =
                pin!(stores.links.update(owner.workspace_id, link.id, Some(1), &patch, &context));
            let mut is_done = false;
            for _ in 0..polls {
                is_done = is_done || update.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
                tokio::task::yield_now().await;
            }
            if is_done {
                break;
            }
        }
        // The writer is free only when the fate of what was dropped is decided: whole, or not at all.
        stores.keys.touch(KeyId::from_uuid(link.id.as_uuid()), at(1)).await.expect("the writer is free");
        let now = stores.reload(&link).await;
        let entries = stores.audit_of(&owner, &link.id.to_string()).await.len();
        assert_eq!(i32::try_from(entries).expect("few"), now.version, "after {polls} polls");
        if now.version > 1 {
            break;
        }
    }
    let context = owner.context(at(2));
    let patch = LinkPatch { title: Some("whole".to_owned()), ..LinkPatch::default() };
    stores
        .links
        .update(owner.workspace_id, link.id, None, &patch, &context)
        .await
        .expect("the writer is free");
    assert_eq!(stores.reload(&link).await.title, "whole");
}
