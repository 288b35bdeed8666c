//! Rules of [`LinkStore::list`](crate::ports::LinkStore::list): order, paging, filters, search.
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

use super::stores::{Owner, Stores, at, click, code, target};
use crate::ids::UserId;
use crate::link::{CursorValue, Link, LinkCursor, LinkFilter, LinkPatch, LinkSort, LinkState, NewLink};
use crate::page::PageSize;

/// Generates one test per rule; `$fixture` is a future of a value with a field `stores`.
#[macro_export]
macro_rules! link_list_contract {
    ($fixture:expr) => {
        $crate::store_rules!(
            $fixture,
            link_lists,
            [
                an_empty_workspace_lists_nothing,
                every_order_pages_through_everything_once,
                the_last_page_says_so,
                paging_survives_inserts_and_deletes,
                codes_are_ordered_by_bytes,
                search_finds_code_target_and_title,
                search_takes_wildcards_literally,
                search_folds_ascii_case_only,
                states_are_told_apart,
                archived_and_deleted_links_are_hidden_unless_asked_for,
                filters_narrow_the_list,
                other_workspaces_links_are_never_listed,
            ]
        );
    };
}

const SORTS: [LinkSort; 5] =
    [LinkSort::CreatedAt, LinkSort::UpdatedAt, LinkSort::Clicks, LinkSort::LastClickAt, LinkSort::ShortCode];

fn filter(owner: &Owner) -> LinkFilter {
    LinkFilter {
        workspace_id: owner.workspace_id,
        domain_id: None,
        states: Vec::new(),
        user_id: None,
        short_code: None,
        search: None,
        sort: LinkSort::CreatedAt,
        is_descending: false,
        after: None,
        size: PageSize::DEFAULT,
        now: at(0),
    }
}

async fn list(stores: &Stores, filter: &LinkFilter) -> Vec<Link> {
    stores.links.list(filter).await.expect("the database answers").items
}

/// Returns the codes that `filter` finds, sorted.
async fn codes(stores: &Stores, filter: &LinkFilter) -> Vec<String> {
    let mut codes: Vec<String> =
        list(stores, filter).await.iter().map(|link| link.short_code.to_string()).collect();
    codes.sort_unstable();
    codes
}

/// Nothing is no error, and has no next page.
pub async fn an_empty_workspace_lists_nothing(stores: &Stores) {
    let owner = stores.owner("ada").await;
    for sort in SORTS {
        let page =
            stores.links.list(&LinkFilter { sort, ..filter(&owner) }).await.expect("the database answers");
        assert!(page.items.is_empty());
        assert_eq!(page.next, None);
    }
}

/// Nine links with ties in every sorted column.
async fn links_with_ties(stores: &Stores, owner: &Owner) -> Vec<Link> {
    stores.prepare_months().await;
    let mut links = Vec::new();
    for n in 0..9_i64 {
        let link = stores.link_at(owner.new_link(&format!("c{}", (n * 7) % 9)), owner, at(n / 3)).await;
        if n % 2 == 0 {
            let patch = LinkPatch { title: Some("changed".to_owned()), ..LinkPatch::default() };
            let context = owner.context(at(10 + n / 4));
            stores
                .links
                .update(owner.workspace_id, link.id, None, &patch, &context)
                .await
                .expect("the database answers");
        }
        let rows: Vec<_> = (0..n / 3).map(|_| click(&link, at(20 + n / 4))).collect();
        stores.clicks.write(&rows).await.expect("clicks are stored");
        links.push(link);
    }
    let mut reloaded = Vec::new();
    for link in links {
        reloaded.push(stores.reload(&link).await);
    }
    reloaded
}

fn sort_key(link: &Link, sort: LinkSort) -> (i64, String, uuid::Uuid) {
    let id = link.id.as_uuid();
    match LinkCursor::after(link, sort, false).value {
        CursorValue::Number(number) => (number, String::new(), id),
        CursorValue::Text(text) => (0, text, id),
    }
}

/// Every sort in both directions with every page size gives the whole list, in order, once; ties go by id,
/// and descending is ascending backwards.
pub async fn every_order_pages_through_everything_once(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let mut expected = links_with_ties(stores, &owner).await;
    for sort in SORTS {
        expected.sort_by_key(|link| sort_key(link, sort));
        for is_descending in [false, true] {
            if is_descending {
                expected.reverse();
            }
            for size in [1, 2, 4, 9, 10] {
                let mut filter = LinkFilter {
                    sort,
                    is_descending,
                    size: PageSize::new(size).expect("a valid size"),
                    ..filter(&owner)
                };
                let mut seen = Vec::new();
                loop {
                    let page = stores.links.list(&filter).await.expect("the database answers");
                    assert!(page.items.len() <= usize::from(size));
                    seen.extend(page.items);
                    match page.next {
                        Some(next) => filter.after = Some(next),
                        None => break,
                    }
                    assert!(seen.len() < 20, "paging ends");
                }
                assert_eq!(seen, expected, "{sort:?}, descending: {is_descending}, pages of {size}");
            }
        }
    }
}

/// A page that is full and last has no cursor; the cursor of another page is that of its last item.
pub async fn the_last_page_says_so(stores: &Stores) {
    let owner = stores.owner("ada").await;
    for n in 0..4 {
        stores.link_at(owner.new_link(&format!("c{n}")), &owner, at(n)).await;
    }
    let mut filter =
        LinkFilter { size: PageSize::new(2).expect("a valid size"), is_descending: true, ..filter(&owner) };
    let first = stores.links.list(&filter).await.expect("the database answers");
    assert_eq!(first.next, Some(LinkCursor::after(&first.items[1], LinkSort::CreatedAt, true)));
    filter.after = first.next;
    let second = stores.links.list(&filter).await.expect("the database answers");
    assert_eq!((second.items.len(), second.next), (2, None));
}

/// New links and the deletion of the very link a cursor names neither repeat nor skip the others.
pub async fn paging_survives_inserts_and_deletes(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let mut links = Vec::new();
    for n in 0..6 {
        links.push(stores.link_at(owner.new_link(&format!("c{n}")), &owner, at(n)).await);
    }
    let mut filter =
        LinkFilter { size: PageSize::new(2).expect("a valid size"), is_descending: true, ..filter(&owner) };
    let first = stores.links.list(&filter).await.expect("the database answers");
    assert_eq!(first.items, [links[5].clone(), links[4].clone()]);
    stores.link_at(owner.new_link("newer"), &owner, at(50)).await;
    stores
        .links
        .delete(owner.workspace_id, links[4].id, None, &owner.context(at(51)))
        .await
        .expect("the database answers");
    filter.after = first.next;
    let second = stores.links.list(&filter).await.expect("the database answers");
    assert_eq!(second.items, [links[3].clone(), links[2].clone()]);
}

/// Byte order, whatever the database's locale says about letters.
pub async fn codes_are_ordered_by_bytes(stores: &Stores) {
    let owner = stores.owner("ada").await;
    for name in ["b", "A", "a", "_", "-", "Z", "aa", "9"] {
        stores.link(&owner, name).await;
    }
    let listed = list(stores, &LinkFilter { sort: LinkSort::ShortCode, ..filter(&owner) }).await;
    let listed: Vec<&str> = listed.iter().map(|link| link.short_code.as_str()).collect();
    assert_eq!(listed, ["-", "9", "A", "Z", "_", "a", "aa", "b"]);
}

/// Any of the three fields, anywhere in it.
pub async fn search_finds_code_target_and_title(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let by_title = NewLink { title: "The Needle's eye".to_owned(), ..owner.new_link("one") };
    stores.link_at(by_title, &owner, at(0)).await;
    let by_target = NewLink { target_url: target("https://example.com/needles"), ..owner.new_link("two") };
    stores.link_at(by_target, &owner, at(0)).await;
    stores.link(&owner, "a-NEEDLE-x").await;
    stores.link(&owner, "haystack").await;
    for text in ["needle", "NEEDLE", "nEEdLe"] {
        let found = codes(stores, &LinkFilter { search: Some(text.to_owned()), ..filter(&owner) }).await;
        assert_eq!(found, ["a-NEEDLE-x", "one", "two"], "{text}");
    }
    let search = Some("needle's EYE".to_owned());
    assert_eq!(codes(stores, &LinkFilter { search, ..filter(&owner) }).await, ["one"]);
    let search = Some(String::new());
    assert_eq!(codes(stores, &LinkFilter { search, ..filter(&owner) }).await.len(), 4);
}

/// `%`, `_`, `*`, `?`, `[` and `\` mean themselves.
pub async fn search_takes_wildcards_literally(stores: &Stores) {
    let owner = stores.owner("ada").await;
    for (name, title) in
        [("plain", "50 percent"), ("percent", "50% off"), ("under", "50_off"), ("slash", r"50\off*?[x]")]
    {
        let new = NewLink { title: title.to_owned(), ..owner.new_link(name) };
        stores.link_at(new, &owner, at(0)).await;
    }
    for (text, expected) in [
        ("%", ["percent"].as_slice()),
        ("50%", &["percent"]),
        ("5%f", &[]),
        ("_", &["under"]),
        ("50_", &["under"]),
        (r"\", &["slash"]),
        (r"50\%", &[]),
        ("*", &["slash"]),
        ("?", &["slash"]),
        ("[x]", &["slash"]),
        // No stored text has a NUL; a database that refuses the very question is not an answer.
        ("\0", &[]),
        ("50\0", &[]),
    ] {
        let found = codes(stores, &LinkFilter { search: Some(text.to_owned()), ..filter(&owner) }).await;
        assert_eq!(found, expected, "{text}");
    }
}

/// Beyond ASCII, letters are compared exactly on every adapter.
pub async fn search_folds_ascii_case_only(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let new = NewLink { title: "ÉTÉ Sale".to_owned(), ..owner.new_link("summer") };
    stores.link_at(new, &owner, at(0)).await;
    for (text, is_found) in [("ÉtÉ sale", true), ("été sale", false), ("É", true), ("é", false)] {
        let found = codes(stores, &LinkFilter { search: Some(text.to_owned()), ..filter(&owner) }).await;
        assert_eq!(!found.is_empty(), is_found, "{text}");
    }
}

/// Makes a link in every combination of the four marks; its code spells them.
async fn links_in_every_state(stores: &Stores, owner: &Owner) -> Vec<Link> {
    let mut links = Vec::new();
    for marks in 0..16_u8 {
        let has = |bit: u8| marks & (1 << bit) != 0;
        let new = NewLink {
            is_active: !has(0),
            expires_at: has(1).then(|| at(100)),
            ..owner.new_link(&format!("m{marks}"))
        };
        let link = stores.link_at(new, owner, at(0)).await;
        if has(2) {
            let patch = LinkPatch { is_archived: Some(true), ..LinkPatch::default() };
            let context = owner.context(at(1));
            let archived = stores.links.update(owner.workspace_id, link.id, None, &patch, &context).await;
            archived.expect("the database answers");
        }
        if has(3) {
            let deleted = stores.links.delete(owner.workspace_id, link.id, None, &owner.context(at(2))).await;
            deleted.expect("the database answers");
        }
        links.push(stores.reload(&link).await);
    }
    links
}

/// The list agrees with [`Link::state`] on every combination, before, at and after the expiry.
pub async fn states_are_told_apart(stores: &Stores) {
    let owner = stores.owner("ada").await;
    let links = links_in_every_state(stores, &owner).await;
    for now in [at(99), at(100), at(101)] {
        let wanted: Vec<Vec<LinkState>> = LinkState::ALL
            .iter()
            .map(|state| vec![*state])
            .chain([vec![LinkState::Archived, LinkState::Deleted], LinkState::ALL.to_vec()])
            .collect();
        for states in wanted {
            let mut expected: Vec<String> = links
                .iter()
                .filter(|link| states.contains(&link.state(now)))
                .map(|link| link.short_code.to_string())
                .collect();
            expected.sort_unstable();
            let found = codes(stores, &LinkFilter { states: states.clone(), now, ..filter(&owner) }).await;
            assert_eq!(found, expected, "{states:?} at {now}");
        }
    }
}

/// No states means active, disabled and expired.
pub async fn archived_and_deleted_links_are_hidden_unless_asked_for(stores: &Stores) {
    let owner = stores.owner("ada").await;
    links_in_every_state(stores, &owner).await;
    let now = at(100);
    let hidden_by_default = codes(stores, &LinkFilter { now, ..filter(&owner) }).await;
    let states = vec![LinkState::Active, LinkState::Disabled, LinkState::Expired];
    assert_eq!(hidden_by_default, codes(stores, &LinkFilter { states, now, ..filter(&owner) }).await);
    assert!(!hidden_by_default.is_empty());
}

/// Domain, creator, code and search are all of them conditions.
pub async fn filters_narrow_the_list(stores: &Stores) {
    let (ada, bob) = (stores.owner("ada").await, stores.owner("bob").await);
    let domain = stores.domain(&ada, "go.example.com").await;
    stores.link(&ada, "plain").await;
    stores.link_at(NewLink { domain_id: domain.id, ..ada.new_link("plain") }, &ada, at(0)).await;
    stores.link_at(NewLink { user_id: bob.user_id, ..ada.new_link("bobs") }, &ada, at(0)).await;

    let found = list(stores, &LinkFilter { domain_id: Some(domain.id), ..filter(&ada) }).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].domain_id, domain.id);
    let by_bob = LinkFilter { user_id: Some(bob.user_id), ..filter(&ada) };
    assert_eq!(codes(stores, &by_bob).await, ["bobs"]);
    let by_code = LinkFilter { short_code: Some(code("plain")), ..filter(&ada) };
    assert_eq!(codes(stores, &by_code).await, ["plain", "plain"]);
    let by_other_case = LinkFilter { short_code: Some(code("Plain")), ..filter(&ada) };
    assert!(codes(stores, &by_other_case).await.is_empty());
    let by_all = LinkFilter {
        domain_id: Some(domain.id),
        short_code: Some(code("plain")),
        user_id: Some(ada.user_id),
        search: Some("PLA".to_owned()),
        states: vec![LinkState::Active],
        ..filter(&ada)
    };
    assert_eq!(list(stores, &by_all).await, found);
    let by_nobody =
        LinkFilter { user_id: Some(UserId::from_uuid(super::stores::fresh_uuid())), ..filter(&ada) };
    assert!(list(stores, &by_nobody).await.is_empty());
}

/// Whatever is asked for, it is asked of one workspace.
pub async fn other_workspaces_links_are_never_listed(stores: &Stores) {
    let (ada, eve) = (stores.owner("ada").await, stores.owner("eve").await);
    let link = stores.link(&ada, "launch").await;
    for sort in SORTS {
        for filter in [
            LinkFilter { sort, ..filter(&eve) },
            LinkFilter { sort, search: Some("launch".to_owned()), ..filter(&eve) },
            LinkFilter { sort, short_code: Some(code("launch")), ..filter(&eve) },
            LinkFilter { sort, user_id: Some(ada.user_id), ..filter(&eve) },
            LinkFilter { sort, domain_id: Some(link.domain_id), ..filter(&eve) },
            LinkFilter { sort, states: LinkState::ALL.to_vec(), ..filter(&eve) },
        ] {
            assert!(list(stores, &filter).await.is_empty());
        }
    }
}
