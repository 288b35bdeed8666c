//! How long a connection waits for its next request, at next to no cost for each of them.
//!
//! Over HTTP/2 requests overlap: there it waits while none of them is under way.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Since when a connection waits.
#[derive(Debug)]
pub(crate) struct Idle {
    born: Instant,
    /// Nanoseconds after `born`.
    since: AtomicU64,
    /// Requests under way beside the wait.
    busy: AtomicUsize,
}

/// Keeps a connection from being idle until it is dropped.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Idle>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.begin();
        self.0.busy.fetch_sub(1, Ordering::Release);
    }
}

impl Idle {
    /// Begins to wait.
    pub(crate) fn new() -> Self {
        Self { born: Instant::now(), since: AtomicU64::new(0), busy: AtomicUsize::new(0) }
    }

    /// Begins to wait again.
    pub(crate) fn begin(&self) {
        let nanos = u64::try_from(self.born.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.since.store(nanos, Ordering::Relaxed);
    }

    /// Notes that a request is under way.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Ends when the connection has waited for `limit`. Its timer runs on while requests come, and looks at how long
    /// the wait was only when it is over: a timer for each request would cost more than answering it.
    pub(crate) async fn until_over(&self, limit: Duration) {
        loop {
            // Before the instant that the last of them left.
            if self.busy.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(limit).await;
                continue;
            }
            let over_at = self.born + Duration::from_nanos(self.since.load(Ordering::Relaxed)) + limit;
            if Instant::now() >= over_at {
                return;
            }
            tokio::time::sleep_until(over_at).await;
        }
    }
}

/// A future that is polled only when it asked for it, not each time that the task around it runs. What waits for a
/// timer or a signal takes locks when it is polled, and nearly every time in vain.
#[derive(Debug)]
pub(crate) struct Seldom<'a, F> {
    inner: Pin<&'a mut F>,
    relay: Arc<Relay>,
    waker: Waker,
    /// The task's waker that the relay has.
    known: Option<Waker>,
}

#[derive(Debug)]
struct Relay {
    is_due: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_due.store(true, Ordering::Release);
        let task = self.task.lock().clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl<'a, F: Future<Output = ()>> Seldom<'a, F> {
    /// Wraps `inner`.
    pub(crate) fn new(inner: Pin<&'a mut F>) -> Self {
        let relay = Arc::new(Relay { is_due: AtomicBool::new(true), task: Mutex::new(None) });
        let waker = Waker::from(Arc::clone(&relay));
        Self { inner, relay, waker, known: None }
    }
}

impl<F: Future<Output = ()>> Future for Seldom<'_, F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.known.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            self.known = Some(cx.waker().clone());
            self.relay.task.lock().clone_from(&self.known);
        }
        // After the waker is in its place, so that what becomes due now is not missed.
        if !self.relay.is_due.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        self.relay.is_due.store(false, Ordering::Release);
        let Self { inner, waker, .. } = &mut *self;
        inner.as_mut().poll(&mut Context::from_waker(waker))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_counted_from_its_begin() {
        let idle = Idle::new();
        let limit = Duration::from_secs(10);
        let started = Instant::now();
        tokio::select! {
            () = idle.until_over(limit) => {}
            () = async {
                for _ in 0..5 {
                    tokio::time::sleep(Duration::from_secs(7)).await;
                    idle.begin();
                }
                std::future::pending::<()>().await;
            } => {}
        }
        assert_eq!(started.elapsed().as_secs(), 5 * 7 + 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_holds_the_end_back() {
        let idle = Arc::new(Idle::new());
        let limit = Duration::from_secs(10);
        let started = Instant::now();
        let busy = idle.busy();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(25)).await;
            drop(busy);
        });
        idle.until_over(limit).await;
        assert_eq!(started.elapsed().as_secs(), 25 + 10);
    }

    #[tokio::test]
    async fn it_is_polled_when_it_asks_and_not_otherwise() {
        let (polls, told) = (AtomicU32::new(0), Notify::new());
        let mut notified = std::pin::pin!(told.notified());
        let inner = std::pin::pin!(std::future::poll_fn(|cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            notified.as_mut().poll(cx)
        }));
        let mut seldom = Seldom::new(inner);
        for _ in 0..100 {
            let nothing = tokio::select! {
                biased;
                () = &mut seldom => false,
                () = tokio::task::yield_now() => true,
            };
            assert!(nothing, "nobody told it anything");
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        told.notify_one();
        seldom.await;
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn it_wakes_the_task_it_is_in_now() {
        let told = Arc::new(Notify::new());
        let notified = Arc::clone(&told);
        let mut inner = Box::pin(async move { notified.notified().await });
        let mut seldom = Seldom::new(inner.as_mut());
        // Another waker than that of the task.
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut seldom).poll(&mut cx).is_pending());
        let teller = Arc::clone(&told);
        let telling = tokio::spawn(async move {
            tokio::task::yield_now().await;
            teller.notify_one();
        });
        seldom.await;
        telling.await.expect("it tells");
    }
}
