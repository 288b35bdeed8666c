//! Rules of [`AmendmentStore`](crate::ports::AmendmentStore): stored clicks change, and with them everything
//! that was counted of them.
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use super::stores::{Owner, Stores, at, click, fresh_uuid, join_all};
use crate::amendment::{
    AMENDMENT_BATCH_MAX, Amendment, AmendmentKind, AmendmentScope, Changes, ClassChange, PlaceChange,
    StoredClick,
};
use crate::analytics::{ClickScope, Dimension};
use crate::click::{ClickClass, ClickRow};
use crate::day::Day;
use crate::ids::{ClickId, RunId};
use crate::link::Link;
use crate::timestamp::Timestamp;

/// Generates one test per rule; `$fixture` is a future of a value with a field `stores`.
#[macro_export]
macro_rules! amendment_store_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            amendments,
            [
                clicks_of_a_day_come_in_the_order_of_their_ids,
                clicks_come_with_what_is_known_of_them,
                a_new_robot_counts_no_more,
                a_former_robot_counts_from_now_on,
                the_newest_click_is_the_newest_of_those_that_count,
                a_link_whose_clicks_were_all_robots_has_none,
                classes_that_never_counted_change_no_counter,
                places_change_in_charts_too,
                what_is_not_as_expected_is_left_alone,
                a_large_batch_over_days_is_changed_whole,
                a_run_goes_on_where_it_ended,
                another_run_begins_anew,
                a_replaced_run_changes_nothing,
                a_finished_run_is_forgotten,
                changes_beside_writers_and_recounts_add_up,
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

fn fresh_run() -> RunId {
    RunId::from_uuid(fresh_uuid())
}

fn run(kind: AmendmentKind, basis: &str) -> Amendment {
    let scope = AmendmentScope { workspace_id: None, since: Day::of(at(-5 * DAY)), until: None };
    Amendment { kind, run_id: fresh_run(), basis: basis.to_owned(), scope }
}

async fn begin(stores: &Stores, run: &Amendment) -> Option<ClickId> {
    stores.amendments.begin(run, false).await.expect("a run begins")
}

async fn begun(stores: &Stores, kind: AmendmentKind) -> Amendment {
    let run = run(kind, "list 2");
    begin(stores, &run).await;
    run
}

async fn write(stores: &Stores, rows: &[ClickRow]) {
    stores.clicks.write(rows).await.expect("clicks are stored");
}

fn to_class(row: &ClickRow, class: ClickClass) -> ClassChange {
    let bot = if class == ClickClass::Bot { "Foo" } else { "" };
    ClassChange { id: row.id, before: row.class, class, bot: bot.to_owned() }
}

/// Changes classes, then counts all days again that are due.
async fn reclassify(stores: &Stores, changes: Vec<ClassChange>) -> u64 {
    let run = begun(stores, AmendmentKind::Reclassify).await;
    let last = changes.iter().map(|change| change.id).max().expect("there are changes");
    let count = stores.amendments.amend(&run, &Changes::Classes(changes), last).await;
    let count = count.expect("clicks change").expect("the run is the current one");
    recount(stores).await;
    count
}

async fn recount(stores: &Stores) {
    for (workspace_id, day) in stores.rollups.due(100).await.expect("the database answers") {
        stores.rollups.recount(workspace_id, day, true).await.expect("the day is counted again");
    }
}

async fn counters(stores: &Stores, link: &Link) -> (i64, Option<Timestamp>) {
    let link = stores.reload(link).await;
    (link.clicks, link.last_click_at)
}

fn scope(owner: &Owner, classes: &[ClickClass]) -> ClickScope {
    ClickScope {
        workspace_id: owner.workspace_id,
        link_id: None,
        start: at(-20 * DAY),
        end: at(20 * DAY),
        classes: classes.to_vec(),
        filters: Vec::new(),
    }
}

/// Clicks of a class, which rows and rollups agree on.
async fn charted(stores: &Stores, owner: &Owner, class: ClickClass) -> i64 {
    let scope = scope(owner, &[class]);
    let totals = stores.rolled_up.totals(&scope).await.expect("the database answers");
    assert_eq!(stores.analytics.totals(&scope).await.expect("the database answers"), totals, "{class:?}");
    totals.clicks
}

async fn clicks(stores: &Stores, day: Day, after: Option<ClickId>, max: u16) -> Vec<StoredClick> {
    stores.amendments.clicks(None, day, after, max).await.expect("the database answers")
}

/// Days are those of UTC, batches go on behind the last click, and a workspace's are its own.
pub async fn clicks_of_a_day_come_in_the_order_of_their_ids(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let stranger = stores.owner("bob").await;
    let theirs = stores.link(&stranger, "theirs").await;
    let noon = DAY / 2;
    let mut rows: Vec<ClickRow> = [noon - 1, 5, -noon, 7, 6, 5, 5]
        .map(|second| click(&link, at(second)))
        .into_iter()
        .chain([click(&link, at(noon)), click(&link, at(-noon - 1)), click(&theirs, at(6))])
        .collect();
    write(stores, &rows).await;
    let today = Day::of(at(0));
    rows.retain(|row| Day::of(row.timestamp) == today);
    rows.sort_by_key(|row| row.id);
    let mut ids: Vec<ClickId> = rows.iter().map(|row| row.id).collect();

    let found = clicks(stores, today, None, 100).await;
    assert_eq!(found.iter().map(|click| click.id).collect::<Vec<_>>(), ids);
    let (mut after, mut paged) = (None, Vec::new());
    while let Some(last) = clicks(stores, today, after, 3).await.last() {
        paged.extend(clicks(stores, today, after, 3).await.into_iter().map(|click| click.id));
        after = Some(last.id);
    }
    assert_eq!(paged, ids);

    ids.retain(|id| rows.iter().any(|row| row.id == *id && row.workspace_id == owner.workspace_id));
    let (mut after, mut paged) = (None, Vec::new());
    loop {
        let some = stores.amendments.clicks(Some(owner.workspace_id), today, after, 2).await;
        let some = some.expect("the database answers");
        let Some(last) = some.last() else { break };
        after = Some(last.id);
        paged.extend(some.iter().map(|click| click.id));
    }
    assert_eq!(paged, ids);
    let before = ClickId::from_parts(at(-9 * DAY), [0; 10]);
    assert_eq!(clicks(stores, today, Some(before), 1).await[0].id, found[0].id);
    assert_eq!(clicks(stores, Day::of(at(5 * DAY)), None, 9).await, []);
}

/// Unknown is the empty text.
pub async fn clicks_come_with_what_is_known_of_them(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let full = ClickRow {
        class: ClickClass::Bot,
        bot: "Foo".to_owned(),
        user_agent: "Foo/1.0 (日本)".to_owned(),
        ip_address: "192.0.2.0".to_owned(),
        country_code: "DE".to_owned(),
        region: "Land Berlin".to_owned(),
        city: "Berlin".to_owned(),
        ..click(&link, at(1))
    };
    let bare = ClickRow { class: ClickClass::Excluded, ..click(&link, at(2)) };
    write(stores, &[full.clone(), bare.clone()]).await;
    let expected = [full, bare].map(|row| StoredClick {
        id: row.id,
        workspace_id: owner.workspace_id,
        class: row.class,
        bot: row.bot,
        user_agent: row.user_agent,
        ip_address: row.ip_address,
        country_code: row.country_code,
        region: row.region,
        city: row.city,
    });
    assert_eq!(clicks(stores, Day::of(at(0)), None, 9).await, expected);
}

/// Neither on its link nor in charts; what sees it is stored.
pub async fn a_new_robot_counts_no_more(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let other = stores.link(&owner, "other").await;
    let rows: Vec<_> = (0..6).map(|n| click(if n < 4 { &link } else { &other }, at(n))).collect();
    write(stores, &rows).await;
    let changes = [0, 1, 4].map(|n| to_class(&rows[n], ClickClass::Bot)).to_vec();
    assert_eq!(reclassify(stores, changes).await, 3);
    assert_eq!(counters(stores, &link).await, (2, Some(at(3))));
    assert_eq!(counters(stores, &other).await, (1, Some(at(5))));
    assert_eq!(charted(stores, &owner, ClickClass::Counted).await, 3);
    assert_eq!(charted(stores, &owner, ClickClass::Bot).await, 3);
    let found = clicks(stores, Day::of(at(0)), None, 9).await;
    assert_eq!((found[0].class, &*found[0].bot), (ClickClass::Bot, "Foo"));
    // A change of what is counted is no change of the link.
    let reloaded = stores.reload(&link).await;
    assert_eq!((reloaded.version, reloaded.revision), (link.version, link.revision));
}

/// Also on a link that had no click that counts.
pub async fn a_former_robot_counts_from_now_on(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let robot = |seconds: i64| ClickRow {
        class: ClickClass::Bot,
        bot: "Foo".to_owned(),
        ..click(&link, at(seconds))
    };
    let rows = [robot(3), robot(9), robot(5)];
    write(stores, &rows).await;
    assert_eq!(counters(stores, &link).await, (0, None));
    let changes = [0, 2].map(|n| to_class(&rows[n], ClickClass::Counted)).to_vec();
    assert_eq!(reclassify(stores, changes).await, 2);
    assert_eq!(counters(stores, &link).await, (2, Some(at(5))));
    assert_eq!(charted(stores, &owner, ClickClass::Counted).await, 2);
    let found = clicks(stores, Day::of(at(0)), None, 9).await;
    assert_eq!((found[0].class, &*found[0].bot), (ClickClass::Counted, ""));
}

/// Whether the newest one left, another came, or both.
pub async fn the_newest_click_is_the_newest_of_those_that_count(stores: &Stores) {
    let (_, link) = cast(stores).await;
    let mut rows: Vec<_> = (0..5).map(|n| click(&link, at(n))).collect();
    rows[3].class = ClickClass::Repeat;
    rows.push(ClickRow { class: ClickClass::Bot, ..click(&link, at(40 * DAY / 24)) });
    write(stores, &rows).await;
    assert_eq!(counters(stores, &link).await, (4, Some(at(4))));
    reclassify(stores, vec![to_class(&rows[4], ClickClass::Bot)]).await;
    assert_eq!(counters(stores, &link).await, (3, Some(at(2))));
    rows[4].class = ClickClass::Bot;
    let swap = vec![to_class(&rows[2], ClickClass::Bot), to_class(&rows[4], ClickClass::Counted)];
    reclassify(stores, swap).await;
    assert_eq!(counters(stores, &link).await, (3, Some(at(4))));
    reclassify(stores, vec![to_class(&rows[5], ClickClass::Counted)]).await;
    assert_eq!(counters(stores, &link).await, (4, Some(rows[5].timestamp)));
}

/// As a link that was never visited.
pub async fn a_link_whose_clicks_were_all_robots_has_none(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows = [click(&link, at(1)), click(&link, at(2))];
    write(stores, &rows).await;
    reclassify(stores, rows.iter().map(|row| to_class(row, ClickClass::Bot)).collect()).await;
    assert_eq!(counters(stores, &link).await, (0, None));
    assert_eq!(charted(stores, &owner, ClickClass::Counted).await, 0);
    write(stores, &[click(&link, at(1))]).await;
    assert_eq!(counters(stores, &link).await, (1, Some(at(1))));
}

/// A repeat that turns out to be a robot was not counted before either.
pub async fn classes_that_never_counted_change_no_counter(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows = [click(&link, at(1)), ClickRow { class: ClickClass::Repeat, ..click(&link, at(2)) }];
    write(stores, &rows).await;
    let renamed = ClickRow { class: ClickClass::Bot, bot: "Bar".to_owned(), ..click(&link, at(3)) };
    write(stores, std::slice::from_ref(&renamed)).await;
    let changes = vec![to_class(&rows[1], ClickClass::Bot), to_class(&renamed, ClickClass::Bot)];
    assert_eq!(reclassify(stores, changes).await, 2);
    assert_eq!(counters(stores, &link).await, (1, Some(at(1))));
    assert_eq!(charted(stores, &owner, ClickClass::Repeat).await, 0);
    assert_eq!(charted(stores, &owner, ClickClass::Bot).await, 2);
}

/// And what is unknown now is unknown.
pub async fn places_change_in_charts_too(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows: Vec<_> =
        (0..3).map(|n| ClickRow { country_code: "DE".to_owned(), ..click(&link, at(n)) }).collect();
    write(stores, &rows).await;
    let place = |row: &ClickRow, country: &str, region: &str, city: &str| PlaceChange {
        id: row.id,
        country_code: country.to_owned(),
        region: region.to_owned(),
        city: city.to_owned(),
    };
    let changes = vec![place(&rows[0], "AT", "Wien", "Wien"), place(&rows[1], "", "", "")];
    let run = begun(stores, AmendmentKind::Reenrich).await;
    let count = stores.amendments.amend(&run, &Changes::Places(changes), rows[2].id).await;
    assert_eq!(count.expect("clicks change"), Some(2));
    recount(stores).await;
    let scope = scope(&owner, &[ClickClass::Counted]);
    for (dimension, expected) in [
        (Dimension::Country, [("", 1), ("AT", 1), ("DE", 1)].as_slice()),
        (Dimension::City, &[("", 2), ("Wien", 1)]),
        (Dimension::Region, &[("", 2), ("Wien", 1)]),
    ] {
        let found = stores.rolled_up.breakdown(&scope, dimension, 9).await.expect("the database answers");
        let rows: Vec<_> = found.rows.iter().map(|row| (&*row.value, row.clicks)).collect();
        assert_eq!(rows, expected, "{dimension:?}");
    }
    assert_eq!(counters(stores, &link).await, (3, Some(at(2))));
}

/// Somebody else changed it meanwhile, or it is gone.
pub async fn what_is_not_as_expected_is_left_alone(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let found = click(&link, at(1));
    write(stores, std::slice::from_ref(&found)).await;
    let mistaken = ClassChange { before: ClickClass::Repeat, ..to_class(&found, ClickClass::Bot) };
    let gone = to_class(&click(&link, at(2)), ClickClass::Bot);
    assert_eq!(reclassify(stores, vec![mistaken, gone.clone()]).await, 0);
    assert_eq!(counters(stores, &link).await, (1, Some(at(1))));
    assert_eq!(charted(stores, &owner, ClickClass::Counted).await, 1);
    assert_eq!(stores.rollups.due(9).await.expect("the database answers"), []);
    let run = begun(stores, AmendmentKind::Reenrich).await;
    let nowhere = PlaceChange {
        id: gone.id,
        country_code: "DE".to_owned(),
        region: String::new(),
        city: String::new(),
    };
    let count = stores.amendments.amend(&run, &Changes::Places(vec![nowhere]), gone.id).await;
    assert_eq!(count.expect("nothing fails"), Some(0));
    let none = stores.amendments.amend(&run, &Changes::Places(Vec::new()), found.id).await;
    assert_eq!(none.expect("nothing fails"), Some(0));
}

/// As many as a run changes at once.
pub async fn a_large_batch_over_days_is_changed_whole(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let other = stores.link(&owner, "other").await;
    let count = i64::from(AMENDMENT_BATCH_MAX);
    let rows: Vec<_> = (0..count)
        .map(|n| click(if n % 3 == 0 { &other } else { &link }, at((n - count / 2) * 60)))
        .collect();
    write(stores, &rows).await;
    let changes: Vec<_> = rows.iter().map(|row| to_class(row, ClickClass::Bot)).collect();
    assert_eq!(reclassify(stores, changes).await, u64::from(AMENDMENT_BATCH_MAX));
    assert_eq!(counters(stores, &link).await, (0, None));
    assert_eq!(counters(stores, &other).await, (0, None));
    assert_eq!(charted(stores, &owner, ClickClass::Bot).await, count);
    assert_eq!(charted(stores, &owner, ClickClass::Counted).await, 0);
}

/// With the same knowledge and scope, whoever goes on; the other kind is another run.
pub async fn a_run_goes_on_where_it_ended(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let rows = [click(&link, at(1)), click(&link, at(2))];
    write(stores, &rows).await;
    let mut first = run(AmendmentKind::Reclassify, "list 1");
    first.scope.workspace_id = Some(owner.workspace_id);
    first.scope.until = Some(Day::of(at(DAY)));
    assert_eq!(begin(stores, &first).await, None);
    let next = Amendment { run_id: fresh_run(), ..first.clone() };
    assert_eq!(begin(stores, &next).await, None, "nothing was looked at yet");
    let nothing = Changes::Classes(Vec::new());
    for row in &rows {
        let count = stores.amendments.amend(&next, &nothing, row.id).await;
        assert_eq!(count.expect("the run goes on"), Some(0));
    }
    let other = begun(stores, AmendmentKind::Reenrich).await;
    stores.amendments.amend(&other, &Changes::Places(Vec::new()), rows[0].id).await.expect("goes on");
    let last = Amendment { run_id: fresh_run(), ..first };
    assert_eq!(begin(stores, &last).await, Some(rows[1].id));
    assert_eq!(begin(stores, &last).await, Some(rows[1].id), "asked twice");
    assert_eq!(begin(stores, &Amendment { run_id: fresh_run(), ..other }).await, Some(rows[0].id));
}

/// Other knowledge, other clicks, or the wish to.
pub async fn another_run_begins_anew(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let row = click(&link, at(1));
    let base = run(AmendmentKind::Reclassify, "list 1");
    let scope = |change: fn(&mut AmendmentScope)| {
        let mut other = base.clone();
        change(&mut other.scope);
        other
    };
    let others = [
        run(AmendmentKind::Reclassify, "list 2"),
        scope(|scope| scope.since = Day::of(at(-4 * DAY))),
        scope(|scope| scope.until = Some(Day::of(at(4 * DAY)))),
        Amendment {
            scope: AmendmentScope { workspace_id: Some(owner.workspace_id), ..base.scope },
            ..base.clone()
        },
    ];
    let look = async |run: &Amendment| {
        let count = stores.amendments.amend(run, &Changes::Classes(Vec::new()), row.id).await;
        assert_eq!(count.expect("the run goes on"), Some(0));
    };
    for other in others {
        let (base, other) =
            [&base, &other].map(|run| Amendment { run_id: fresh_run(), ..run.clone() }).into();
        begin(stores, &base).await;
        look(&base).await;
        assert_eq!(begin(stores, &other).await, None, "{other:?}");
        look(&other).await;
        assert_eq!(begin(stores, &Amendment { run_id: fresh_run(), ..base }).await, None);
    }
    begin(stores, &base).await;
    look(&base).await;
    assert_eq!(stores.amendments.begin(&base, true).await.expect("a run begins"), None);
    assert_eq!(begin(stores, &base).await, None);
}

/// Two people at once would undo each other's marks.
pub async fn a_replaced_run_changes_nothing(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let row = click(&link, at(1));
    write(stores, std::slice::from_ref(&row)).await;
    let (first, second) = (run(AmendmentKind::Reclassify, "a"), run(AmendmentKind::Reclassify, "a"));
    begin(stores, &first).await;
    begin(stores, &second).await;
    let changes = Changes::Classes(vec![to_class(&row, ClickClass::Bot)]);
    let refused = stores.amendments.amend(&first, &changes, row.id).await;
    assert_eq!(refused.expect("the database answers"), None);
    assert_eq!(charted(stores, &owner, ClickClass::Counted).await, 1);
    stores.amendments.finish(&first).await.expect("nothing happens");
    let count = stores.amendments.amend(&second, &changes, row.id).await;
    assert_eq!(count.expect("clicks change"), Some(1));
}

/// The next one looks at everything again.
pub async fn a_finished_run_is_forgotten(stores: &Stores) {
    let (_, link) = cast(stores).await;
    let row = click(&link, at(1));
    let first = begun(stores, AmendmentKind::Reenrich).await;
    let nothing = Changes::Places(Vec::new());
    stores.amendments.amend(&first, &nothing, row.id).await.expect("the run goes on");
    stores.amendments.finish(&first).await.expect("finished");
    stores.amendments.finish(&first).await.expect("finished already");
    assert_eq!(stores.amendments.amend(&first, &nothing, row.id).await.expect("the database answers"), None);
    assert_eq!(begin(stores, &Amendment { run_id: fresh_run(), ..first }).await, None);
}

/// New clicks of the same links, changes of old ones and recounts of their days, all at the same time.
pub async fn changes_beside_writers_and_recounts_add_up(stores: &Stores) {
    let (owner, link) = cast(stores).await;
    let other = stores.link(&owner, "other").await;
    let old: Vec<_> = (0..200).map(|n| click(if n % 2 == 0 { &link } else { &other }, at(n))).collect();
    write(stores, &old).await;
    let run = begun(stores, AmendmentKind::Reclassify).await;
    for (round, some) in old.chunks(20).enumerate() {
        let second = 1_000 + i64::try_from(round).expect("small") * 100;
        let new: Vec<_> =
            (0..40).map(|n| click(if n % 3 == 0 { &link } else { &other }, at(second + n))).collect();
        let changes = Changes::Classes(some.iter().map(|row| to_class(row, ClickClass::Bot)).collect());
        let last = some[some.len() - 1].id;
        let (run, changes, new) = (&run, &changes, &new);
        // Those that wait for each other are told apart by the database, and try again.
        let work: [std::pin::Pin<Box<dyn Future<Output = ()> + Send>>; 3] = [
            Box::pin(async move {
                while !matches!(stores.amendments.amend(run, changes, last).await, Ok(Some(_))) {}
            }),
            Box::pin(async move { while stores.clicks.write(new).await.is_err() {} }),
            Box::pin(async move {
                while stores.rollups.recount(owner.workspace_id, Day::of(at(0)), true).await.is_err() {}
            }),
        ];
        join_all(work).await;
    }
    recount(stores).await;
    let check = stores.rollups.recount(owner.workspace_id, Day::of(at(0)), false).await;
    let check = check.expect("the database answers");
    assert_eq!((check.clicks, check.different), (600, 0));
    assert_eq!(charted(stores, &owner, ClickClass::Bot).await, 200);
    let (a, b) = (counters(stores, &link).await.0, counters(stores, &other).await.0);
    assert_eq!((a, b), (140, 260));
}
