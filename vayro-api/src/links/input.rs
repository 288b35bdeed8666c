//! Links as clients write them; every mistake of a body is found at once.

use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;
use vayro_core::host::Host;
use vayro_core::ids::{DomainId, WorkspaceId};
use vayro_core::link::{LinkPatch, RedirectStatus, TITLE_LEN_MAX};
use vayro_core::short_code::ShortCode;
use vayro_core::target::TargetUrl;
use vayro_core::timestamp::Timestamp;

use crate::problem::{Code, FieldError, Problem};
use crate::state::ApiState;
use crate::text::{collect, optional_name};

/// A link to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateLink {
    /// Where it leads: an absolute `http` or `https` address of at most 2,048 bytes.
    #[schema(example = "https://example.com/page")]
    target_url: String,
    /// Its path part: 1 to 50 letters, digits, `-` and `_`. Left out, a free one is chosen.
    short_code: Option<String>,
    /// The host it lives on; left out, the instance's default domain.
    domain: Option<String>,
    /// A name for people, at most 200 bytes.
    title: Option<String>,
    /// The status of its redirect, 302 if left out.
    #[schema(schema_with = crate::schema::redirect_status, required = false)]
    redirect_status: Option<u16>,
    /// Whether it is switched on, true if left out.
    is_active: Option<bool>,
    /// When it stops redirecting.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<String>,
}

/// A checked [`CreateLink`].
#[derive(Debug)]
pub(super) struct CheckedCreate {
    pub(super) target_url: TargetUrl,
    pub(super) short_code: Option<ShortCode>,
    pub(super) domain: Option<Host>,
    pub(super) title: String,
    pub(super) redirect_status: RedirectStatus,
    pub(super) is_active: bool,
    pub(super) expires_at: Option<Timestamp>,
}

impl CreateLink {
    /// Checks everything that can be checked without asking the database.
    pub(super) fn check(self, short_hosts: &[Host]) -> Result<CheckedCreate, Problem> {
        let mut errors = Vec::new();
        let target_url = collect(target(&self.target_url, short_hosts), &mut errors);
        let short_code = self.short_code.and_then(|text| collect(short_code(&text), &mut errors));
        let domain = self.domain.and_then(|text| collect(parse("/domain", &text), &mut errors));
        let title = self.title.as_deref().unwrap_or_default();
        let title = collect(optional_name("/title", title, TITLE_LEN_MAX), &mut errors);
        let redirect_status =
            self.redirect_status.and_then(|code| collect(redirect_status(code), &mut errors));
        let expires_at = self.expires_at.and_then(|text| collect(parse("/expires_at", &text), &mut errors));
        match (target_url, title) {
            (Some(target_url), Some(title)) if errors.is_empty() => Ok(CheckedCreate {
                target_url,
                short_code,
                domain,
                title,
                redirect_status: redirect_status.unwrap_or_default(),
                is_active: self.is_active.unwrap_or(true),
                expires_at,
            }),
            _ => Err(Problem::of_fields(Code::InvalidFields, errors)),
        }
    }
}

/// A change of a link; members left out stay as they are.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "left out, `null` and a value are three things")]
pub(crate) struct UpdateLink {
    /// The version the change is meant for, like `If-Match`; another one is refused with 412.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = i32, required = false)]
    pub(super) version: Option<i32>,
    /// A new target.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false)]
    target_url: Option<String>,
    /// A new title; `null` clears it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    title: Option<Option<String>>,
    /// A new redirect status.
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = crate::schema::redirect_status, required = false)]
    redirect_status: Option<u16>,
    /// On or off.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool, required = false)]
    is_active: Option<bool>,
    /// A new expiry; `null` clears it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Option<String>>,
    /// Into the archive or out of it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool, required = false)]
    is_archived: Option<bool>,
}

impl UpdateLink {
    /// Checks the change.
    pub(super) fn check(self, short_hosts: &[Host]) -> Result<LinkPatch, Problem> {
        let mut errors = Vec::new();
        let patch = LinkPatch {
            target_url: self.target_url.and_then(|text| collect(target(&text, short_hosts), &mut errors)),
            title: self.title.and_then(|text| {
                collect(optional_name("/title", &text.unwrap_or_default(), TITLE_LEN_MAX), &mut errors)
            }),
            redirect_status: self
                .redirect_status
                .and_then(|code| collect(redirect_status(code), &mut errors)),
            is_active: self.is_active,
            expires_at: match self.expires_at {
                Some(Some(text)) => collect(parse("/expires_at", &text), &mut errors).map(Some),
                Some(None) => Some(None),
                None => None,
            },
            is_archived: self.is_archived,
        };
        if errors.is_empty() { Ok(patch) } else { Err(Problem::of_fields(Code::InvalidFields, errors)) }
    }
}

/// Reads a member that is there. A type that knows no `null` refuses it, others keep it apart from a
/// member that was left out.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Finds the domain a link shall live on; the default one if none is named.
pub(super) async fn domain_of(
    workspace: WorkspaceId,
    host: Option<&Host>,
    state: &ApiState,
) -> Result<Option<DomainId>, Problem> {
    let Some(host) = host else { return Ok(Some(DomainId::DEFAULT)) };
    if state.settings.short_host().as_ref() == Some(host) {
        return Ok(Some(DomainId::DEFAULT));
    }
    Ok(state.ports.domains.find_by_host(workspace, host).await?.map(|domain| domain.id))
}

fn target(text: &str, short_hosts: &[Host]) -> Result<TargetUrl, FieldError> {
    TargetUrl::parse(text, short_hosts).map_err(|error| FieldError::field("/target_url", error.to_string()))
}

fn short_code(text: &str) -> Result<ShortCode, FieldError> {
    parse("/short_code", text)
}

fn redirect_status(code: u16) -> Result<RedirectStatus, FieldError> {
    RedirectStatus::try_from(code).map_err(|error| FieldError::field("/redirect_status", error.to_string()))
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(pointer: &str, text: &str) -> Result<T, FieldError> {
    text.parse().map_err(|error: T::Err| FieldError::field(pointer, error.to_string()))
}
