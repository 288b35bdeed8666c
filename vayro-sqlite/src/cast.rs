//! A new file with a workspace and a link, for the tests of the modules.

use tempfile::TempDir;
use vayro_core::contract::accounts::sample;
use vayro_core::contract::stores::{Owner, at};
use vayro_core::link::Link;
use vayro_core::ports::{LinkStore, UserStore};

use crate::database::SqliteStores;

pub(crate) struct Cast {
    pub(crate) stores: SqliteStores,
    pub(crate) owner: Owner,
    pub(crate) link: Link,
    _directory: TempDir,
}

pub(crate) async fn cast() -> Cast {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let stores = SqliteStores::open(directory.path().join("vayro.db")).await.expect("a new file opens");
    stores.migrate().await.expect("a new file migrates");
    let workspace = sample::workspace(at(0));
    let user = UserStore::insert(&stores, sample::new_user(at(0)), &workspace, &sample::context(at(0)))
        .await
        .expect("a new account is stored");
    let owner = Owner { user_id: user.id, workspace_id: workspace.id };
    let link = LinkStore::insert(&stores, owner.new_link("launch"), &owner.context(at(0)))
        .await
        .expect("a new link is stored");
    Cast { stores, owner, link, _directory: directory }
}
