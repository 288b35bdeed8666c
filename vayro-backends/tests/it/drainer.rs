//! Edits reach the caches, on the embedded set.

use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::timeout;
use vayro_backends::{Backends, Roles};
use vayro_core::change::Invalidation;
use vayro_core::contract::accounts::sample;
use vayro_core::contract::stores::{Owner, at};
use vayro_core::ports::InvalidationFeed;

use crate::connect::embedded;

const PATIENCE: Duration = Duration::from_secs(20);

async fn start() -> (TempDir, Backends, Owner) {
    let dir = tempfile::tempdir().expect("a directory");
    let backends = Backends::connect(&embedded(dir.path()), Roles::ALL).await.expect("connects");
    backends.migrate().await.expect("migrates");
    let workspace = sample::workspace(at(0));
    let user = backends
        .users
        .insert(sample::new_user(at(0)), &workspace, &sample::context(at(0)))
        .await
        .expect("an account");
    (dir, backends, Owner { user_id: user.id, workspace_id: workspace.id })
}

/// Waits for the message about a link.
async fn hear(feed: &mut dyn InvalidationFeed) -> String {
    match timeout(PATIENCE, feed.next()).await.expect("a message in time") {
        Invalidation::Links(links) => links[0].0.short_code.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_change_is_told_at_once_and_the_outbox_is_empty_then() {
    let (_dir, backends, owner) = start().await;
    let mut feed = backends.invalidations();
    let (stop, stopping) = watch::channel(false);
    let task = backends.spawn_drainer(stopping);
    for code in ["one", "two", "three"] {
        backends.links.insert(owner.new_link(code), &owner.context(at(1))).await.expect("a link");
        backends.changed();
        assert_eq!(hear(&mut *feed).await, code);
    }
    // The drainer's last turn comes after the call to end.
    backends.links.insert(owner.new_link("four"), &owner.context(at(1))).await.expect("a link");
    stop.send_replace(true);
    timeout(PATIENCE, task).await.expect("it ends").expect("no panic");
    assert_eq!(hear(&mut *feed).await, "four");
    assert_eq!(backends.outbox.pending(10).await.expect("reads"), []);
    backends.close().await;
}

#[tokio::test]
async fn a_change_that_nobody_announced_is_told_as_well() {
    let (_dir, backends, owner) = start().await;
    let mut feed = backends.invalidations();
    let (_stop, stopping) = watch::channel(false);
    let task = backends.spawn_drainer(stopping);
    backends.links.insert(owner.new_link("silent"), &owner.context(at(1))).await.expect("a link");
    assert_eq!(hear(&mut *feed).await, "silent");
    task.abort();
}

#[tokio::test]
async fn drains_at_once_share_the_work_and_each_returns_when_it_is_done() {
    let (_dir, backends, owner) = start().await;
    for n in 0..20 {
        backends
            .links
            .insert(owner.new_link(&format!("code-{n}")), &owner.context(at(1)))
            .await
            .expect("a link");
    }
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let backends = backends.clone();
            tokio::spawn(async move {
                let handled = backends.drain_outbox().await.expect("drains");
                assert_eq!(backends.outbox.pending(10).await.expect("reads"), [], "done when it returns");
                handled
            })
        })
        .collect();
    let mut handled = 0;
    for task in tasks {
        handled += task.await.expect("no panic");
    }
    assert_eq!(handled, 20, "each row once");
}
