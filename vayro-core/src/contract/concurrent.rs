//! Two futures at a time without a runtime, so that rules stay free of one.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// Runs both to their ends.
pub(crate) async fn join<A, B>(left: impl Future<Output = A>, right: impl Future<Output = B>) -> (A, B) {
    let (mut left, mut right) = (pin!(left), pin!(right));
    let (mut left_is, mut right_is) = (None, None);
    poll_fn(|cx| {
        if left_is.is_none()
            && let Poll::Ready(value) = left.as_mut().poll(cx)
        {
            left_is = Some(value);
        }
        if right_is.is_none()
            && let Poll::Ready(value) = right.as_mut().poll(cx)
        {
            right_is = Some(value);
        }
        match (left_is.take(), right_is.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (left_is, right_is) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

/// Which of two futures ended first.
pub(crate) enum First<A, B> {
    /// The left one, or both at once.
    Left(A),
    /// The right one.
    Right(B),
}

/// Runs both until one ends and drops the other.
pub(crate) async fn race<A, B>(left: impl Future<Output = A>, right: impl Future<Output = B>) -> First<A, B> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|cx| {
        if let Poll::Ready(value) = left.as_mut().poll(cx) {
            return Poll::Ready(First::Left(value));
        }
        right.as_mut().poll(cx).map(First::Right)
    })
    .await
}
