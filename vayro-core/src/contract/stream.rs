//! Rules of [`ClickSink`], [`ClickStream`] and [`DeadLetterStore`].
//!
//! An adapter implements [`StreamFixture`] and calls [`click_stream_contract!`](crate::click_stream_contract),
//! and [`shared_click_stream_contract!`](crate::shared_click_stream_contract) if several consumers may
//! read at once.
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::concurrent::{First, join, race};
use crate::click::{Click, ClickMethod};
use crate::day::Day;
use crate::ids::{ClickId, LinkId, WorkspaceId};
use crate::ports::{ClickSink, ClickStream, DeadLetterStore};
use crate::purge::ClickSelector;
use crate::stream::{DeadLetter, DeadLetterFilter, DeadReason, Delivery, ERROR_LEN_MAX, NewDeadLetter};
use crate::timestamp::Timestamp;

/// A fresh, empty stream with its ends; whatever it needs lives as long as the fixture.
#[async_trait]
pub trait StreamFixture: Send + Sync {
    /// The end clicks go in at.
    fn sink(&self) -> Arc<dyn ClickSink>;

    /// A consumer of this name. Rules for single streams ask once.
    async fn consumer(&self, name: &str) -> Arc<dyn ClickStream>;

    /// The dead letters of the stream.
    fn dead_letters(&self) -> Arc<dyn DeadLetterStore>;

    /// The clock that `trim`, `stats` and `dead_letter` are given: real time.
    fn now(&self) -> Timestamp;
}

/// Generates one test per rule that every click stream follows.
///
/// `$make` is an expression of a future of a [`StreamFixture`]; the crate needs `tokio` for its tests.
#[macro_export]
macro_rules! click_stream_contract {
    ($make:expr) => {
        $crate::click_stream_contract! { contract_rules, $make }
    };
    ($each:ident, $make:expr) => {
        $crate::$each! { stream, $make,
            clicks_come_out_as_they_went_in_and_in_order
            odd_clicks_survive_the_stream
            nothing_appended_is_no_error
            a_large_batch_is_taken_whole
            clicks_from_before_the_first_consumer_are_handed_out
            a_batch_is_at_most_max
            an_empty_stream_hands_out_nothing
            a_waiting_consumer_is_woken_by_a_click
            two_calls_at_once_share_no_entry
            unacknowledged_entries_come_back_with_higher_attempts
            entries_that_are_not_idle_long_enough_stay
            a_reclaim_is_at_most_max
            acknowledged_entries_never_come_back
            acknowledging_one_entry_leaves_its_neighbors
            a_dropped_call_loses_nothing
            a_dead_letter_is_kept_and_settled
            a_dead_letters_error_is_cut_at_a_character
            dead_letters_are_listed_in_pages_oldest_first
            dead_letters_are_filtered
            a_replayed_letter_is_the_same_click
            a_purged_letter_is_gone
            trimming_never_touches_what_is_not_settled
            stats_of_an_empty_stream_are_zero
            stats_count_what_waits_and_what_is_held
            what_is_not_settled_is_counted_by_day
            what_was_settled_is_handed_out_again_when_replayed
            a_replay_begins_at_its_instant
            a_replay_skips_nothing_that_waits
            purged_entries_are_told_and_go
            a_consumer_that_leaves_loses_nothing
        }
    };
}

/// Generates one test per rule of click streams that several consumers read at once.
#[macro_export]
macro_rules! shared_click_stream_contract {
    ($make:expr) => {
        $crate::shared_click_stream_contract! { contract_rules, $make }
    };
    ($each:ident, $make:expr) => {
        $crate::$each! { stream, $make,
            consumers_share_the_entries
            entries_of_a_lost_consumer_go_to_another
            an_entry_may_be_settled_by_another_consumer
            a_consumer_that_left_is_forgotten_once_it_holds_nothing
        }
    };
}

/// Longest wait for an entry that must come.
const PATIENCE: Duration = Duration::from_secs(20);
/// Wait for an entry that must not come.
const GLANCE: Duration = Duration::from_millis(20);

fn size(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).expect("rules ask for at least one entry")
}

/// Makes the click number `n` of a rule.
fn click(n: u8) -> Click {
    let at = Timestamp::from_millis(1_790_000_000_000 + i64::from(n)).expect("in range");
    Click {
        id: ClickId::from_parts(at, [n; 10]),
        link_id: LinkId::from_uuid(uuid::Uuid::from_u128(u128::from(n) + 100)),
        workspace_id: WorkspaceId::from_uuid(uuid::Uuid::from_u128(1)),
        domain: "go.example".into(),
        ip: Some(IpAddr::from([192, 0, 2, n])),
        user_agent: format!("Mozilla/5.0 ({n})").into(),
        referer: "https://t.co/".into(),
        language: "de-CH,de;q=0.9".into(),
        query: "utm_source=mail".into(),
        method: ClickMethod::Get,
        is_prefetch: false,
        is_private: false,
    }
}

fn clicks(count: u8) -> Vec<Click> {
    (0..count).map(click).collect()
}

fn decode(deliveries: &[Delivery]) -> Vec<Click> {
    deliveries.iter().map(|d| Click::decode(&d.fields).expect("the stream keeps every field")).collect()
}

fn ids(deliveries: &[Delivery]) -> BTreeSet<String> {
    deliveries.iter().map(|d| d.id.0.clone()).collect()
}

async fn append(fixture: &dyn StreamFixture, clicks: &[Click]) {
    fixture.sink().append(clicks).await.expect("the stream takes clicks");
}

/// Takes exactly `count` new entries.
async fn take(stream: &dyn ClickStream, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let batch = stream.next_batch(size(count - taken.len()), PATIENCE).await.expect("entries");
        assert!(!batch.is_empty(), "got {} of {count} entries", taken.len());
        taken.extend(batch);
    }
    taken
}

/// Asserts that nothing new and nothing old is left.
async fn assert_drained(stream: &dyn ClickStream) {
    assert_eq!(stream.next_batch(size(10), GLANCE).await.expect("a batch"), [], "new entries");
    assert_eq!(stream.reclaim(size(10), Duration::ZERO).await.expect("a batch"), [], "held entries");
}

async fn ack(stream: &dyn ClickStream, deliveries: &[Delivery]) {
    let ids: Vec<_> = deliveries.iter().map(|d| d.id.clone()).collect();
    stream.ack(&ids).await.expect("settled");
}

fn letter(fixture: &dyn StreamFixture, delivery: Delivery, reason: DeadReason) -> NewDeadLetter {
    NewDeadLetter { delivery, reason, error: format!("because {}", reason.as_str()), at: fixture.now() }
}

/// Puts `count` clicks aside, for the reasons of [`DeadReason::ALL`] in turn.
async fn bury(fixture: &dyn StreamFixture, stream: &dyn ClickStream, count: u8) -> Vec<DeadLetter> {
    append(fixture, &clicks(count)).await;
    let taken = take(stream, usize::from(count)).await;
    let letters: Vec<_> = taken
        .into_iter()
        .zip(DeadReason::ALL.into_iter().cycle())
        .map(|(delivery, reason)| letter(fixture, delivery, reason))
        .collect();
    stream.dead_letter(&letters).await.expect("put aside");
    list_all(fixture, &DeadLetterFilter::default(), 100).await
}

/// Walks all pages of at most `max` letters.
async fn list_all(fixture: &dyn StreamFixture, filter: &DeadLetterFilter, max: u16) -> Vec<DeadLetter> {
    let store = fixture.dead_letters();
    let (mut letters, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = store.list(filter, after.as_deref(), max).await.expect("a page");
        assert!(page.items.len() <= usize::from(max), "a page of {} letters", page.items.len());
        letters.extend(page.items);
        match page.next {
            Some(next) => {
                assert_ne!(after.as_ref(), Some(&next), "paging stands still");
                after = Some(next);
            }
            None => return letters,
        }
    }
}

/// What goes in comes out, once, oldest first, as attempt number one.
pub async fn clicks_come_out_as_they_went_in_and_in_order(fixture: &dyn StreamFixture) {
    let sent = clicks(5);
    append(fixture, &sent[..2]).await;
    append(fixture, &sent[2..]).await;
    let stream = fixture.consumer("one").await;
    let taken = take(&*stream, 5).await;
    assert_eq!(decode(&taken), sent);
    assert!(taken.iter().all(|d| d.attempts == 1), "{taken:?}");
    assert_eq!(ids(&taken).len(), 5);
    assert_eq!(stream.next_batch(size(10), GLANCE).await.expect("a batch"), []);
}

/// Every optional field, other scripts, missing headers and long texts survive.
pub async fn odd_clicks_survive_the_stream(fixture: &dyn StreamFixture) {
    let full = Click {
        ip: Some(IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))),
        user_agent: "Мозилла/5.0 (日本語; 🦀)".into(),
        referer: "x".repeat(crate::click::REFERER_LEN_MAX).into(),
        method: ClickMethod::Head,
        is_prefetch: true,
        is_private: true,
        ..click(1)
    };
    let bare = Click {
        domain: "".into(),
        ip: None,
        user_agent: "".into(),
        referer: "".into(),
        language: "".into(),
        query: "".into(),
        ..click(2)
    };
    append(fixture, &[full.clone(), bare.clone()]).await;
    let stream = fixture.consumer("one").await;
    assert_eq!(decode(&take(&*stream, 2).await), [full, bare]);
}

/// Empty slices are fine everywhere.
pub async fn nothing_appended_is_no_error(fixture: &dyn StreamFixture) {
    append(fixture, &[]).await;
    let stream = fixture.consumer("one").await;
    stream.ack(&[]).await.expect("nothing to settle");
    stream.dead_letter(&[]).await.expect("nothing to put aside");
    assert_eq!(fixture.dead_letters().replay(&[]).await.expect("nothing to replay"), 0);
    assert_eq!(fixture.dead_letters().purge(&[]).await.expect("nothing to purge"), 0);
    assert_drained(&*stream).await;
}

/// Thousands of clicks in one call keep their order.
pub async fn a_large_batch_is_taken_whole(fixture: &dyn StreamFixture) {
    let sent: Vec<_> = (0..3000_u32)
        .map(|n| Click { user_agent: n.to_string().into(), ..click(u8::try_from(n % 200).expect("small")) })
        .collect();
    append(fixture, &sent).await;
    let stream = fixture.consumer("one").await;
    assert_eq!(decode(&take(&*stream, sent.len()).await), sent);
}

/// Clicks that piled up before any consumer existed are not skipped.
pub async fn clicks_from_before_the_first_consumer_are_handed_out(fixture: &dyn StreamFixture) {
    append(fixture, &[click(1)]).await;
    let stream = fixture.consumer("late").await;
    assert_eq!(decode(&take(&*stream, 1).await), [click(1)]);
}

/// `max` bounds a batch, and the rest follows.
pub async fn a_batch_is_at_most_max(fixture: &dyn StreamFixture) {
    append(fixture, &clicks(5)).await;
    let stream = fixture.consumer("one").await;
    let first = stream.next_batch(size(2), PATIENCE).await.expect("a batch");
    assert!((1..=2).contains(&first.len()), "{}", first.len());
    let rest = take(&*stream, 5 - first.len()).await;
    assert_eq!(decode(&[first, rest].concat()), clicks(5));
}

/// Waiting ends with nothing.
pub async fn an_empty_stream_hands_out_nothing(fixture: &dyn StreamFixture) {
    let stream = fixture.consumer("one").await;
    assert_drained(&*stream).await;
    assert_eq!(stream.next_batch(size(1), Duration::ZERO).await.expect("a batch"), []);
}

/// A consumer that waits hears of a click at once, not at the end of its wait.
pub async fn a_waiting_consumer_is_woken_by_a_click(fixture: &dyn StreamFixture) {
    let stream = fixture.consumer("one").await;
    let sent = [click(1)];
    let (batch, ()) = join(stream.next_batch(size(1), PATIENCE), append(fixture, &sent)).await;
    assert_eq!(decode(&batch.expect("a batch")), sent);
}

/// Two calls of one consumer never get the same entry.
pub async fn two_calls_at_once_share_no_entry(fixture: &dyn StreamFixture) {
    append(fixture, &clicks(6)).await;
    let stream = fixture.consumer("one").await;
    let (left, right) =
        join(stream.next_batch(size(3), PATIENCE), stream.next_batch(size(3), PATIENCE)).await;
    let mut taken = [left.expect("a batch"), right.expect("a batch")].concat();
    if taken.len() < 6 {
        taken.extend(take(&*stream, 6 - taken.len()).await);
    }
    assert_eq!(ids(&taken).len(), 6, "{taken:?}");
    assert_eq!(stream.next_batch(size(10), GLANCE).await.expect("a batch"), []);
}

/// What is not settled is handed out again, unchanged, counting attempts.
pub async fn unacknowledged_entries_come_back_with_higher_attempts(fixture: &dyn StreamFixture) {
    append(fixture, &clicks(3)).await;
    let stream = fixture.consumer("one").await;
    let first = take(&*stream, 3).await;
    for attempts in 2..=4 {
        let mut again = stream.reclaim(size(10), Duration::ZERO).await.expect("a batch");
        again.sort_by_key(|d| first.iter().position(|f| f.id == d.id));
        let expected: Vec<_> = first.iter().map(|d| Delivery { attempts, ..d.clone() }).collect();
        assert_eq!(again, expected);
    }
    assert_eq!(stream.next_batch(size(10), GLANCE).await.expect("a batch"), [], "they are not new again");
}

/// Entries in work are left alone until they are idle for long enough.
pub async fn entries_that_are_not_idle_long_enough_stay(fixture: &dyn StreamFixture) {
    append(fixture, &clicks(2)).await;
    let stream = fixture.consumer("one").await;
    let taken = take(&*stream, 2).await;
    let hour = Duration::from_hours(1);
    assert_eq!(stream.reclaim(size(10), hour).await.expect("a batch"), []);
    let again = stream.reclaim(size(10), Duration::ZERO).await.expect("a batch");
    assert_eq!(ids(&again), ids(&taken));
    assert!(again.iter().all(|d| d.attempts == 2), "the vain reclaim counted as an attempt: {again:?}");
}

/// `max` bounds a reclaim.
pub async fn a_reclaim_is_at_most_max(fixture: &dyn StreamFixture) {
    append(fixture, &clicks(5)).await;
    let stream = fixture.consumer("one").await;
    let taken = take(&*stream, 5).await;
    let mut left = ids(&taken);
    while !left.is_empty() {
        let again = stream.reclaim(size(2), Duration::ZERO).await.expect("a batch");
        assert!((1..=2).contains(&again.len()), "{}", again.len());
        ack(&*stream, &again).await;
        for id in ids(&again) {
            assert!(left.remove(&id), "{id} was settled and came back");
        }
    }
    assert_drained(&*stream).await;
}

/// Settled is settled, also twice and also for ids that never were.
pub async fn acknowledged_entries_never_come_back(fixture: &dyn StreamFixture) {
    append(fixture, &clicks(3)).await;
    let stream = fixture.consumer("one").await;
    let taken = take(&*stream, 3).await;
    ack(&*stream, &taken).await;
    ack(&*stream, &taken).await;
    assert_drained(&*stream).await;
    append(fixture, &[click(9)]).await;
    assert_eq!(decode(&take(&*stream, 1).await), [click(9)], "new entries still come");
}

/// Entries are settled one by one, in any order.
pub async fn acknowledging_one_entry_leaves_its_neighbors(fixture: &dyn StreamFixture) {
    append(fixture, &clicks(4)).await;
    let stream = fixture.consumer("one").await;
    let taken = take(&*stream, 4).await;
    ack(&*stream, &[taken[3].clone(), taken[1].clone()]).await;
    let again = stream.reclaim(size(10), Duration::ZERO).await.expect("a batch");
    assert_eq!(ids(&again), ids(&[taken[0].clone(), taken[2].clone()]));
}

/// An entry that was on its way to a call that was dropped still arrives.
pub async fn a_dropped_call_loses_nothing(fixture: &dyn StreamFixture) {
    let stream = fixture.consumer("one").await;
    let sent = clicks(8);
    let mut got = Vec::new();
    for one in &sent {
        let alone = std::slice::from_ref(one);
        match race(stream.next_batch(size(1), PATIENCE), append(fixture, alone)).await {
            First::Left(batch) => {
                got.extend(batch.expect("a batch"));
                // The dropped half may not have reached anybody; twice the same click is one click here.
                append(fixture, alone).await;
            }
            First::Right(()) => {}
        }
    }
    // Whatever was not handed out is new or held; a server may need a moment to see the dropped call.
    let mut seen: BTreeSet<_> = decode(&got).iter().map(|c| c.id).collect();
    for _ in 0..500 {
        if seen.len() == sent.len() {
            break;
        }
        let mut more = stream.next_batch(size(10), GLANCE).await.expect("a batch");
        more.extend(stream.reclaim(size(10), Duration::ZERO).await.expect("a batch"));
        seen.extend(decode(&more).iter().map(|c| c.id));
    }
    assert_eq!(seen, sent.iter().map(|c| c.id).collect());
}

/// A dead letter keeps what is known about it and never comes back as an entry.
pub async fn a_dead_letter_is_kept_and_settled(fixture: &dyn StreamFixture) {
    append(fixture, &clicks(2)).await;
    let stream = fixture.consumer("one").await;
    let first = take(&*stream, 2).await;
    ack(&*stream, &first[1..]).await;
    let delivery = stream.reclaim(size(1), Duration::ZERO).await.expect("a batch").remove(0);
    let new = letter(fixture, delivery, DeadReason::Rejected);
    stream.dead_letter(std::slice::from_ref(&new)).await.expect("put aside");

    assert_drained(&*stream).await;
    assert_eq!(stream.stats(fixture.now()).await.expect("stats").dead_letters, 1);
    let letters = list_all(fixture, &DeadLetterFilter::default(), 10).await;
    let [kept] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!(kept.stream_id, new.delivery.id.0);
    assert_eq!((kept.reason, kept.error.as_str()), (new.reason, new.error.as_str()));
    assert_eq!((kept.attempts, kept.dead_at), (2, new.at));
    let fields: Vec<_> = click(0)
        .to_fields()
        .into_iter()
        .map(|(name, value)| (name.into_owned(), String::from_utf8(value).expect("text")))
        .collect();
    assert_eq!(kept.fields, fields);
    assert_eq!(fixture.dead_letters().find(&kept.id).await.expect("an answer"), Some(kept.clone()));
    assert_eq!(fixture.dead_letters().find("no such letter").await.expect("an answer"), None);
}

/// Error texts have a limit and stay text.
pub async fn a_dead_letters_error_is_cut_at_a_character(fixture: &dyn StreamFixture) {
    append(fixture, &[click(1)]).await;
    let stream = fixture.consumer("one").await;
    let delivery = take(&*stream, 1).await.remove(0);
    let error = format!("x{}", "é".repeat(ERROR_LEN_MAX));
    let new = NewDeadLetter { error: error.clone(), ..letter(fixture, delivery, DeadReason::Rejected) };
    stream.dead_letter(&[new]).await.expect("put aside");
    let kept = list_all(fixture, &DeadLetterFilter::default(), 10).await.remove(0);
    assert!(kept.error.len() <= ERROR_LEN_MAX, "{}", kept.error.len());
    assert!(kept.error.len() + 2 > ERROR_LEN_MAX && error.starts_with(&kept.error), "{}", kept.error);
}

/// Pages follow each other without gap or repetition.
pub async fn dead_letters_are_listed_in_pages_oldest_first(fixture: &dyn StreamFixture) {
    let stream = fixture.consumer("one").await;
    let whole = bury(fixture, &*stream, 7).await;
    let codes: Vec<_> = whole.iter().map(link_id).collect();
    assert_eq!(codes, clicks(7).iter().map(|c| c.link_id.to_string()).collect::<Vec<_>>());
    for max in [1, 3, 7, 8] {
        assert_eq!(list_all(fixture, &DeadLetterFilter::default(), max).await, whole, "pages of {max}");
    }
}

fn link_id(letter: &DeadLetter) -> String {
    let find = letter.fields.iter().find(|(name, _)| name == crate::click::field::LINK_ID);
    find.map(|(_, value)| value.clone()).unwrap_or_default()
}

/// Each filter narrows the list; together they narrow it further.
pub async fn dead_letters_are_filtered(fixture: &dyn StreamFixture) {
    let stream = fixture.consumer("one").await;
    let whole = bury(fixture, &*stream, 6).await;
    let filters = [
        DeadLetterFilter { reason: Some(DeadReason::Undecodable), ..DeadLetterFilter::default() },
        DeadLetterFilter { link_id: Some(link_id(&whole[2])), ..DeadLetterFilter::default() },
        DeadLetterFilter { ids: vec![whole[1].id.clone(), "none".to_owned()], ..DeadLetterFilter::default() },
        DeadLetterFilter { since: Some(whole[5].dead_at), ..DeadLetterFilter::default() },
        DeadLetterFilter {
            since: Some(fixture.now().plus(Duration::from_mins(1))),
            ..DeadLetterFilter::default()
        },
        DeadLetterFilter {
            reason: Some(DeadReason::Undecodable),
            link_id: Some(link_id(&whole[5])),
            ..DeadLetterFilter::default()
        },
    ];
    for (filter, count) in filters.iter().zip([2, 1, 1, 1, 0, 1]) {
        let expected: Vec<_> = whole.iter().filter(|l| filter.matches(l)).cloned().collect();
        assert!(expected.len() >= count, "{filter:?}");
        assert_eq!(list_all(fixture, filter, 2).await, expected, "{filter:?}");
    }
}

/// Replay hands the same click, with the same id, to a worker; a second replay does nothing.
pub async fn a_replayed_letter_is_the_same_click(fixture: &dyn StreamFixture) {
    let stream = fixture.consumer("one").await;
    let letters = bury(fixture, &*stream, 3).await;
    let store = fixture.dead_letters();
    let chosen = [letters[1].id.clone(), "no such letter".to_owned()];
    assert_eq!(store.replay(&chosen).await.expect("replayed"), 1);
    assert_eq!(store.replay(&chosen).await.expect("replayed"), 0);
    let left: Vec<_> =
        list_all(fixture, &DeadLetterFilter::default(), 10).await.into_iter().map(|l| l.id).collect();
    assert_eq!(left, [letters[0].id.clone(), letters[2].id.clone()]);
    let taken = take(&*stream, 1).await;
    assert_eq!(decode(&taken), [click(1)]);
    assert_eq!(taken[0].attempts, 1, "a replayed letter starts over");
    ack(&*stream, &taken).await;
    assert_drained(&*stream).await;
}

/// Purging removes a letter for good and nothing else.
pub async fn a_purged_letter_is_gone(fixture: &dyn StreamFixture) {
    let stream = fixture.consumer("one").await;
    let letters = bury(fixture, &*stream, 3).await;
    let store = fixture.dead_letters();
    let chosen = [letters[0].id.clone(), letters[2].id.clone(), "no such letter".to_owned()];
    assert_eq!(store.purge(&chosen).await.expect("purged"), 2);
    assert_eq!(store.purge(&chosen).await.expect("purged"), 0);
    assert_eq!(store.find(&letters[0].id).await.expect("an answer"), None);
    assert_eq!(list_all(fixture, &DeadLetterFilter::default(), 10).await, [letters[1].clone()]);
    assert_drained(&*stream).await;
}

/// However small the window, held and new entries survive a trim.
pub async fn trimming_never_touches_what_is_not_settled(fixture: &dyn StreamFixture) {
    let sent = clicks(6);
    append(fixture, &sent).await;
    let stream = fixture.consumer("one").await;
    let later = fixture.now().plus(Duration::from_hours(240));
    stream.trim(Duration::ZERO, later).await.expect("trimmed");
    let taken = take(&*stream, 4).await;
    ack(&*stream, &[taken[0].clone(), taken[2].clone()]).await;
    stream.trim(Duration::ZERO, later).await.expect("trimmed");

    let mut held = decode(&stream.reclaim(size(10), Duration::ZERO).await.expect("a batch"));
    held.sort_by_key(|c| c.id);
    assert_eq!(held, [sent[1].clone(), sent[3].clone()]);
    assert_eq!(decode(&take(&*stream, 2).await), sent[4..]);
    let all: Vec<_> = stream.reclaim(size(10), Duration::ZERO).await.expect("a batch");
    ack(&*stream, &all).await;
    stream.trim(Duration::ZERO, later).await.expect("trimmed");
    assert_drained(&*stream).await;
    append(fixture, &[click(9)]).await;
    assert_eq!(decode(&take(&*stream, 1).await), [click(9)], "the stream goes on after a trim");
}

/// Nothing waits, nothing is held, nothing is dead.
pub async fn stats_of_an_empty_stream_are_zero(fixture: &dyn StreamFixture) {
    let stream = fixture.consumer("one").await;
    assert_drained(&*stream).await;
    let stats = stream.stats(fixture.now()).await.expect("stats");
    assert_eq!((stats.undelivered.count, stats.undelivered.is_capped), (0, false));
    assert_eq!((stats.pending, stats.length, stats.dead_letters), (0, 0, 0));
    assert_eq!((stats.undelivered_oldest_ms, stats.pending_oldest_ms), (None, None));
}

/// New, held and settled entries are told apart, and the totals only grow by what happened.
pub async fn stats_count_what_waits_and_what_is_held(fixture: &dyn StreamFixture) {
    let stream = fixture.consumer("one").await;
    assert_drained(&*stream).await;
    let before = stream.stats(fixture.now()).await.expect("stats");
    append(fixture, &clicks(6)).await;
    let taken = take(&*stream, 3).await;
    ack(&*stream, &taken[..1]).await;
    let stats = stream.stats(fixture.now()).await.expect("stats");
    assert_eq!((stats.undelivered.count, stats.undelivered.is_capped), (3, false), "{stats:?}");
    assert!(stats.undelivered_oldest_ms.is_some_and(|ms| ms < 60_000), "{stats:?}");
    assert_eq!(stats.pending, 2, "{stats:?}");
    assert!(stats.pending_oldest_ms.is_some_and(|ms| ms < 60_000), "{stats:?}");
    assert!(stats.length >= 5, "{stats:?}");
    let consumer = stats.consumers.iter().find(|c| c.name == "one").expect("the consumer is listed");
    assert_eq!(consumer.pending, 2);
    if let (Some(was), Some(is)) = (before.added_total, stats.added_total) {
        assert_eq!(is - was, 6);
    }
    if let (Some(was), Some(is)) = (before.acked_total, stats.acked_total) {
        assert_eq!(is - was, 1);
    }
}

/// Everything that waits or is held is counted under the day of its click, settled entries are not.
pub async fn what_is_not_settled_is_counted_by_day(fixture: &dyn StreamFixture) {
    let stream = fixture.consumer("one").await;
    assert_eq!(stream.unsettled(100).await.expect("a count").total(), 0);
    let mut all = clicks(6);
    let next_day = all[0].timestamp().plus(Duration::from_secs(86_400));
    all[5].id = ClickId::from_parts(next_day, [9; 10]);
    append(fixture, &all).await;
    let taken = take(&*stream, 3).await;
    ack(&*stream, &taken[..1]).await;
    let unsettled = stream.unsettled(100).await.expect("a count");
    let days = [(Day::of(all[0].timestamp()), 4), (Day::of(next_day), 1)];
    assert_eq!(unsettled.days.into_iter().collect::<Vec<_>>(), days);
    assert_eq!((unsettled.undated, unsettled.is_capped), (0, false));
    let capped = stream.unsettled(2).await.expect("a count");
    assert!(capped.is_capped && capped.total() >= 2, "{capped:?}");
}

/// Settled entries that the stream still holds come again as new ones, and can be settled again.
pub async fn what_was_settled_is_handed_out_again_when_replayed(fixture: &dyn StreamFixture) {
    let stream = fixture.consumer("one").await;
    append(fixture, &clicks(4)).await;
    let taken = take(&*stream, 4).await;
    ack(&*stream, &taken[..3]).await;
    let replayed = stream.replay(Timestamp::EPOCH).await.expect("replayed");
    assert_eq!((replayed.count, replayed.is_capped), (4, false));
    append(fixture, &[click(9)]).await;
    let again = take(&*stream, 5).await;
    assert_eq!(decode(&again[..4]), clicks(4), "the held one too");
    assert_eq!(decode(&again[4..]), [click(9)], "and what came later, once");
    ack(&*stream, &again).await;
    assert_drained(&*stream).await;
    let stats = stream.stats(fixture.now()).await.expect("stats");
    assert_eq!((stats.undelivered.count, stats.pending), (0, 0));
}

/// Entries that were added before the instant stay settled.
pub async fn a_replay_begins_at_its_instant(fixture: &dyn StreamFixture) {
    const APART: Duration = Duration::from_millis(30);
    let stream = fixture.consumer("one").await;
    append(fixture, &clicks(2)).await;
    ack(&*stream, &take(&*stream, 2).await).await;
    // Nothing comes, so this only lets time pass.
    assert_eq!(stream.next_batch(size(1), APART).await.expect("a batch"), []);
    let since = fixture.now();
    assert_eq!(stream.next_batch(size(1), APART).await.expect("a batch"), []);
    append(fixture, &[click(7), click(8)]).await;
    ack(&*stream, &take(&*stream, 2).await).await;
    assert_eq!(stream.replay(since).await.expect("replayed").count, 2);
    let again = take(&*stream, 2).await;
    assert_eq!(decode(&again), [click(7), click(8)]);
    ack(&*stream, &again).await;
    assert_drained(&*stream).await;
}

/// Nothing that waits is taken for settled, whatever instant is given.
pub async fn a_replay_skips_nothing_that_waits(fixture: &dyn StreamFixture) {
    let stream = fixture.consumer("one").await;
    assert_eq!(stream.replay(Timestamp::EPOCH).await.expect("replayed").count, 0, "nothing is there");
    append(fixture, &clicks(3)).await;
    ack(&*stream, &take(&*stream, 1).await).await;
    let later = fixture.now().plus(Duration::from_secs(3600));
    assert_eq!(stream.replay(later).await.expect("replayed").count, 0);
    let taken = take(&*stream, 2).await;
    assert_eq!(decode(&taken), clicks(3)[1..]);
    ack(&*stream, &taken).await;
    assert_drained(&*stream).await;
}

/// Whatever became of them; the others are as before.
pub async fn purged_entries_are_told_and_go(fixture: &dyn StreamFixture) {
    let sent = clicks(6);
    append(fixture, &sent).await;
    let stream = fixture.consumer("one").await;
    // Two settled, two out, two waiting; of each pair one is named.
    let taken = take(&*stream, 4).await;
    ack(&*stream, &taken[..2]).await;
    let is_named =
        |click: &Click| [1, 3, 5].contains(&sent.iter().position(|c| c.id == click.id).expect("ours"));
    let purge = async |click: &Click| {
        let later = Timestamp::from_millis(1_800_000_000_000).expect("in range");
        let selector = ClickSelector::of_link(click.link_id, later);
        let page = stream.purge(&selector, None).await.expect("purged");
        assert_eq!(page.next, None);
        page.items
    };
    for click in sent.iter().filter(|click| is_named(click)) {
        assert_eq!(purge(click).await, [click.id]);
    }
    let mut left = decode(&stream.reclaim(size(10), Duration::ZERO).await.expect("a batch"));
    left.extend(decode(&take_some(&*stream).await));
    left.retain(|click| !is_named(click));
    assert_eq!(left, [sent[2].clone(), sent[4].clone()]);
    let all = stream.reclaim(size(10), Duration::ZERO).await.expect("a batch");
    ack(&*stream, &all).await;
    // What was not settled then is now.
    for click in sent.iter().filter(|click| is_named(click)) {
        purge(click).await;
    }
    for click in sent.iter().filter(|click| is_named(click)) {
        assert_eq!(purge(click).await, []);
    }
    assert_drained(&*stream).await;
    append(fixture, &[click(9)]).await;
    assert_eq!(decode(&take(&*stream, 1).await), [click(9)], "the stream goes on");
}

/// Takes what waits without waiting for more.
async fn take_some(stream: &dyn ClickStream) -> Vec<Delivery> {
    stream.next_batch(size(10), GLANCE).await.expect("a batch")
}

/// A consumer may leave at any time; what it holds can still be reclaimed.
pub async fn a_consumer_that_leaves_loses_nothing(fixture: &dyn StreamFixture) {
    append(fixture, &clicks(2)).await;
    let stream = fixture.consumer("one").await;
    let taken = take(&*stream, 2).await;
    ack(&*stream, &taken[..1]).await;
    stream.leave().await.expect("left");
    let held = stream.reclaim(size(10), Duration::ZERO).await.expect("a batch");
    assert_eq!(ids(&held), ids(&taken[1..]));
    ack(&*stream, &held).await;
    stream.leave().await.expect("left");
    append(fixture, &[click(9)]).await;
    assert_eq!(decode(&take(&*stream, 1).await), [click(9)], "a consumer may come back");
}

/// Two consumers get different entries, together all of them.
pub async fn consumers_share_the_entries(fixture: &dyn StreamFixture) {
    append(fixture, &clicks(6)).await;
    let (one, two) = (fixture.consumer("one").await, fixture.consumer("two").await);
    let taken = [take(&*one, 2).await, take(&*two, 3).await, take(&*one, 1).await].concat();
    assert_eq!(ids(&taken).len(), 6);
    assert_eq!(two.next_batch(size(10), GLANCE).await.expect("a batch"), []);
}

/// What a consumer held when it vanished is reclaimed by another.
pub async fn entries_of_a_lost_consumer_go_to_another(fixture: &dyn StreamFixture) {
    append(fixture, &clicks(3)).await;
    let lost = fixture.consumer("lost").await;
    let taken = take(&*lost, 3).await;
    drop(lost);
    let heir = fixture.consumer("heir").await;
    assert_eq!(heir.next_batch(size(10), GLANCE).await.expect("a batch"), [], "held entries are not new");
    let again = heir.reclaim(size(10), Duration::ZERO).await.expect("a batch");
    assert_eq!(ids(&again), ids(&taken));
    assert!(again.iter().all(|d| d.attempts == 2), "{again:?}");
    ack(&*heir, &again).await;
    assert_drained(&*heir).await;
}

/// Who settles an entry does not matter.
pub async fn an_entry_may_be_settled_by_another_consumer(fixture: &dyn StreamFixture) {
    append(fixture, &clicks(2)).await;
    let (one, two) = (fixture.consumer("one").await, fixture.consumer("two").await);
    let taken = take(&*one, 2).await;
    ack(&*two, &taken).await;
    assert_drained(&*one).await;
    assert_drained(&*two).await;
}

/// A consumer that left is listed no more, unless it still holds something.
pub async fn a_consumer_that_left_is_forgotten_once_it_holds_nothing(fixture: &dyn StreamFixture) {
    append(fixture, &clicks(2)).await;
    let (idle, busy) = (fixture.consumer("idle").await, fixture.consumer("busy").await);
    ack(&*idle, &take(&*idle, 1).await).await;
    let held = take(&*busy, 1).await;
    idle.leave().await.expect("left");
    busy.leave().await.expect("left");
    let names: Vec<_> =
        busy.stats(fixture.now()).await.expect("stats").consumers.into_iter().map(|c| c.name).collect();
    assert_eq!(names, ["busy"]);
    let heir = fixture.consumer("heir").await;
    assert_eq!(ids(&heir.reclaim(size(10), Duration::ZERO).await.expect("a batch")), ids(&held));
}
