//! Rules of [`PurgeStore`](crate::ports::PurgeStore): what somebody asked to have removed is gone from
//! everything that was counted of it.
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use std::time::Duration;

use super::stores::{Owner, Stores, at, click, fresh_uuid};
use crate::analytics::ClickScope;
use crate::click::{ClickClass, ClickRow};
use crate::day::Day;
use crate::ids::{ClickId, PurgeId};
use crate::link::Link;
use crate::purge::{ClickSelector, NewPurge, Purge, PurgeState, REMEMBERED};
use crate::retention::{Detached, Keep, Retention};
use crate::timestamp::Timestamp;

/// Generates one test per rule; `$fixture` is a future of a value with a field `stores`.
#[macro_export]
macro_rules! purge_store_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            purges,
            [
                a_purge_is_remembered_and_audited,
                rows_go_with_everything_that_was_counted_of_them,
                only_the_named_network_goes,
                rows_go_in_batches,
                a_click_is_noted_once_however_often_it_comes,
                a_link_whose_clicks_all_went_begins_anew,
                a_purge_advances_only_from_the_state_that_was_seen,
                a_forgotten_purge_leaves_nothing,
            ]
        );
    };
}

const DAY: i64 = 86_400;

async fn cast(stores: &Stores) -> (Owner, Link) {
    let owner = stores.owner("ada").await;
    stores.prepare_months().await;
    let link = stores.link(&owner, "launch").await;
    (owner, link)
}

async fn purge(stores: &Stores, owner: &Owner, selector: ClickSelector) -> Purge {
    let new =
        NewPurge { id: PurgeId::from_uuid(fresh_uuid()), selector, forget_at: at(2 * DAY).plus(REMEMBERED) };
    stores.purges.insert(&new, &owner.context(at(2 * DAY))).await.expect("the purge is stored")
}

fn window(link: Option<&Link>, from: i64, to: i64, address: Option<&str>) -> ClickSelector {
    let address = address.map(|address| address.parse().expect("an address"));
    ClickSelector::new(link.map(|link| link.id), Some(at(from)), Some(at(to)), address).expect("valid")
}

async fn remove(stores: &Stores, purge: &Purge) -> u64 {
    let (from, to) = (Timestamp::EPOCH, at(100 * DAY));
    stores.purges.remove_rows(purge, from, to, 1_000).await.expect("the database answers")
}

async fn recount(stores: &Stores) {
    for (workspace_id, day) in stores.rollups.due(100).await.expect("the database answers") {
        stores.rollups.recount(workspace_id, day, true).await.expect("the database answers");
    }
}

/// What rows and what rollups say, which must be the same.
async fn total(stores: &Stores, owner: &Owner, link: Option<&Link>) -> i64 {
    let scope = ClickScope {
        workspace_id: owner.workspace_id,
        link_id: link.map(|link| link.id),
        start: at(-70 * DAY),
        end: at(70 * DAY),
        classes: vec![ClickClass::Counted],
        filters: Vec::new(),
    };
    let rows = stores.analytics.totals(&scope).await.expect("the database answers");
    let sums = stores.rolled_up.totals(&scope).await.expect("the database answers");
    assert_eq!(rows, sums);
    rows.clicks
}

async fn removed(stores: &Stores) -> Vec<(Day, u64)> {
    let day = |days: i64| Day::of(at(days * DAY));
    let tally = stores.ledger.tally(day(-60), day(60), at(70 * DAY)).await.expect("a tally");
    tally
        .into_iter()
        .filter(|(_, tally)| tally.removed > 0)
        .map(|(day, tally)| (day, tally.removed))
        .collect()
}

/// Of an address only its network, which is all that is stored of clicks too.
pub async fn a_purge_is_remembered_and_audited(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let selector = window(Some(&link), 0, 10, Some("192.0.2.77"));
    let made = purge(stores, &owner, selector).await;
    assert_eq!(made.state, PurgeState::Waiting);
    assert_eq!(stores.purges.find(made.id).await.expect("answers"), Some(made));
    assert_eq!(stores.purges.list(10).await.expect("answers"), [made]);
    let of_instance = purge(stores, &owner, window(None, 0, 10, Some("2001:db8:1:2::3"))).await;
    assert_eq!(stores.purges.list(10).await.expect("answers").len(), 2);
    assert_eq!(stores.purges.find(of_instance.id).await.expect("answers"), Some(of_instance));
    let audit = stores.audit_of(&owner, &made.id.to_string()).await;
    let [entry] = audit.as_slice() else { panic!("{audit:?}") };
    assert_eq!((entry.action.as_str(), &entry.after["network"]), ("clicks.purge", &"192.0.2.0".into()));
    assert_eq!(stores.audit_of(&owner, &of_instance.id.to_string()).await, [], "in the log of the instance");
}

/// Counter, newest click, sums and the account of clicks.
pub async fn rows_go_with_everything_that_was_counted_of_them(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let other = stores.link(&owner, "other").await;
    let bot = ClickRow { class: ClickClass::Bot, ..click(&link, at(5)) };
    let rows = [
        click(&link, at(1)),
        click(&link, at(5)),
        bot,
        click(&link, at(9)),
        click(&link, at(DAY)),
        click(&other, at(5)),
    ];
    stores.clicks.write(&rows).await.expect("stored");
    let of_link = purge(stores, &owner, window(Some(&link), 5, DAY + 1, None)).await;
    assert_eq!(remove(stores, &of_link).await, 4);
    recount(stores).await;
    assert_eq!(total(stores, &owner, Some(&link)).await, 1);
    assert_eq!(total(stores, &owner, None).await, 2);
    let left = stores.reload(&link).await;
    assert_eq!((left.clicks, left.last_click_at), (1, Some(at(1))));
    assert_eq!(removed(stores).await, [(Day::of(at(0)), 3), (Day::of(at(DAY)), 1)]);
    // Of all links.
    let of_all = purge(stores, &owner, window(None, 0, 10, None)).await;
    assert_eq!(remove(stores, &of_all).await, 2);
    recount(stores).await;
    assert_eq!(total(stores, &owner, None).await, 0);
    let left = stores.reload(&link).await;
    assert_eq!((left.clicks, left.last_click_at), (0, None));
    assert_eq!(stores.purges.find(of_all.id).await.expect("answers").map(|purge| purge.clicks), Some(2));
}

/// In the time that is named.
pub async fn only_the_named_network_goes(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let from =
        |seconds, network: &str| ClickRow { ip_address: network.to_owned(), ..click(&link, at(seconds)) };
    let rows = [
        from(1, "192.0.2.0"),
        from(2, "192.0.3.0"),
        from(3, "2001:db8:1::"),
        from(4, ""),
        from(50, "192.0.2.0"),
    ];
    stores.clicks.write(&rows).await.expect("stored");
    for (address, left) in [("192.0.2.200", 4), ("2001:db8:1:9::9", 3), ("198.51.100.1", 3)] {
        let of_network = purge(stores, &owner, window(None, 0, 10, Some(address))).await;
        remove(stores, &of_network).await;
        recount(stores).await;
        assert_eq!(total(stores, &owner, None).await, left, "{address}");
    }
}

/// Each call is one short transaction, within the span it is given.
pub async fn rows_go_in_batches(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows: Vec<_> = (0..50).map(|n| click(&link, at(n))).collect();
    stores.clicks.write(&rows).await.expect("stored");
    let of_link = purge(stores, &owner, ClickSelector::of_link(link.id, at(45))).await;
    let remove = async |from, to, max| {
        stores.purges.remove_rows(&of_link, at(from), at(to), max).await.expect("the database answers")
    };
    assert_eq!(remove(0, 10, 100).await, 10);
    assert_eq!(remove(0, 100, 20).await, 20);
    assert_eq!(remove(0, 100, 20).await, 15);
    assert_eq!(remove(0, 100, 20).await, 0);
    recount(stores).await;
    assert_eq!(total(stores, &owner, None).await, 5);
}

/// In the stream, among the dead letters, from a spool, as a row.
pub async fn a_click_is_noted_once_however_often_it_comes(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows: Vec<_> = (0..4).map(|n| click(&link, at(n))).collect();
    stores.clicks.write(&rows[..3]).await.expect("stored");
    let ids: Vec<ClickId> = rows.iter().map(|row| row.id).collect();
    let first = purge(stores, &owner, ClickSelector::of_link(link.id, at(10))).await;
    let second = purge(stores, &owner, window(None, 0, 10, None)).await;
    let noted = async |purge: &Purge, clicks: &[ClickId]| {
        stores.purges.remove_clicks(purge, clicks).await.expect("the database answers")
    };
    assert_eq!(noted(&first, &ids[2..]).await, 2, "one that is stored, one that is not");
    assert_eq!(noted(&first, &ids[2..]).await, 0);
    assert_eq!(noted(&second, &ids[1..]).await, 1, "the others were noted by the first");
    assert_eq!(remove(stores, &first).await, 1);
    assert_eq!(noted(&first, &[]).await, 0);
    recount(stores).await;
    assert_eq!(total(stores, &owner, None).await, 0);
    assert_eq!(removed(stores).await, [(Day::of(at(0)), 4)]);
    // One that comes again, as after a worker's death, and is stored before the purge is known there.
    stores.clicks.write(&rows[..1]).await.expect("stored");
    assert_eq!(remove(stores, &first).await, 1);
    assert_eq!(removed(stores).await, [(Day::of(at(0)), 4)]);
    let clicks = async |id| stores.purges.find(id).await.expect("answers").map(|purge| purge.clicks);
    assert_eq!((clicks(first.id).await, clicks(second.id).await), (Some(3), Some(1)));
}

/// Also of days whose clicks went by age, and whatever comes after it counts.
pub async fn a_link_whose_clicks_all_went_begins_anew(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows = [click(&link, at(-20 * DAY)), click(&link, at(0)), click(&link, at(100))];
    stores.clicks.write(&rows).await.expect("stored");
    let retention = Retention { free: Keep::For(Duration::from_hours(8 * 24)), ..Retention::default() };
    stores.retention.raise_horizons(&retention.cut(at(0))).await.expect("raised");
    stores.retention.remove_months(&retention.cut(at(0)), Detached::Drop).await.expect("removed");
    assert_eq!(stores.retention.remove_clicks(10).await.expect("removed"), 1);
    let whole = purge(stores, &owner, ClickSelector::of_link(link.id, at(50))).await;
    assert_eq!(remove(stores, &whole).await, 1);
    recount(stores).await;
    stores.purges.advance(&whole, at(60)).await.expect("advanced");
    let left = stores.reload(&link).await;
    assert_eq!((left.clicks, left.last_click_at), (1, Some(at(100))));
    let scope = ClickScope {
        workspace_id: owner.workspace_id,
        link_id: Some(link.id),
        start: at(-70 * DAY),
        end: at(70 * DAY),
        classes: vec![ClickClass::Counted],
        filters: Vec::new(),
    };
    assert_eq!(stores.rolled_up.totals(&scope).await.expect("answers").clicks, 1);
}

/// Two workers that carry it out at once move it one step.
pub async fn a_purge_advances_only_from_the_state_that_was_seen(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let waiting = purge(stores, &owner, ClickSelector::of_link(link.id, at(10))).await;
    let now = async || stores.purges.find(waiting.id).await.expect("answers").expect("it is remembered");
    for seconds in [20, 21] {
        stores.purges.advance(&waiting, at(seconds)).await.expect("answers");
        assert_eq!((now().await.state, now().await.done_at), (PurgeState::Removed, Some(at(20))));
    }
    stores.purges.advance(&now().await, at(30)).await.expect("answers");
    assert_eq!(now().await.state, PurgeState::Settled);
}

/// Neither of itself nor of the clicks it removed.
pub async fn a_forgotten_purge_leaves_nothing(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let row = click(&link, at(1));
    let first = purge(stores, &owner, ClickSelector::of_link(link.id, at(10))).await;
    stores.purges.remove_clicks(&first, &[row.id]).await.expect("answers");
    stores.purges.forget(first.id).await.expect("answers");
    assert_eq!(stores.purges.find(first.id).await.expect("answers"), None);
    let second = purge(stores, &owner, ClickSelector::of_link(link.id, at(10))).await;
    assert_eq!(stores.purges.remove_clicks(&second, &[row.id]).await.expect("answers"), 1);
}
