//! Rules of [`EventStore`](crate::ports::EventStore): order, pages, what is shown.
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use super::stores::{Owner, Stores, at, click};
use crate::analytics::{ClickScope, Dimension, DimensionFilter};
use crate::click::{ClickClass, ClickRow};
use crate::event::{ClickEvent, EVENTS_MAX, EventOrder};
use crate::ids::{ClickId, DomainId};
use crate::link::{Link, NewLink};

/// Generates one test per rule; `$fixture` is a future of a value with a field `stores`.
#[macro_export]
macro_rules! event_store_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            events,
            [
                no_clicks_are_an_empty_list,
                clicks_run_in_the_order_of_their_ids,
                what_comes_between_two_pages_moves_nothing,
                a_page_goes_on_behind_a_click_that_is_not_there,
                a_list_is_bounded,
                a_scope_chooses_clicks,
                an_event_shows_what_is_known,
                unknown_is_empty,
                other_workspaces_clicks_are_never_listed,
                recent_ids_run_from_the_newest_back,
                clicks_are_found_by_their_ids,
            ]
        );
    };
}

fn scope(owner: &Owner) -> ClickScope {
    ClickScope {
        workspace_id: owner.workspace_id,
        link_id: None,
        start: at(-10 * 86_400),
        end: at(10 * 86_400),
        classes: ClickClass::ALL.to_vec(),
        filters: Vec::new(),
    }
}

async fn cast(stores: &Stores) -> (Owner, Link) {
    let owner = stores.owner("ada").await;
    stores.prepare_months().await;
    let link = stores.link(&owner, "launch").await;
    (owner, link)
}

async fn write(stores: &Stores, rows: &[ClickRow]) -> Vec<ClickId> {
    stores.clicks.write(rows).await.expect("clicks are written");
    rows.iter().map(|row| row.id).collect()
}

async fn list(
    stores: &Stores,
    scope: &ClickScope,
    order: EventOrder,
    after: Option<ClickId>,
    max: u16,
) -> Vec<ClickEvent> {
    stores.events.events(scope, order, after, max).await.expect("the database answers")
}

fn ids(events: &[ClickEvent]) -> Vec<ClickId> {
    events.iter().map(|event| event.id).collect()
}

/// Nothing, whichever way it is asked for.
pub async fn no_clicks_are_an_empty_list(stores: &Stores) {
    let owner = stores.owner("ada").await;
    for order in [EventOrder::NewestFirst, EventOrder::OldestFirst] {
        assert_eq!(list(stores, &scope(&owner), order, None, 10).await, []);
    }
    assert_eq!(stores.events.recent(owner.workspace_id, at(0), 10).await.expect("an answer"), []);
    assert_eq!(stores.events.find(owner.workspace_id, &[]).await.expect("an answer"), []);
}

/// Also those of one millisecond, and across months.
pub async fn clicks_run_in_the_order_of_their_ids(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows = [3, 1, 1, 2, -86_400 * 9, 1, 0].map(|second| click(&link, at(second)));
    let mut sorted = write(stores, &rows).await;
    sorted.sort();
    let found = list(stores, &scope(&owner), EventOrder::OldestFirst, None, 100).await;
    assert_eq!(ids(&found), sorted);
    sorted.reverse();
    let mut paged = Vec::new();
    loop {
        let page = list(stores, &scope(&owner), EventOrder::NewestFirst, paged.last().copied(), 2).await;
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        paged.extend(ids(&page));
    }
    assert_eq!(paged, sorted);
}

/// Nothing is listed twice, and nothing that was there is left out.
pub async fn what_comes_between_two_pages_moves_nothing(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows: Vec<ClickRow> = (0..6).map(|second| click(&link, at(second))).collect();
    let before = write(stores, &rows).await;
    for (order, expected) in [
        (EventOrder::NewestFirst, before.iter().rev().copied().collect::<Vec<_>>()),
        (EventOrder::OldestFirst, before.clone()),
    ] {
        let first = ids(&list(stores, &scope(&owner), order, None, 3).await);
        // Before, between and behind what the page showed.
        let late = [-1, 1, 4, 7].map(|second| click(&link, at(second)));
        let late = write(stores, &late).await;
        let second = ids(&list(stores, &scope(&owner), order, first.last().copied(), 100).await);
        let all: Vec<ClickId> = [first, second]
            .concat()
            .into_iter()
            .filter(|id| before.contains(id) && !late.contains(id))
            .collect();
        assert_eq!(all, expected);
    }
}

/// The last click of a page may have been removed since.
pub async fn a_page_goes_on_behind_a_click_that_is_not_there(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let written = write(stores, &[click(&link, at(1)), click(&link, at(3))]).await;
    let gone = Some(click(&link, at(2)).id);
    let newer = list(stores, &scope(&owner), EventOrder::OldestFirst, gone, 10).await;
    assert_eq!(ids(&newer), written[1..]);
    let older = list(stores, &scope(&owner), EventOrder::NewestFirst, gone, 10).await;
    assert_eq!(ids(&older), written[..1]);
}

/// By the caller's number and by [`EVENTS_MAX`].
pub async fn a_list_is_bounded(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows: Vec<ClickRow> = (0..i64::from(EVENTS_MAX) + 5).map(|second| click(&link, at(second))).collect();
    let written = write(stores, &rows).await;
    for (max, expected) in [(0, 0), (7, 7), (EVENTS_MAX, 1000), (u16::MAX, 1000)] {
        let found = list(stores, &scope(&owner), EventOrder::OldestFirst, None, max).await;
        assert_eq!(found.len(), expected);
    }
    let found = stores.events.find(owner.workspace_id, &written).await.expect("an answer");
    assert_eq!(found.len(), usize::from(EVENTS_MAX));
}

/// Span, link, classes and filters, as for statistics.
pub async fn a_scope_chooses_clicks(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let other = stores.link(&owner, "other").await;
    let rows = [
        ClickRow { country_code: "DE".to_owned(), ..click(&link, at(1)) },
        ClickRow { class: ClickClass::Bot, country_code: "FR".to_owned(), ..click(&link, at(2)) },
        click(&other, at(3)),
    ];
    let [german, robot, elsewhere] = write(stores, &rows).await[..] else { panic!("three clicks") };
    let scope = || scope(&owner);
    let filter = |country: &str, is_negated| DimensionFilter {
        dimension: Dimension::Country,
        values: vec![country.to_owned()],
        is_negated,
    };
    for (scope, expected) in [
        (scope(), vec![german, robot, elsewhere]),
        (ClickScope { start: at(2), end: at(3), ..scope() }, vec![robot]),
        (ClickScope { link_id: Some(other.id), ..scope() }, vec![elsewhere]),
        (ClickScope { classes: vec![ClickClass::Counted], ..scope() }, vec![german, elsewhere]),
        (ClickScope { classes: Vec::new(), ..scope() }, vec![]),
        (ClickScope { filters: vec![filter("DE", false)], ..scope() }, vec![german]),
        (ClickScope { filters: vec![filter("DE", true)], ..scope() }, vec![robot, elsewhere]),
        (ClickScope { filters: vec![filter("", false)], ..scope() }, vec![elsewhere]),
    ] {
        let found = list(stores, &scope, EventOrder::OldestFirst, None, 10).await;
        assert_eq!(ids(&found), expected, "{scope:?}");
        let found = list(stores, &scope, EventOrder::NewestFirst, None, 10).await;
        assert_eq!(ids(&found).into_iter().rev().collect::<Vec<_>>(), expected, "{scope:?}");
    }
}

/// Every column, each under its own name, and the link's address.
pub async fn an_event_shows_what_is_known(stores: &Stores) {
    let (owner, _) = cast(stores).await;
    let domain = stores.domain(&owner, "go.example.com").await;
    let new = NewLink { domain_id: domain.id, ..owner.new_link("here") };
    let link = stores.link_at(new, &owner, at(0)).await;
    let text = |text: &str| text.to_owned();
    let row = ClickRow {
        class: ClickClass::Bot,
        bot: text("a rule"),
        country_code: text("DE"),
        region: text("a region"),
        city: text("a city"),
        device_type: text("tablet"),
        browser: text("a browser"),
        os: text("a system"),
        language: text("pt-BR"),
        referer: text("https://www.example.org/path"),
        referer_host: text("example.org"),
        ip_address: text("192.0.2.0"),
        trigger: text("qr"),
        utm_source: text("a source"),
        utm_medium: text("a medium"),
        utm_campaign: text("a campaign"),
        utm_term: text("a term"),
        utm_content: text("a content"),
        visitor_id: Some(42),
        ..click(&link, at(1))
    };
    write(stores, std::slice::from_ref(&row)).await;
    let expected = ClickEvent {
        id: row.id,
        timestamp: row.timestamp,
        link_id: link.id,
        short_code: text("here"),
        domain: Some(domain.host),
        class: row.class,
        bot: row.bot,
        user_agent: row.user_agent,
        country: row.country_code,
        region: row.region,
        city: row.city,
        device: row.device_type,
        browser: row.browser,
        os: row.os,
        language: row.language,
        referrer: row.referer_host,
        referrer_url: row.referer,
        ip_address: row.ip_address,
        trigger: row.trigger,
        utm_source: row.utm_source,
        utm_medium: row.utm_medium,
        utm_campaign: row.utm_campaign,
        utm_term: row.utm_term,
        utm_content: row.utm_content,
    };
    let listed = list(stores, &scope(&owner), EventOrder::NewestFirst, None, 10).await;
    assert_eq!(listed, std::slice::from_ref(&expected));
    assert_eq!(stores.events.find(owner.workspace_id, &[row.id]).await.expect("an answer"), [expected]);
}

/// And the default domain is no domain.
pub async fn unknown_is_empty(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    assert_eq!(owner.new_link("x").domain_id, DomainId::DEFAULT);
    write(stores, &[click(&link, at(1))]).await;
    let listed = list(stores, &scope(&owner), EventOrder::NewestFirst, None, 10).await;
    let [event] = &listed[..] else { panic!("one click: {listed:?}") };
    assert_eq!(event.domain, None);
    assert_eq!((event.country.as_str(), event.referrer.as_str(), event.bot.as_str()), ("", "", ""));
}

/// Not even by naming the link or the click.
pub async fn other_workspaces_clicks_are_never_listed(stores: &Stores) {
    let (_, link) = cast(stores).await;
    let eve = stores.owner("eve").await;
    let written = write(stores, &[click(&link, at(1))]).await;
    for link_id in [None, Some(link.id)] {
        let scope = ClickScope { link_id, ..scope(&eve) };
        for order in [EventOrder::NewestFirst, EventOrder::OldestFirst] {
            assert_eq!(list(stores, &scope, order, None, 10).await, []);
        }
    }
    assert_eq!(stores.events.recent(eve.workspace_id, at(0), 10).await.expect("an answer"), []);
    assert_eq!(stores.events.find(eve.workspace_id, &written).await.expect("an answer"), []);
}

/// From an instant on, of every class, and the newest if there are too many.
pub async fn recent_ids_run_from_the_newest_back(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let mut rows: Vec<ClickRow> = (0..4).map(|second| click(&link, at(second))).collect();
    rows[2].class = ClickClass::Bot;
    let mut written = write(stores, &rows).await;
    written.reverse();
    let recent = async |from, max| {
        stores.events.recent(owner.workspace_id, at(from), max).await.expect("the database answers")
    };
    assert_eq!(recent(-5, 100).await, written);
    assert_eq!(recent(1, 100).await, written[..3]);
    assert_eq!(recent(-5, 2).await, written[..2]);
    assert_eq!(recent(4, 100).await, []);
}

/// Each once, sorted, and only those that are there.
pub async fn clicks_are_found_by_their_ids(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows = [2, -86_400 * 9, 1].map(|second| click(&link, at(second)));
    let written = write(stores, &rows).await;
    let [second, oldest, first] = written[..] else { panic!("three clicks") };
    let missing = click(&link, at(1)).id;
    let asked = [second, missing, oldest, second];
    let found = stores.events.find(owner.workspace_id, &asked).await.expect("the database answers");
    assert_eq!(ids(&found), [oldest, second]);
    let found = stores.events.find(owner.workspace_id, &[first]).await.expect("the database answers");
    assert_eq!((found[0].timestamp, found[0].short_code.as_str()), (at(1), "launch"));
}
