//! Hears what changed and makes the cache forget it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use vayro_core::change::Invalidation;
use vayro_core::ports::InvalidationFeed;

use crate::cache::key_of;
use crate::shared::Shared;
use crate::shutdown::until_told;

/// How often the feed is asked whether it is connected.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Follows the feed until `stopping` turns true.
pub(crate) async fn follow(
    shared: Arc<Shared>,
    mut feed: Box<dyn InvalidationFeed>,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        shared.is_feed_connected.store(feed.is_connected(), Ordering::Relaxed);
        tokio::select! {
            invalidation = feed.next() => apply(&shared, &invalidation),
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = until_told(&mut stopping) => return,
        }
    }
}

fn apply(shared: &Shared, invalidation: &Invalidation) {
    match invalidation {
        Invalidation::Links(links) => {
            shared.metrics.invalidations_links.add(links.len() as u64);
            for (key, revision) in links {
                // A host without an index was never asked for, so nothing can be cached under it.
                if let Some(index) = shared.routes.index_of(key.domain.as_ref()) {
                    shared.links.invalidate(key_of(index, key), *revision);
                }
            }
        }
        Invalidation::Domains => {
            shared.metrics.invalidations_domains.add_one();
            read_domains_again(shared);
        }
        Invalidation::Everything => {
            tracing::info!("invalidations were missed, every cached link is asked for again");
            shared.metrics.invalidations_everything.add_one();
            shared.links.invalidate_everything();
            read_domains_again(shared);
        }
    }
}

fn read_domains_again(shared: &Shared) {
    shared.routes.changed.notify_one();
    if let Some(issued) = shared.certificates.issued() {
        issued.changed.notify_one();
    }
}
