//! Lists of links agree with a model in memory, whatever was done before and whatever is asked for.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use vayro_core::contract::stores::{Owner, Stores, at, click};
use vayro_core::ids::DomainId;
use vayro_core::link::{
    CursorValue, Link, LinkCursor, LinkFilter, LinkPatch, LinkSort, LinkState, LinkUpdate, NewLink,
};
use vayro_core::page::PageSize;
use vayro_core::target::TargetUrl;

use crate::fixture::fixture;

const SORTS: [LinkSort; 5] =
    [LinkSort::CreatedAt, LinkSort::UpdatedAt, LinkSort::Clicks, LinkSort::LastClickAt, LinkSort::ShortCode];

/// One thing done to the links; an index is taken modulo how many there are.
#[derive(Clone, Debug)]
enum Step {
    Insert { code: String, title: String, on_own_domain: bool, is_active: bool, expires: Option<i64> },
    Update { index: usize, title: Option<String>, is_active: Option<bool>, is_archived: Option<bool> },
    Delete { index: usize },
    Restore { index: usize },
    Click { index: usize, second: i64 },
}

#[derive(Clone, Debug)]
struct Question {
    states: Vec<LinkState>,
    search: Option<String>,
    on_own_domain: Option<bool>,
    now: i64,
    size: u16,
}

fn text() -> impl Strategy<Value = String> {
    // Few letters, so that texts meet; wildcards and other scripts, so that they matter.
    "[aAbB%_é\\\\]{0,3}"
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => ("[abAB0_-]{1,3}", text(), any::<bool>(), any::<bool>(), prop::option::of(0_i64..6)).prop_map(
            |(code, title, on_own_domain, is_active, expires)| {
                Step::Insert { code, title, on_own_domain, is_active, expires }
            }
        ),
        2 => (any::<usize>(), prop::option::of(text()), any::<Option<bool>>(), any::<Option<bool>>()).prop_map(
            |(index, title, is_active, is_archived)| Step::Update { index, title, is_active, is_archived }
        ),
        1 => any::<usize>().prop_map(|index| Step::Delete { index }),
        1 => any::<usize>().prop_map(|index| Step::Restore { index }),
        2 => (any::<usize>(), 0_i64..4).prop_map(|(index, second)| Step::Click { index, second }),
    ]
}

fn question() -> impl Strategy<Value = Question> {
    let states = prop::sample::subsequence(LinkState::ALL.to_vec(), 0..=5);
    (states, prop::option::of(text()), any::<Option<bool>>(), 0_i64..6, 1_u16..5).prop_map(
        |(states, search, on_own_domain, now, size)| Question { states, search, on_own_domain, now, size },
    )
}

/// What the store should hold.
struct Model {
    owner: Owner,
    own_domain: DomainId,
    links: Vec<Link>,
}

impl Model {
    async fn apply(&mut self, stores: &Stores, step: Step, second: i64) {
        let (owner, context) = (self.owner, self.owner.context(at(second)));
        let workspace = owner.workspace_id;
        if let Step::Insert { code, title, on_own_domain, is_active, expires } = step {
            let new = NewLink {
                domain_id: if on_own_domain { self.own_domain } else { DomainId::DEFAULT },
                target_url: TargetUrl::from_stored(format!("https://example.com/{}", code.to_uppercase()))
                    .expect("visible ASCII"),
                title,
                is_active,
                expires_at: expires.map(at),
                ..owner.new_link(&code)
            };
            let is_taken = |link: &Link| link.domain_id == new.domain_id && link.short_code == new.short_code;
            let expected = !self.links.iter().any(is_taken);
            let inserted = stores.links.insert(new, &context).await;
            assert_eq!(inserted.is_ok(), expected, "{inserted:?}");
            self.links.extend(inserted);
            return;
        }
        if self.links.is_empty() {
            return;
        }
        let count = self.links.len();
        let (index, update) = match step {
            Step::Insert { .. } => return,
            Step::Click { index, second } => {
                let link = &mut self.links[index % count];
                let row = click(link, at(second));
                link.clicks += 1;
                link.last_click_at = link.last_click_at.max(Some(row.timestamp));
                stores.clicks.write(&[row]).await.expect("stored");
                return;
            }
            Step::Update { index, title, is_active, is_archived } => {
                let patch = LinkPatch { title, is_active, is_archived, ..LinkPatch::default() };
                let id = self.links[index % count].id;
                (index, stores.links.update(workspace, id, None, &patch, &context).await)
            }
            Step::Delete { index } => {
                let id = self.links[index % count].id;
                (index, stores.links.delete(workspace, id, None, &context).await)
            }
            Step::Restore { index } => {
                let id = self.links[index % count].id;
                (index, stores.links.restore(workspace, id, &context).await)
            }
        };
        // What a change answers is held by the contract; here it is taken over.
        if let LinkUpdate::Done(link) = update.expect("the file answers") {
            self.links[index % count] = *link;
        }
    }

    fn expected(&self, question: &Question, sort: LinkSort, is_descending: bool) -> Vec<Link> {
        let default = [LinkState::Active, LinkState::Disabled, LinkState::Expired];
        let states = if question.states.is_empty() { &default[..] } else { &question.states[..] };
        let search = question.search.as_ref().map(|search| search.to_ascii_lowercase());
        let has = |text: &str, search: &str| text.to_ascii_lowercase().contains(search);
        let mut links: Vec<Link> = self
            .links
            .iter()
            .filter(|link| states.contains(&link.state(at(question.now))))
            .filter(|link| {
                question.on_own_domain.is_none_or(|is_own| is_own == (link.domain_id == self.own_domain))
            })
            .filter(|link| {
                search.as_ref().is_none_or(|search| {
                    has(link.short_code.as_str(), search)
                        || has(link.target_url.as_str(), search)
                        || has(&link.title, search)
                })
            })
            .cloned()
            .collect();
        links.sort_by_key(|link| sort_key(link, sort));
        if is_descending {
            links.reverse();
        }
        links
    }
}

fn sort_key(link: &Link, sort: LinkSort) -> (i64, String, uuid::Uuid) {
    match LinkCursor::after(link, sort, false).value {
        CursorValue::Number(number) => (number, String::new(), link.id.as_uuid()),
        CursorValue::Text(text) => (0, text, link.id.as_uuid()),
    }
}

async fn pages(stores: &Stores, mut filter: LinkFilter) -> Vec<Link> {
    let mut links = Vec::new();
    loop {
        let page = stores.links.list(&filter).await.expect("the file answers");
        assert!(page.items.len() <= usize::from(filter.size.get()));
        assert!(page.next.is_none() || !page.items.is_empty());
        links.extend(page.items);
        filter.after = page.next;
        if filter.after.is_none() {
            return links;
        }
    }
}

async fn agree(steps: Vec<Step>, questions: Vec<Question>) -> Result<(), TestCaseError> {
    let fixture = fixture().await;
    let stores = &fixture.stores;
    let owner = stores.owner("ada").await;
    let stranger = stores.owner("eve").await;
    stores.link(&stranger, "stranger").await;
    let own_domain = stores.domain(&owner, "go.example.com").await.id;
    let mut model = Model { owner, own_domain, links: Vec::new() };
    for (step, second) in steps.into_iter().zip(0..) {
        // Two steps share an instant, so that ids must break ties.
        model.apply(stores, step, second / 2).await;
    }
    for question in questions {
        for sort in SORTS {
            for is_descending in [false, true] {
                let filter = LinkFilter {
                    workspace_id: owner.workspace_id,
                    domain_id: question
                        .on_own_domain
                        .map(|is_own| if is_own { own_domain } else { DomainId::DEFAULT }),
                    states: question.states.clone(),
                    user_id: None,
                    short_code: None,
                    search: question.search.clone(),
                    sort,
                    is_descending,
                    after: None,
                    size: PageSize::new(question.size).expect("in range"),
                    now: at(question.now),
                };
                let found = pages(stores, filter).await;
                let expected = model.expected(&question, sort, is_descending);
                prop_assert_eq!(found, expected, "{:?}, descending: {}, {:?}", sort, is_descending, question);
            }
        }
    }
    Ok(())
}

proptest! {
    // Each case is a file and some hundred statements.
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn lists_agree_with_a_model(
        steps in prop::collection::vec(step(), 0..30),
        questions in prop::collection::vec(question(), 1..4),
    ) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(agree(steps, questions))?;
    }
}
