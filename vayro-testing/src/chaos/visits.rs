//! Visitors who remember every answer they got. Each visit carries a token of its own in `utm_content`,
//! which is stored with the click, so that it can be told whether exactly that visit was counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

/// What a visitor got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A redirect: this visit must be counted.
    Redirected(Instant),
    /// Another answer: this visit must not be counted.
    Refused,
    /// None: this visit may be counted or not.
    Failed,
}

/// Every visit that was made, by its token.
#[derive(Clone, Debug, Default)]
pub(super) struct Visits(Arc<Mutex<BTreeMap<String, Answer>>>);

impl Visits {
    fn remember(&self, token: String, answer: Answer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(token, answer);
    }

    /// Returns what is known now.
    pub(super) fn all(&self) -> BTreeMap<String, Answer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Visitors at work.
#[derive(Debug)]
pub(super) struct Visitors {
    visits: Visits,
    is_stopped: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Visitors {
    /// Sends `count` visitors to `urls` in turn, each with a pause of `pause` between two visits.
    ///
    /// # Panics
    ///
    /// When the system has no room for a client.
    pub(super) fn start(urls: &[String], count: usize, pause: Duration) -> Self {
        let (visits, is_stopped) = (Visits::default(), Arc::new(AtomicBool::new(false)));
        let urls: Arc<[String]> = urls.into();
        let next = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for visitor in 0..count {
            let (visits, is_stopped) = (visits.clone(), Arc::clone(&is_stopped));
            let (urls, next) = (Arc::clone(&urls), Arc::clone(&next));
            tasks.spawn(async move {
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
                    let token = format!("visit-{}", next.fetch_add(1, Ordering::Relaxed));
                    let answer = match client.get(format!("{url}?utm_content={token}")).send().await {
                        Ok(answer) if answer.status().is_redirection() => Answer::Redirected(Instant::now()),
                        Ok(_) => Answer::Refused,
                        Err(_) => Answer::Failed,
                    };
                    visits.remember(token, answer);
                    tokio::time::sleep(pause).await;
                }
            });
        }
        Self { visits, is_stopped, tasks }
    }

    /// Lets every visitor finish and returns what they remember.
    pub(super) async fn stop(mut self) -> BTreeMap<String, Answer> {
        self.is_stopped.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        self.visits.all()
    }
}
