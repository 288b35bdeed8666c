//! Clicks, clocks and spools for tests.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vayro_core::click::{Click, ClickMethod};
use vayro_core::ids::{ClickId, LinkId, WorkspaceId};
use vayro_core::timestamp::Timestamp;
use vayro_spool::SpoolOptions;

/// Longest wait for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn now() -> Timestamp {
    Timestamp::EPOCH.plus(SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set"))
}

pub(crate) fn options(dir: &Path) -> SpoolOptions {
    SpoolOptions {
        dir: dir.to_owned(),
        segment_bytes: 4096,
        bytes_max: 4 << 20,
        sync_every: Duration::from_millis(10),
        clock: now,
    }
}

pub(crate) fn click(n: u64) -> Click {
    let at = Timestamp::from_millis(1_790_000_000_000).expect("in range");
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    Click {
        id: ClickId::from_parts(at, random),
        link_id: LinkId::from_uuid(uuid::Uuid::from_u128(7)),
        workspace_id: WorkspaceId::from_uuid(uuid::Uuid::from_u128(8)),
        domain: "".into(),
        ip: None,
        user_agent: format!("click {n}").into(),
        referer: "".into(),
        language: "".into(),
        query: "".into(),
        method: ClickMethod::Get,
        is_prefetch: false,
        is_private: false,
    }
}

/// Waits until `is_so`, which must become true.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "{what} never came");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
