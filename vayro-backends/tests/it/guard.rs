//! The guard in front of the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use vayro_backends::config::LookupConfig;
use vayro_backends::guard::GuardedLookup;
use vayro_core::link::LinkKey;
use vayro_core::ports::{LinkLookup, StoreError};
use vayro_core::resolve::CachedLink;

/// How the database behaves.
#[derive(Clone, Copy)]
enum Mood {
    Answers,
    Unavailable,
    Internal,
    Hangs,
    /// Answers when a permit is added.
    Waits,
}

struct Database {
    mood: Mutex<Mood>,
    calls: AtomicUsize,
    at_once: AtomicUsize,
    at_once_max: AtomicUsize,
    permits: Semaphore,
}

impl Database {
    fn new(mood: Mood) -> Arc<Self> {
        Arc::new(Self {
            mood: Mutex::new(mood),
            calls: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            at_once_max: AtomicUsize::new(0),
            permits: Semaphore::new(0),
        })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl LinkLookup for Database {
    async fn lookup(&self, _: &LinkKey) -> Result<Option<CachedLink>, StoreError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.at_once_max.fetch_max(at_once, Ordering::SeqCst);
        let mood = *self.mood.lock();
        let answer = match mood {
            Mood::Answers => Ok(None),
            Mood::Unavailable => Err(StoreError::Unavailable("away".into())),
            Mood::Internal => Err(StoreError::Internal("odd row".into())),
            Mood::Hangs => std::future::pending().await,
            Mood::Waits => {
                self.permits.acquire().await.expect("open").forget();
                Ok(None)
            }
        };
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        answer
    }
}

const LIMITS: LookupConfig = LookupConfig {
    concurrency: 2,
    wait: Duration::from_millis(100),
    timeout: Duration::from_secs(1),
    failures: 3,
    pause: Duration::from_secs(5),
};

fn key() -> LinkKey {
    LinkKey { domain: None, short_code: "launch".parse().expect("a code") }
}

async fn is_unavailable(guard: &GuardedLookup) -> bool {
    matches!(guard.lookup(&key()).await, Err(StoreError::Unavailable(_)))
}

#[tokio::test(start_paused = true)]
async fn answers_and_errors_pass_through() {
    let database = Database::new(Mood::Answers);
    let guard = GuardedLookup::new(database.clone(), LIMITS);
    assert!(matches!(guard.lookup(&key()).await, Ok(None)));
    *database.mood.lock() = Mood::Internal;
    for _ in 0..10 {
        assert!(matches!(guard.lookup(&key()).await, Err(StoreError::Internal(_))), "it does answer");
    }
    *database.mood.lock() = Mood::Unavailable;
    assert!(is_unavailable(&guard).await);
    assert_eq!(database.calls(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_database_that_fails_is_given_a_rest_and_tried_again() {
    let database = Database::new(Mood::Unavailable);
    let guard = GuardedLookup::new(database.clone(), LIMITS);
    for _ in 0..10 {
        assert!(is_unavailable(&guard).await);
    }
    assert_eq!(database.calls(), 3, "after three failures nobody asks");
    tokio::time::advance(LIMITS.pause).await;
    for _ in 0..10 {
        assert!(is_unavailable(&guard).await);
    }
    assert_eq!(database.calls(), 4, "one try per pause");
    *database.mood.lock() = Mood::Answers;
    assert!(is_unavailable(&guard).await, "nobody knows yet");
    tokio::time::advance(LIMITS.pause).await;
    for _ in 0..10 {
        assert!(!is_unavailable(&guard).await);
    }
    assert_eq!(database.calls(), 14);
}

#[tokio::test(start_paused = true)]
async fn a_success_in_between_forgives_failures() {
    let database = Database::new(Mood::Unavailable);
    let guard = GuardedLookup::new(database.clone(), LIMITS);
    for _ in 0..5 {
        *database.mood.lock() = Mood::Unavailable;
        assert!(is_unavailable(&guard).await);
        assert!(is_unavailable(&guard).await);
        *database.mood.lock() = Mood::Answers;
        assert!(!is_unavailable(&guard).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_hangs_is_a_failure_after_its_time() {
    let database = Database::new(Mood::Hangs);
    let guard = GuardedLookup::new(database.clone(), LIMITS);
    for _ in 0..4 {
        assert!(is_unavailable(&guard).await);
    }
    assert_eq!(database.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn few_ask_at_one_time_and_nobody_queues_for_long() {
    let database = Database::new(Mood::Waits);
    let guard = Arc::new(GuardedLookup::new(database.clone(), LIMITS));
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let guard = guard.clone();
            tokio::spawn(async move { is_unavailable(&guard).await })
        })
        .collect();
    // Time stands still until everybody waits, then jumps.
    tokio::time::sleep(LIMITS.wait * 2).await;
    database.permits.add_permits(10);
    let mut refused = 0;
    for task in tasks {
        refused += usize::from(task.await.expect("no panic"));
    }
    assert_eq!(database.at_once_max.load(Ordering::SeqCst), LIMITS.concurrency);
    assert_eq!(refused, 8, "those that waited too long");
    assert!(!is_unavailable(&guard).await, "a crowd is no failure of the database");
}
