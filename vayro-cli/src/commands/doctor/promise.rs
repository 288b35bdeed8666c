//! What is promised about clicks with the settings in force, in words.

use vayro_backends::config::BackendConfig;

use super::{Finding, Verdict};
use crate::ui::text;

/// Returns the promises.
pub(super) fn promises(backend: &BackendConfig) -> Vec<Finding> {
    let promise = |detail: String| Finding::new("promise", Verdict::Note, detail);
    let (BackendConfig::Clustered(vayro_backends::config::ClusteredConfig { spool, .. })
    | BackendConfig::Embedded(vayro_backends::config::EmbeddedConfig { spool, .. })) = backend;
    let power_loss = if spool.sync_every.is_zero() {
        "clicks on this machine's disk survive a power loss".to_owned()
    } else {
        let sync = text::duration(spool.sync_every);
        format!("a power loss costs at most the clicks of the last {sync} (`spool.sync_every`)")
    };
    let counted = "every accepted click is counted once, also when it is delivered twice".to_owned();
    let full = format!(
        "at {} of waiting clicks further ones are dropped and counted as dropped (`spool.size_max`); redirects go on",
        text::bytes(spool.bytes_max)
    );
    match backend {
        BackendConfig::Embedded(_) => vec![
            promise(counted),
            promise(format!(
                "a crash of the process costs only the clicks of its last milliseconds, those still in memory; {power_loss}"
            )),
            promise(full),
        ],
        BackendConfig::Clustered(_) => vec![
            promise(counted),
            promise(format!(
                "while Redis is away clicks wait on the edge's disk and are delivered afterwards; there {power_loss}"
            )),
            promise(
                "clicks that Redis has taken are as safe as its `appendfsync`: with `everysec` a power loss of \
                 its machine costs about one second, with `always` none; a failover may cost what its replica \
                 had not seen"
                    .to_owned(),
            ),
            promise(full),
        ],
    }
}
