//! Lists of links: filters, orders, pages.

use sqlx::{QueryBuilder, Sqlite};
use vayro_core::link::{CursorValue, Link, LinkCursor, LinkFilter, LinkSort, LinkState};
use vayro_core::page::Page;
use vayro_core::ports::StoreError;

use crate::database::SqliteStores;
use crate::error::{internal, store_error};
use crate::link_row::{LinkRow, SELECT_LINKS};

/// The states of a list that asks for none.
const DEFAULT_STATES: [LinkState; 3] = [LinkState::Active, LinkState::Disabled, LinkState::Expired];

pub(crate) async fn list(
    stores: &SqliteStores,
    filter: &LinkFilter,
) -> Result<Page<Link, LinkCursor>, StoreError> {
    let size = usize::from(filter.size.get());
    let mut query = QueryBuilder::new(SELECT_LINKS);
    push_conditions(&mut query, filter);
    if let Some(cursor) = &filter.after {
        push_cursor(&mut query, filter, cursor)?;
    }
    push_order(&mut query, filter);
    // One more than asked for tells whether there is another page.
    query.push(" LIMIT ").push_bind(i64::from(filter.size.get()) + 1);
    let rows: Vec<LinkRow> = query.build_query_as().fetch_all(&stores.readers).await.map_err(store_error)?;
    let has_more = rows.len() > size;
    let items: Vec<Link> = rows.into_iter().take(size).map(Link::try_from).collect::<Result<_, _>>()?;
    let next = items
        .last()
        .filter(|_| has_more)
        .map(|link| LinkCursor::after(link, filter.sort, filter.is_descending));
    Ok(Page { items, next })
}

fn push_conditions(query: &mut QueryBuilder<Sqlite>, filter: &LinkFilter) {
    query.push("WHERE l.workspace_id = ").push_bind(filter.workspace_id.as_uuid());
    if let Some(domain_id) = filter.domain_id {
        query.push(" AND l.domain_id = ").push_bind(domain_id.as_uuid());
    }
    if let Some(user_id) = filter.user_id {
        query.push(" AND l.user_id = ").push_bind(user_id.as_uuid());
    }
    if let Some(short_code) = &filter.short_code {
        query.push(" AND l.short_code = ").push_bind(short_code.as_str());
    }
    if let Some(search) = &filter.search {
        // SQLite's `lower` folds ASCII alone, as asked; `instr` has no wildcards to escape.
        let search = search.to_ascii_lowercase();
        query.push(" AND (instr(lower(l.short_code), ").push_bind(search.clone());
        query.push(") > 0 OR instr(lower(l.target_url), ").push_bind(search.clone());
        query.push(") > 0 OR instr(lower(l.title), ").push_bind(search).push(") > 0)");
    }
    push_states(query, filter);
}

/// The state as [`Link::state`] derives it.
fn push_states(query: &mut QueryBuilder<Sqlite>, filter: &LinkFilter) {
    query.push(
        " AND CASE WHEN l.deleted_at IS NOT NULL THEN 'deleted' WHEN NOT l.is_active THEN 'disabled'
              WHEN l.expires_at <= ",
    );
    query.push_bind(filter.now.as_micros());
    query.push(" THEN 'expired' WHEN l.archived_at IS NOT NULL THEN 'archived' ELSE 'active' END IN (");
    let states = if filter.states.is_empty() { &DEFAULT_STATES[..] } else { &filter.states[..] };
    let mut list = query.separated(", ");
    for state in states {
        list.push_bind(state.as_str());
    }
    query.push(")");
}

/// The expression a list is ordered by.
const fn sort_column(sort: LinkSort) -> &'static str {
    match sort {
        LinkSort::CreatedAt => "l.created_at",
        LinkSort::UpdatedAt => "l.updated_at",
        LinkSort::Clicks => "COALESCE(t.clicks, 0)",
        LinkSort::LastClickAt => "COALESCE(t.last_click_at, 0)",
        LinkSort::ShortCode => "l.short_code",
    }
}

fn push_cursor(
    query: &mut QueryBuilder<Sqlite>,
    filter: &LinkFilter,
    cursor: &LinkCursor,
) -> Result<(), StoreError> {
    let is_of_this_order = cursor.sort == filter.sort && cursor.is_descending == filter.is_descending;
    let is_of_this_type =
        matches!(cursor.value, CursorValue::Text(_)) == (filter.sort == LinkSort::ShortCode);
    if !is_of_this_order || !is_of_this_type {
        return Err(internal("a cursor of another order came to the store"));
    }
    query.push(" AND (").push(sort_column(filter.sort)).push(", l.id) ");
    query.push(if filter.is_descending { "< (" } else { "> (" });
    match &cursor.value {
        CursorValue::Number(number) => query.push_bind(number),
        CursorValue::Text(text) => query.push_bind(text),
    };
    query.push(", ").push_bind(cursor.id.as_uuid()).push(")");
    Ok(())
}

fn push_order(query: &mut QueryBuilder<Sqlite>, filter: &LinkFilter) {
    let direction = if filter.is_descending { " DESC" } else { "" };
    query.push(" ORDER BY ").push(sort_column(filter.sort)).push(direction);
    query.push(", l.id").push(direction);
}
