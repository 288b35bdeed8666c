//! `GET /v1/links` and `GET /v1/links/{id}`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use vayro_core::access::Action;
use vayro_core::host::Host;
use vayro_core::ids::{LinkId, UserId, WorkspaceId};
use vayro_core::link::{CursorValue, LinkCursor, LinkFilter, LinkSort, LinkState, SEARCH_LEN_MAX};
use vayro_core::short_code::ShortCode;

use super::input::domain_of;
use super::view::LinkView;
use crate::auth::Access;
use crate::cursor;
use crate::extract::{Json, Path, Query};
use crate::page::{PageView, take_limit};
use crate::problem::{Problem, ProblemBody};
use crate::state::{ApiState, SharedState};

/// List links
///
/// Newest first unless asked otherwise. With `short_code`, and `domain` if it is not the default one,
/// the list has the one link with that address, or none.
#[utoipa::path(
    get,
    path = "/v1/links",
    tag = "links",
    params(
        ("limit" = Option<u16>, Query, description = "Items of a page, 1 to 200, 50 if left out"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("sort" = Option<String>, Query, description = "`created_at` (default), `updated_at`, `clicks`, `last_click_at` or `short_code`"),
        ("order" = Option<String>, Query, description = "`asc` or `desc`; left out, short codes ascend and all else descends"),
        ("state" = Option<String>, Query, description = "States separated by commas: `active`, `disabled`, `expired`, `archived`, `deleted`; left out, all but the last two"),
        ("search" = Option<String>, Query, description = "Text in short code, target or title"),
        ("short_code" = Option<String>, Query, description = "Exactly this code"),
        ("domain" = Option<String>, Query, description = "Only on this host"),
        ("user_id" = Option<Uuid>, Query, description = "Only created by this user"),
    ),
    responses(
        (status = 200, description = "A page of links", body = PageView<LinkView>),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list_links(
    State(state): State<SharedState>,
    access: Access,
    query: Query,
) -> Result<Json<PageView<LinkView>>, Problem> {
    let workspace = access.require(Action::LinksRead)?;
    let Some(filter) = read_filter(workspace, query, &state).await? else {
        return Ok(Json(PageView { items: Vec::new(), next: None }));
    };
    let page = state.ports.links.list(&filter).await?;
    let next = page.next.as_ref().and_then(cursor::encode);
    let items = page.items.into_iter().map(|link| LinkView::new(link, &state)).collect();
    Ok(Json(PageView { items, next }))
}

/// Show a link
///
/// Deleted links are shown as long as they can be restored.
#[utoipa::path(
    get,
    path = "/v1/links/{id}",
    tag = "links",
    params(("id" = Uuid, Path, description = "The link")),
    responses(
        (status = 200, description = "The link; `ETag` is its version", body = LinkView),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get_link(
    State(state): State<SharedState>,
    access: Access,
    Path(id): Path<LinkId>,
) -> Result<Response, Problem> {
    let workspace = access.require(Action::LinksRead)?;
    let link = state.ports.links.find(workspace, id).await?.ok_or_else(|| Problem::not_found("link"))?;
    let view = LinkView::new(link, &state);
    Ok((view.etag(), Json(view)).into_response())
}

/// Reads the filter; `None` when it names a domain the workspace does not have, where no link can be.
async fn read_filter(
    workspace_id: WorkspaceId,
    mut query: Query,
    state: &ApiState,
) -> Result<Option<LinkFilter>, Problem> {
    let sort = query.take_with("sort", read_sort).unwrap_or_default();
    let is_descending = query.take_with("order", read_order).unwrap_or(sort != LinkSort::ShortCode);
    let after = query.take_with("cursor", |text| read_cursor(text, sort, is_descending));
    let size = take_limit(&mut query);
    let states = query.take_list("state", read_state);
    let search = query.take_with("search", |text| {
        if text.len() <= SEARCH_LEN_MAX {
            Ok(text.to_owned())
        } else {
            Err(format!("is longer than {SEARCH_LEN_MAX} bytes"))
        }
    });
    let short_code = query.parse_as::<ShortCode>("short_code");
    let host = query.parse_as::<Host>("domain");
    let user_id = query.parse_as::<UserId>("user_id");
    query.finish()?;

    let domain_id = match &host {
        None => None,
        Some(host) => match domain_of(workspace_id, Some(host), state).await? {
            Some(id) => Some(id),
            None => return Ok(None),
        },
    };
    let states = match (states, &short_code) {
        (Some(states), _) => states,
        // Whoever names a code wants that link, whatever became of it.
        (None, Some(_)) => LinkState::ALL.to_vec(),
        (None, None) => Vec::new(),
    };
    let now = state.clock.now();
    Ok(Some(LinkFilter {
        workspace_id,
        domain_id,
        states,
        user_id,
        short_code,
        search,
        sort,
        is_descending,
        after,
        size,
        now,
    }))
}

fn read_sort(text: &str) -> Result<LinkSort, String> {
    Ok(match text {
        "created_at" => LinkSort::CreatedAt,
        "updated_at" => LinkSort::UpdatedAt,
        "clicks" => LinkSort::Clicks,
        "last_click_at" => LinkSort::LastClickAt,
        "short_code" => LinkSort::ShortCode,
        other => {
            return Err(format!(
                "`{other}` is none of `created_at`, `updated_at`, `clicks`, `last_click_at`, `short_code`"
            ));
        }
    })
}

fn read_order(text: &str) -> Result<bool, String> {
    match text {
        "desc" => Ok(true),
        "asc" => Ok(false),
        other => Err(format!("`{other}` is neither `asc` nor `desc`")),
    }
}

fn read_state(text: &str) -> Result<LinkState, String> {
    let state = LinkState::ALL.into_iter().find(|state| state.as_str() == text);
    state.ok_or_else(|| format!("`{text}` is none of {}", LinkState::ALL.map(LinkState::as_str).join(", ")))
}

fn read_cursor(text: &str, sort: LinkSort, is_descending: bool) -> Result<LinkCursor, String> {
    let cursor: LinkCursor = cursor::decode(text)?;
    let has_text = matches!(cursor.value, CursorValue::Text(_));
    if cursor.sort != sort
        || cursor.is_descending != is_descending
        || has_text != (sort == LinkSort::ShortCode)
    {
        return Err("the cursor belongs to a list in another order".to_owned());
    }
    if let CursorValue::Text(text) = &cursor.value
        && text.parse::<ShortCode>().is_err()
    {
        return Err("this is not a cursor of this list".to_owned());
    }
    Ok(cursor)
}
