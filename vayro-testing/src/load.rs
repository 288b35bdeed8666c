//! Visitors: a steady load of redirects and the count of what they got.

mod kept;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

pub use kept::KeptLoad;

/// A load that runs until it is stopped.
#[derive(Debug)]
pub struct Load {
    counts: Arc<Counts>,
    is_stopped: Arc<AtomicBool>,
    visitors: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Counts {
    redirected: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// What the visitors got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadResult {
    /// Answers with a `Location`.
    pub redirected: u64,
    /// Other answers.
    pub refused: u64,
    /// Requests without any answer, which may or may not have been counted as clicks.
    pub failed: u64,
}

impl Counts {
    fn result(&self) -> LoadResult {
        LoadResult {
            redirected: self.redirected.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

impl Load {
    /// Starts `visitors` visitors, each asking for one of `urls` after the other with a pause of `pause`.
    ///
    /// # Panics
    ///
    /// When the system has no room for a client.
    pub fn start(urls: Vec<String>, visitors: usize, pause: Duration) -> Self {
        let counts = Arc::new(Counts::default());
        let is_stopped = Arc::new(AtomicBool::new(false));
        let urls = Arc::new(urls);
        let mut set = JoinSet::new();
        for visitor in 0..visitors {
            let (counts, is_stopped, urls) =
                (Arc::clone(&counts), Arc::clone(&is_stopped), Arc::clone(&urls));
            set.spawn(async move {
                let client = reqwest::Client::builder()
                    .redirect(reqwest::redirect::Policy::none())
                    .timeout(Duration::from_secs(10))
                    .user_agent(format!("Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0 visitor/{visitor}"))
                    .build()
                    .expect("a client can be made");
                for url in urls.iter().cycle().skip(visitor) {
                    if is_stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let counter = match client.get(url).send().await {
                        Ok(answer) if answer.status().is_redirection() => &counts.redirected,
                        Ok(_) => &counts.refused,
                        Err(_) => &counts.failed,
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(pause).await;
                }
            });
        }
        Self { counts, is_stopped, visitors: set }
    }

    /// Returns the counts so far.
    pub fn result(&self) -> LoadResult {
        self.counts.result()
    }

    /// Lets every visitor finish its request and returns the final counts.
    pub async fn stop(mut self) -> LoadResult {
        self.is_stopped.store(true, Ordering::Relaxed);
        while self.visitors.join_next().await.is_some() {}
        self.result()
    }
}
