//! Disks that are full.

use std::time::Duration;

use vayro_testing::disk::SmallDisk;
use vayro_testing::load::Load;
use vayro_testing::system::System;
use vayro_testing::{postgres, redis, wait};

use super::faults::rows_match;

/// Room that is left to the spool.
const ROOM: u64 = 1 << 20;

/// Only who may mount a file system can fill one up; for everybody else chaos keeps files from growing.
#[test]
fn a_spool_that_filled_its_disk_empties_and_gives_the_room_back() {
    let Ok(disk) = SmallDisk::mount(16 << 20) else { return };
    tokio::runtime::Runtime::new().expect("a runtime can be made").block_on(async {
        let (database, mut cache) = (postgres::database().await, redis::server().await);
        let dir = tempfile::tempdir_in(disk.path()).expect("a folder");
        let system = System::clustered_in(dir, &database.url, &cache.url, &[]).await;
        let link = system.create_link("crowded", "https://example.com/").await;
        let load = Load::start(vec![format!("{}/crowded", system.edge_url)], 8, Duration::from_millis(1));
        disk.fill_but(ROOM);
        cache.stop();
        wait::until("a disk without room", Duration::from_secs(60), async || {
            (disk.room() < 64 * 1024).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        cache.restart().await;
        let result = load.stop().await;
        assert_eq!((result.refused, result.failed), (0, 0), "redirects went on");
        rows_match(&database.url, &link, result).await;
        // Nobody made room from outside.
        wait::until("room on the disk", Duration::from_secs(30), async || {
            (disk.room() > ROOM / 2).then_some(())
        })
        .await;
        drop(system);
    });
}
