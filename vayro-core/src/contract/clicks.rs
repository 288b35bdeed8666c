//! Rules of [`ClickStore`](crate::ports::ClickStore): rows and counters are stored once or not at all.
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use std::time::Duration;

use super::stores::{Owner, Stores, at, click, fresh_uuid, join_all};
use crate::analytics::{ClickCount, ClickScope};
use crate::click::{ClickClass, ClickRow};
use crate::ids::{ClickId, LinkId};
use crate::link::{Link, LinkSort};
use crate::ports::{WriteError, WriteOutcome};
use crate::stream::DeadReason;
use crate::timestamp::Timestamp;

/// Generates one test per rule; `$fixture` is a future of a value with a field `stores`.
#[macro_export]
macro_rules! click_store_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            clicks,
            [
                an_empty_batch_stores_nothing,
                written_clicks_are_counted_on_their_links,
                a_replay_changes_nothing,
                duplicates_in_one_batch_are_stored_once,
                a_batch_that_overlaps_stores_the_rest,
                the_first_row_of_an_id_stays,
                only_counted_clicks_raise_the_counter,
                the_newest_click_never_moves_back,
                counters_order_lists,
                a_large_batch_over_months_is_stored_whole,
                clicks_of_deleted_links_are_counted,
                an_unknown_link_is_named_and_nothing_stored,
                a_time_without_storage_is_out_of_range,
                a_time_that_is_not_the_ids_is_rejected,
                nul_is_rejected,
                over_long_texts_are_rejected,
                texts_of_full_length_are_stored,
                preparing_months_twice_changes_nothing,
                writers_of_the_same_rows_store_them_once,
                writers_of_the_same_links_lose_no_count,
                the_salt_of_a_day_is_the_same_for_everyone,
                salts_of_past_days_are_gone_for_good,
            ]
        );
    };
}

async fn write(stores: &Stores, rows: &[ClickRow]) -> WriteOutcome {
    stores.clicks.write(rows).await.expect("clicks are stored")
}

fn outcome(inserted: u64, duplicates: u64) -> WriteOutcome {
    WriteOutcome { inserted, duplicates }
}

/// Everything the owner's workspace has around noon, of every class.
async fn stored(stores: &Stores, owner: &Owner) -> ClickCount {
    let scope = ClickScope {
        workspace_id: owner.workspace_id,
        link_id: None,
        start: at(-62 * 86_400),
        end: at(62 * 86_400),
        classes: ClickClass::ALL.to_vec(),
        filters: Vec::new(),
    };
    stores.analytics.totals(&scope).await.expect("the database answers")
}

async fn counters(stores: &Stores, link: &Link) -> (i64, Option<Timestamp>) {
    let link = stores.reload(link).await;
    (link.clicks, link.last_click_at)
}

async fn cast(stores: &Stores) -> (Owner, Link) {
    let owner = stores.owner("ada").await;
    stores.prepare_months().await;
    let link = stores.link(&owner, "launch").await;
    (owner, link)
}

async fn assert_rejected(stores: &Stores, rows: &[ClickRow], expected: DeadReason) {
    match stores.clicks.write(rows).await {
        Err(WriteError::Rejected { reason, .. }) => assert_eq!(reason, expected),
        other => panic!("expected the rows to be rejected as {expected:?}, got {other:?}"),
    }
}

/// Nothing to do is done.
pub async fn an_empty_batch_stores_nothing(stores: &Stores) {
    assert_eq!(write(stores, &[]).await, outcome(0, 0));
}

/// Each link's `clicks` and `last_click_at` follow its rows.
pub async fn written_clicks_are_counted_on_their_links(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let other = stores.link(&owner, "other").await;
    let rows = [click(&link, at(3)), click(&other, at(4)), click(&link, at(1)), click(&link, at(2))];
    assert_eq!(write(stores, &rows).await, outcome(4, 0));
    assert_eq!(counters(stores, &link).await, (3, Some(at(3))));
    assert_eq!(counters(stores, &other).await, (1, Some(at(4))));
    assert_eq!(write(stores, &[click(&link, at(9))]).await, outcome(1, 0));
    assert_eq!(counters(stores, &link).await, (4, Some(at(9))));
    // A click is no change of the link.
    let reloaded = stores.reload(&link).await;
    assert_eq!((reloaded.version, reloaded.revision), (link.version, link.revision));
    assert_eq!(stored(stores, &owner).await.clicks, 5);
}

/// What was committed and not acknowledged comes again, perhaps often.
pub async fn a_replay_changes_nothing(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let mut rows: Vec<_> = (0..50).map(|n| click(&link, at(n))).collect();
    for (n, row) in rows.iter_mut().enumerate() {
        row.visitor_id = i64::try_from(n % 7).ok();
    }
    assert_eq!(write(stores, &rows).await, outcome(50, 0));
    let (before, counted) = (stored(stores, &owner).await, counters(stores, &link).await);
    assert_eq!(before, ClickCount { clicks: 50, visitors: 7 });
    for _ in 0..3 {
        assert_eq!(write(stores, &rows).await, outcome(0, 50));
    }
    rows.reverse();
    assert_eq!(write(stores, &rows).await, outcome(0, 50));
    assert_eq!(stored(stores, &owner).await, before);
    assert_eq!(counters(stores, &link).await, counted);
}

/// An edge that sent twice is counted once.
pub async fn duplicates_in_one_batch_are_stored_once(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let (a, b) = (click(&link, at(1)), click(&link, at(2)));
    let rows = [a.clone(), b.clone(), a.clone(), a, b];
    assert_eq!(write(stores, &rows).await, outcome(2, 3));
    assert_eq!(counters(stores, &link).await, (2, Some(at(2))));
    assert_eq!(stored(stores, &owner).await.clicks, 2);
}

/// New rows are stored and counted although others of the batch were there.
pub async fn a_batch_that_overlaps_stores_the_rest(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let other = stores.link(&owner, "other").await;
    let rows: Vec<_> = (0..6).map(|n| click(if n % 2 == 0 { &link } else { &other }, at(n))).collect();
    assert_eq!(write(stores, &rows[..3]).await, outcome(3, 0));
    let mut batch = rows.clone();
    batch.push(rows[5].clone());
    assert_eq!(write(stores, &batch).await, outcome(3, 4));
    assert_eq!(counters(stores, &link).await, (3, Some(at(4))));
    assert_eq!(counters(stores, &other).await, (3, Some(at(5))));
    assert_eq!(stored(stores, &owner).await.clicks, 6);
}

/// A replay that was enriched differently does not count on another link.
pub async fn the_first_row_of_an_id_stays(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let other = stores.link(&owner, "other").await;
    let first = click(&link, at(1));
    write(stores, std::slice::from_ref(&first)).await;
    let again = ClickRow { link_id: other.id, ..first };
    assert_eq!(write(stores, &[again]).await, outcome(0, 1));
    assert_eq!(counters(stores, &link).await, (1, Some(at(1))));
    assert_eq!(counters(stores, &other).await, (0, None));
}

/// Robots, HEAD requests, prefetches, repeats and excluded addresses are kept, and are not the headline.
pub async fn only_counted_clicks_raise_the_counter(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows: Vec<_> = ClickClass::ALL
        .into_iter()
        .zip(1..)
        .map(|(class, seconds)| ClickRow { class, ..click(&link, at(seconds)) })
        .collect();
    assert_eq!(write(stores, &rows).await, outcome(6, 0));
    assert_eq!(counters(stores, &link).await, (1, Some(at(1))));
    assert_eq!(stored(stores, &owner).await.clicks, 6);
    let other = stores.link(&owner, "other").await;
    let bot = ClickRow { class: ClickClass::Bot, bot: "Googlebot".to_owned(), ..click(&other, at(5)) };
    write(stores, &[bot]).await;
    assert_eq!(counters(stores, &other).await, (0, None));
}

/// A spool that drains late brings old clicks after new ones.
pub async fn the_newest_click_never_moves_back(stores: &Stores) {
    let (_, link) = cast(stores).await;
    write(stores, &[click(&link, at(100))]).await;
    write(stores, &[click(&link, at(1))]).await;
    assert_eq!(counters(stores, &link).await, (2, Some(at(100))));
}

/// Lists see the counters at once.
pub async fn counters_order_lists(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let other = stores.link(&owner, "other").await;
    write(stores, &[click(&other, at(1)), click(&other, at(2)), click(&link, at(3))]).await;
    for (sort, first) in [(LinkSort::Clicks, other.id), (LinkSort::LastClickAt, link.id)] {
        let filter = crate::link::LinkFilter {
            workspace_id: owner.workspace_id,
            domain_id: None,
            states: Vec::new(),
            user_id: None,
            short_code: None,
            search: None,
            sort,
            is_descending: true,
            after: None,
            size: crate::page::PageSize::DEFAULT,
            now: at(0),
        };
        let page = stores.links.list(&filter).await.expect("the database answers");
        assert_eq!(page.items[0].id, first, "{sort:?}");
    }
}

/// A worker's batch is thousands of rows, and after an outage it spans months.
pub async fn a_large_batch_over_months_is_stored_whole(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let other = stores.link(&owner, "other").await;
    let rows: Vec<_> = (0..3_000_i64)
        .map(|n| {
            let link = if n % 3 == 0 { &other } else { &link };
            ClickRow { referer: "https://news.example/".repeat(20), ..click(link, at((n - 1_500) * 1_700)) }
        })
        .collect();
    assert_eq!(write(stores, &rows).await, outcome(3_000, 0));
    assert_eq!(counters(stores, &link).await.0, 2_000);
    assert_eq!(counters(stores, &other).await.0, 1_000);
    assert_eq!(stored(stores, &owner).await.clicks, 3_000);
    assert_eq!(write(stores, &rows).await, outcome(0, 3_000));
}

/// A click accepted before the deletion may arrive after it.
pub async fn clicks_of_deleted_links_are_counted(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let deleted = stores.links.delete(owner.workspace_id, link.id, None, &owner.context(at(1))).await;
    deleted.expect("the database answers");
    assert_eq!(write(stores, &[click(&link, at(0))]).await, outcome(1, 0));
    assert_eq!(counters(stores, &link).await, (1, Some(at(0))));
}

/// The reason is told, so that bisection can put aside the one row; its neighbors are not stored.
pub async fn an_unknown_link_is_named_and_nothing_stored(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let mut rows: Vec<_> = (0..5).map(|n| click(&link, at(n))).collect();
    rows[3].link_id = LinkId::from_uuid(fresh_uuid());
    assert_rejected(stores, &rows, DeadReason::UnknownLink).await;
    assert_rejected(stores, &rows[3..4], DeadReason::UnknownLink).await;
    assert_eq!(stored(stores, &owner).await.clicks, 0);
    assert_eq!(counters(stores, &link).await, (0, None));
    rows.remove(3);
    assert_eq!(write(stores, &rows).await, outcome(4, 0));
    // Also when the batch is a replay in part.
    rows.push(ClickRow { link_id: LinkId::from_uuid(fresh_uuid()), ..click(&link, at(9)) });
    assert_rejected(stores, &rows, DeadReason::UnknownLink).await;
    assert_eq!(counters(stores, &link).await, (4, Some(at(4))));
}

/// Where months must be prepared, a click of another month is refused; elsewhere it is stored.
pub async fn a_time_without_storage_is_out_of_range(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows = [click(&link, at(1)), click(&link, at(-20 * 365 * 86_400))];
    if stores.needs_partitions {
        assert_rejected(stores, &rows, DeadReason::OutOfRange).await;
        assert_rejected(stores, &rows[1..], DeadReason::OutOfRange).await;
        assert_eq!(stored(stores, &owner).await.clicks, 0);
        let years_ago = rows[1].timestamp;
        stores.clicks.ensure_partitions(years_ago, years_ago).await.expect("months can be prepared");
    }
    assert_eq!(write(stores, &rows).await, outcome(2, 0));
    assert_eq!(counters(stores, &link).await, (2, Some(at(1))));
}

/// The time is part of the primary key: one id with two times would be two clicks.
pub async fn a_time_that_is_not_the_ids_is_rejected(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let honest = click(&link, at(1));
    write(stores, std::slice::from_ref(&honest)).await;
    let shifted = ClickRow { timestamp: honest.timestamp.plus(Duration::from_millis(1)), ..honest };
    assert_rejected(stores, &[shifted], DeadReason::Rejected).await;
    let timeless = ClickId::from_uuid(uuid::Uuid::from_u128(0x1234_5678_1234_4234_8234_1234_5678_1234));
    assert_rejected(stores, &[ClickRow { id: timeless, ..click(&link, at(2)) }], DeadReason::Rejected).await;
    assert_eq!(stored(stores, &owner).await.clicks, 1);
}

/// Name, longest length in characters, and place of a text.
type Text = (&'static str, usize, fn(&mut ClickRow) -> &mut String);

/// Each text of a row.
const TEXTS: [Text; 19] = [
    ("domain", 253, |row| &mut row.domain),
    ("bot", 100, |row| &mut row.bot),
    ("user_agent", usize::MAX, |row| &mut row.user_agent),
    ("country_code", 2, |row| &mut row.country_code),
    ("region", 100, |row| &mut row.region),
    ("city", 100, |row| &mut row.city),
    ("device_type", 50, |row| &mut row.device_type),
    ("browser", 50, |row| &mut row.browser),
    ("os", 50, |row| &mut row.os),
    ("language", 16, |row| &mut row.language),
    ("referer", usize::MAX, |row| &mut row.referer),
    ("referer_host", 253, |row| &mut row.referer_host),
    ("ip_address", 45, |row| &mut row.ip_address),
    ("trigger", 8, |row| &mut row.trigger),
    ("utm_source", 100, |row| &mut row.utm_source),
    ("utm_medium", 100, |row| &mut row.utm_medium),
    ("utm_campaign", 100, |row| &mut row.utm_campaign),
    ("utm_term", 100, |row| &mut row.utm_term),
    ("utm_content", 100, |row| &mut row.utm_content),
];

/// The commonest poison of all is refused in every column on every adapter.
pub async fn nul_is_rejected(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    for (_, _, text) in TEXTS {
        let mut rows = [click(&link, at(1)), click(&link, at(2))];
        "a\0".clone_into(text(&mut rows[1]));
        assert_rejected(stores, &rows, DeadReason::Rejected).await;
    }
    assert_eq!(stored(stores, &owner).await.clicks, 0);
    assert_eq!(counters(stores, &link).await, (0, None));
}

/// More characters than the column has is refused, never cut: enrichment has cut already.
pub async fn over_long_texts_are_rejected(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    for (name, len_max, text) in TEXTS.into_iter().filter(|(_, len_max, _)| *len_max < usize::MAX) {
        let mut row = click(&link, at(1));
        *text(&mut row) = "x".repeat(len_max + 1);
        match stores.clicks.write(&[row]).await {
            Err(WriteError::Rejected { reason: DeadReason::Rejected, .. }) => {}
            other => panic!("{name}: expected a rejection, got {other:?}"),
        }
    }
    assert_eq!(stored(stores, &owner).await.clicks, 0);
}

/// Exactly as long as the column is fine, in any script.
pub async fn texts_of_full_length_are_stored(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let (mut row, mut in_other_script) = (click(&link, at(1)), click(&link, at(2)));
    for (_, len_max, text) in TEXTS {
        *text(&mut row) = "x".repeat(len_max.min(1_024));
        // Two bytes a letter.
        *text(&mut in_other_script) = "ü".repeat(len_max.min(1_024) / 2);
    }
    "DE".clone_into(&mut in_other_script.country_code);
    row.visitor_id = Some(i64::MIN);
    in_other_script.visitor_id = Some(i64::MAX);
    assert_eq!(write(stores, &[row, in_other_script]).await, outcome(2, 0));
    assert_eq!(stored(stores, &owner).await, ClickCount { clicks: 2, visitors: 2 });
}

/// Every worker prepares the months ahead, at the same time.
pub async fn preparing_months_twice_changes_nothing(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    write(stores, &[click(&link, at(1))]).await;
    let year = Duration::from_hours(366 * 24);
    let results =
        join_all((0..4).map(|_| stores.clicks.ensure_partitions(at(0).minus(year), at(0).plus(year)))).await;
    for result in results {
        result.expect("months can be prepared");
    }
    stores.prepare_months().await;
    assert_eq!(stored(stores, &owner).await.clicks, 1);
    assert_eq!(write(stores, &[click(&link, at(330 * 86_400))]).await, outcome(1, 0));
}

/// A reclaimed batch is written by two workers at once, in whatever order.
pub async fn writers_of_the_same_rows_store_them_once(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let other = stores.link(&owner, "other").await;
    let forward: Vec<_> = (0..200).map(|n| click(if n % 2 == 0 { &link } else { &other }, at(n))).collect();
    let backward: Vec<_> = forward.iter().rev().cloned().collect();
    let mut rotated = forward.clone();
    rotated.rotate_left(77);
    let outcomes =
        join_all([&forward, &backward, &rotated, &forward].map(|rows| stores.clicks.write(rows))).await;
    let (mut inserted, mut duplicates) = (0, 0);
    for outcome in outcomes {
        let outcome = outcome.expect("writers of the same rows do not fail");
        inserted += outcome.inserted;
        duplicates += outcome.duplicates;
    }
    assert_eq!((inserted, duplicates), (200, 600));
    assert_eq!(counters(stores, &link).await, (100, Some(at(198))));
    assert_eq!(counters(stores, &other).await, (100, Some(at(199))));
    assert_eq!(stored(stores, &owner).await.clicks, 200);
}

/// Workers with batches of their own share links in any order and neither lose counts nor block each other.
pub async fn writers_of_the_same_links_lose_no_count(stores: &Stores) {
    let (owner, _) = cast(stores).await;
    let mut links = Vec::new();
    for n in 0..5 {
        links.push(stores.link(&owner, &format!("c{n}")).await);
    }
    let batches: Vec<Vec<ClickRow>> = (0..4_i64)
        .map(|writer| {
            let mut rows: Vec<_> = links
                .iter()
                .flat_map(|link| (0..10).map(move |n| click(link, at(writer * 10 + n))))
                .collect();
            if writer % 2 == 1 {
                rows.reverse();
            }
            rows
        })
        .collect();
    for outcome_of_one in join_all(batches.iter().map(|rows| stores.clicks.write(rows))).await {
        assert_eq!(outcome_of_one.expect("writers of other rows do not fail"), outcome(50, 0));
    }
    for link in &links {
        assert_eq!(counters(stores, link).await, (40, Some(at(39))));
    }
}

/// Whoever comes first decides; the day is the UTC day.
pub async fn the_salt_of_a_day_is_the_same_for_everyone(stores: &Stores) {
    let day = 86_400;
    let salt = async |instant: Timestamp, candidate: u8| {
        let salt = stores.clicks.visitor_salt(instant, [candidate; 16], at(-day)).await;
        salt.expect("the database answers").expect("the day is not past")
    };
    let salts = join_all((1..=4).map(|candidate| salt(at(0), candidate))).await;
    assert!(salts.iter().all(|salt| *salt == salts[0]), "{salts:?}");
    assert!((1..=4).contains(&salts[0][0]));
    // 00:00:00 and 23:59:59.999999 of the same day; one microsecond later is another one.
    let last = Timestamp::from_micros(at(day / 2).as_micros() - 1).expect("in range");
    assert_eq!(salt(at(-day / 2), 9).await, salts[0]);
    assert_eq!(salt(last, 9).await, salts[0]);
    assert_eq!(salt(at(day / 2), 10).await, [10; 16]);
    assert_eq!(salt(at(-day / 2 - 1), 11).await, [11; 16]);
}

/// A day before that of `oldest` has no salt, whether it is still stored or not, and never gets one.
pub async fn salts_of_past_days_are_gone_for_good(stores: &Stores) {
    let day = 86_400;
    let salt = async |instant: Timestamp, oldest: Timestamp| {
        stores.clicks.visitor_salt(instant, [7; 16], oldest).await.expect("the database answers")
    };
    for days in 0..4 {
        assert_eq!(salt(at(days * day), at(0)).await, Some([7; 16]));
    }
    assert_eq!(salt(at(day), at(2 * day)).await, None);
    // The day that holds `oldest` counts from its midnight.
    assert_eq!(salt(at(2 * day - 3600), at(2 * day)).await, Some([7; 16]));
    assert_eq!(stores.clicks.delete_salts(at(2 * day)).await.expect("the database answers"), 2);
    assert_eq!(stores.clicks.delete_salts(at(2 * day)).await.expect("the database answers"), 0);
    assert_eq!(salt(at(day), at(2 * day)).await, None);
    let other = stores.clicks.visitor_salt(at(2 * day), [8; 16], at(2 * day)).await;
    assert_eq!(other.expect("the database answers"), Some([7; 16]));
    // Nothing was stored for the past day when it was asked for.
    assert_eq!(stores.clicks.delete_salts(at(2 * day)).await.expect("the database answers"), 0);
}
