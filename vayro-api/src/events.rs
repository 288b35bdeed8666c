//! `/v1/events`.

mod view;

use axum::extract::State;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vayro_core::access::Action;
use vayro_core::analytics::ClickScope;
use vayro_core::click::ClickClass;
use vayro_core::event::EventOrder;
use vayro_core::ids::{ClickId, LinkId, WorkspaceId};

use crate::analytics::selection::{self, Selection, Subject};
use crate::auth::Access;
use crate::cursor;
use crate::extract::{Json, Query};
use crate::page::{PageView, take_limit};
use crate::problem::{Code, FieldError, Problem, ProblemBody};
use crate::state::{ApiState, SharedState};

pub(crate) use view::EventView;
#[cfg(test)]
pub(crate) use view::tests::sample;

/// The routes.
pub(crate) fn router() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new().routes(routes!(list_events))
}

/// Which clicks are asked for one by one: those of statistics, of all classes unless some are named.
pub(crate) struct Asked {
    link_id: Option<LinkId>,
    selection: Selection,
}

impl Asked {
    /// Takes the parameters.
    pub(crate) fn take(query: &mut Query) -> Self {
        let link_id = take_link(query);
        Self { link_id, selection: Selection::take(query, &ClickClass::ALL) }
    }

    /// Returns the clicks that are meant now.
    pub(crate) async fn scope(
        self,
        workspace_id: WorkspaceId,
        state: &ApiState,
    ) -> Result<ClickScope, Problem> {
        let subject = Subject::find(workspace_id, self.link_id, state).await?;
        let scope = self.selection.scope(&subject, state).await?;
        if scope.end <= scope.start {
            let error = FieldError::parameter("end", "the end must lie after the start");
            return Err(Problem::of_fields(Code::InvalidQuery, vec![error]));
        }
        Ok(scope)
    }

    /// Describes the parameters.
    pub(crate) fn parameters() -> impl Iterator<Item = Parameter> {
        let link = selection::parameter("link_id", "Only clicks of this link".to_owned());
        std::iter::once(link).chain(selection::parameters("all"))
    }
}

/// Takes the link that a request is about.
pub(crate) fn take_link(query: &mut Query) -> Option<LinkId> {
    query.take_with("link_id", |text| text.parse().map_err(|_| format!("`{text}` is not the id of a link")))
}

struct Parameters;

impl IntoParams for Parameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let own =
            [("limit", "Items of a page, 1 to 200, 50 if left out"), ("cursor", "`next` of the page before")];
        own.into_iter()
            .map(|(name, text)| selection::parameter(name, text.to_owned()))
            .chain(Asked::parameters())
            .collect()
    }
}

/// List clicks
///
/// One by one, newest first, of all classes unless `classes` names some. Visitors are not told apart, and of
/// an address only the truncated part is known.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "analytics",
    params(Parameters),
    responses(
        (status = 200, description = "A page of clicks", body = PageView<EventView>),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn list_events(
    State(state): State<SharedState>,
    access: Access,
    mut query: Query,
) -> Result<Json<PageView<EventView>>, Problem> {
    let workspace_id = access.require(Action::AnalyticsRead)?;
    let asked = Asked::take(&mut query);
    let after = query.take_with("cursor", read_cursor);
    let size = take_limit(&mut query);
    query.finish()?;
    let scope = asked.scope(workspace_id, &state).await?;
    // One more than wanted tells whether there is another page.
    let wanted = usize::from(size.get());
    let mut events =
        state.ports.events.events(&scope, EventOrder::NewestFirst, after, size.get() + 1).await?;
    let has_more = events.len() > wanted;
    events.truncate(wanted);
    let last = events.last().filter(|_| has_more);
    let next = last.and_then(|event| cursor::encode(&event.id));
    let items = events.into_iter().map(|event| EventView::new(event, &state.settings)).collect();
    Ok(Json(PageView { items, next }))
}

fn read_cursor(text: &str) -> Result<ClickId, String> {
    let id: ClickId = cursor::decode(text)?;
    id.timestamp().map(|_| id).ok_or_else(|| "this is not a cursor of this list".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_the_id_of_a_click() {
        let at = "2026-05-10T12:00:00Z".parse().expect("valid");
        let id = ClickId::from_parts(at, [7; 10]);
        assert_eq!(read_cursor(&cursor::encode(&id).expect("serializes")), Ok(id));
        let no_time = ClickId::from_uuid(uuid::Uuid::from_u128(1));
        for text in [cursor::encode(&no_time).expect("serializes"), "nonsense".to_owned()] {
            assert!(read_cursor(&text).is_err(), "{text}");
        }
    }
}
