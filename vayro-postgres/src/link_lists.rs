//! Lists of links: filters, order, keyset paging.

use sqlx::{PgConnection, Postgres, QueryBuilder};
use vayro_core::link::{CursorValue, Link, LinkCursor, LinkFilter, LinkSort};
use vayro_core::page::Page;
use vayro_core::ports::StoreError;
use vayro_core::timestamp::Timestamp;

use crate::error::{Failure, internal};
use crate::instant::Instant;
use crate::links::{LinkRow, select_link};

/// The cursor was made for another order; whoever parsed it should have seen that.
#[derive(Debug, thiserror::Error)]
#[error("the cursor does not belong to the order of the list")]
struct ForeignCursor;

/// Returns what a list is ordered by; never null, so that rows can be compared with a cursor.
const fn sort_expression(sort: LinkSort) -> &'static str {
    match sort {
        LinkSort::CreatedAt => "l.created_at",
        LinkSort::UpdatedAt => "l.updated_at",
        LinkSort::Clicks => "COALESCE(t.clicks, 0)",
        LinkSort::LastClickAt => "COALESCE(t.last_click_at, TIMESTAMPTZ 'epoch')",
        LinkSort::ShortCode => "l.short_code",
    }
}

/// [`Link::state`] in SQL, up to the instant to compare with.
const STATE_BEFORE_NOW: &str = " AND CASE WHEN l.deleted_at IS NOT NULL THEN 'deleted' WHEN NOT l.is_active THEN 'disabled' \
       WHEN l.expires_at <= ";
/// The rest of it.
const STATE_AFTER_NOW: &str =
    " THEN 'expired' WHEN l.archived_at IS NOT NULL THEN 'archived' ELSE 'active' END = ANY(";

/// What a list shows when nobody says.
const DEFAULT_STATES: [&str; 3] = ["active", "disabled", "expired"];

/// Returns one page.
pub(crate) async fn list(
    connection: &mut PgConnection,
    filter: &LinkFilter,
) -> Result<Page<Link, LinkCursor>, Failure> {
    if filter.search.as_ref().is_some_and(|text| text.contains('\0')) {
        // No text in PostgreSQL holds a NUL, and none can be asked for.
        return Ok(Page { items: Vec::new(), next: None });
    }
    let mut query = QueryBuilder::new(select_link!());
    push_conditions(&mut query, filter);
    push_order(&mut query, filter)?;
    let rows: Vec<LinkRow> = query.build_query_as().fetch_all(connection).await?;

    let size = usize::from(filter.size.get());
    let has_more = rows.len() > size;
    let items: Vec<Link> = rows.into_iter().take(size).map(Link::try_from).collect::<Result<_, _>>()?;
    let cursor = |link| LinkCursor::after(link, filter.sort, filter.is_descending);
    let next = if has_more { items.last().map(cursor) } else { None };
    Ok(Page { items, next })
}

fn push_conditions(query: &mut QueryBuilder<Postgres>, filter: &LinkFilter) {
    query.push("WHERE l.workspace_id = ").push_bind(filter.workspace_id.as_uuid());
    if let Some(domain) = filter.domain_id {
        query.push(" AND l.domain_id = ").push_bind(domain.as_uuid());
    }
    if let Some(user) = filter.user_id {
        query.push(" AND l.user_id = ").push_bind(user.as_uuid());
    }
    if let Some(code) = &filter.short_code {
        query.push(" AND l.short_code = ").push_bind(code.to_string());
    }
    let states: Vec<&'static str> = if filter.states.is_empty() {
        DEFAULT_STATES.to_vec()
    } else {
        filter.states.iter().map(|state| state.as_str()).collect()
    };
    query.push(STATE_BEFORE_NOW).push_bind(Instant(filter.now));
    query.push(STATE_AFTER_NOW).push_bind(states).push(")");
    if let Some(text) = &filter.search {
        // A substring search knows no wildcards; "C" folds the case of ASCII letters and no others.
        let mut separator = " AND (";
        for column in ["l.short_code", "l.target_url", "l.title"] {
            query.push(separator).push("strpos(lower(").push(column).push(" COLLATE \"C\"), lower(");
            query.push_bind(text.clone()).push(" COLLATE \"C\")) > 0");
            separator = " OR ";
        }
        query.push(")");
    }
}

fn push_order(query: &mut QueryBuilder<Postgres>, filter: &LinkFilter) -> Result<(), StoreError> {
    let expression = sort_expression(filter.sort);
    let (direction, comparison) = if filter.is_descending { ("DESC", "<") } else { ("ASC", ">") };
    if let Some(cursor) = &filter.after {
        if cursor.sort != filter.sort || cursor.is_descending != filter.is_descending {
            return Err(internal(ForeignCursor));
        }
        query.push(" AND (").push(expression).push(", l.id) ").push(comparison).push(" (");
        match (&cursor.value, filter.sort) {
            (CursorValue::Text(text), LinkSort::ShortCode) => query.push_bind(text.clone()),
            (CursorValue::Number(count), LinkSort::Clicks) => query.push_bind(*count),
            (
                CursorValue::Number(micros),
                LinkSort::CreatedAt | LinkSort::UpdatedAt | LinkSort::LastClickAt,
            ) => {
                let at = Timestamp::from_micros(*micros).ok_or_else(|| internal(ForeignCursor))?;
                query.push_bind(Instant(at))
            }
            _ => return Err(internal(ForeignCursor)),
        };
        query.push(", ").push_bind(cursor.id.as_uuid()).push(")");
    }
    query.push(" ORDER BY ").push(expression).push(" ").push(direction).push(", l.id ").push(direction);
    query.push(" LIMIT ").push_bind(i64::from(filter.size.get()) + 1);
    Ok(())
}
