//! A link as clients see it.

use http::{HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use vayro_core::link::{Link, LinkState, RedirectStatus};
use vayro_core::timestamp::Timestamp;

use crate::settings::ApiSettings;
use crate::state::ApiState;

/// A short link.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Link)]
pub(crate) struct LinkView {
    /// Its identity.
    pub(crate) id: Uuid,
    /// The address to share.
    #[schema(example = "https://vay.ro/launch")]
    pub(crate) short_url: String,
    /// Its path part, unique on its domain.
    #[schema(example = "launch")]
    pub(crate) short_code: String,
    /// The host it lives on.
    #[schema(example = "vay.ro")]
    pub(crate) domain: String,
    /// Where it leads.
    #[schema(example = "https://example.com/page")]
    pub(crate) target_url: String,
    /// A name for people, empty if none.
    pub(crate) title: String,
    /// The status of its redirect.
    #[schema(schema_with = crate::schema::redirect_status)]
    pub(crate) redirect_status: RedirectStatus,
    /// What it is now.
    #[schema(schema_with = crate::schema::link_state)]
    pub(crate) state: LinkState,
    /// Whether its owner has it switched on.
    pub(crate) is_active: bool,
    /// When it stops redirecting.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    pub(crate) expires_at: Option<Timestamp>,
    /// When it was archived.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    pub(crate) archived_at: Option<Timestamp>,
    /// When it was deleted; it can be restored for 30 days.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    pub(crate) deleted_at: Option<Timestamp>,
    /// Counted clicks so far.
    pub(crate) clicks: i64,
    /// When the newest counted click was accepted.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    pub(crate) last_click_at: Option<Timestamp>,
    /// Counts its changes from 1; also the `ETag`.
    pub(crate) version: i32,
    /// Who owns it.
    pub(crate) workspace_id: Uuid,
    /// Who created it.
    pub(crate) user_id: Uuid,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) updated_at: Timestamp,
}

impl LinkView {
    /// Shows a link as it is now.
    pub(crate) fn new(link: Link, state: &ApiState) -> Self {
        Self::at(link, &state.settings, state.clock.now())
    }

    fn at(link: Link, settings: &ApiSettings, now: Timestamp) -> Self {
        let default_host = settings.short_url.host_str().unwrap_or_default();
        Self {
            id: link.id.as_uuid(),
            short_url: settings.link_address(link.domain.as_ref(), link.short_code.as_str()),
            short_code: link.short_code.to_string(),
            domain: link.domain.as_ref().map_or_else(|| default_host.to_owned(), ToString::to_string),
            target_url: link.target_url.to_string(),
            redirect_status: link.redirect_status,
            state: link.state(now),
            is_active: link.is_active,
            expires_at: link.expires_at,
            archived_at: link.archived_at,
            deleted_at: link.deleted_at,
            clicks: link.clicks,
            last_click_at: link.last_click_at,
            version: link.version,
            workspace_id: link.workspace_id.as_uuid(),
            user_id: link.user_id.as_uuid(),
            created_at: link.created_at,
            updated_at: link.updated_at,
            title: link.title,
        }
    }

    /// Returns the `ETag` header. It stands for what people set, not for the counters.
    pub(crate) fn etag(&self) -> [(header::HeaderName, HeaderValue); 1] {
        let value = HeaderValue::from_str(&format!("\"{}\"", self.version));
        [(header::ETAG, value.expect("a number in quotes fits a header"))]
    }
}
