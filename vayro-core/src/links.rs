//! Use cases of links that are more than one call of a store.

use crate::change::ChangeContext;
use crate::ids::{DomainId, LinkId, UserId, WorkspaceId};
use crate::link::{Link, NewLink, RedirectStatus};
use crate::ports::{LinkStore, StoreError};
use crate::short_code::ShortCode;
use crate::target::TargetUrl;
use crate::timestamp::Timestamp;

/// Tries at each length before a generated code grows by one character.
pub const TRIES_PER_LENGTH: usize = 3;

/// What somebody asks for when creating a link.
#[derive(Clone, Debug)]
pub struct CreateLink {
    /// Who will own it.
    pub workspace_id: WorkspaceId,
    /// Who creates it.
    pub user_id: UserId,
    /// The domain it will live on; the caller has checked that the workspace may use it.
    pub domain_id: DomainId,
    /// Its path part; `None` lets us choose.
    pub short_code: Option<ShortCode>,
    /// Where it leads.
    pub target_url: TargetUrl,
    /// A name for people.
    pub title: String,
    /// The status of its redirect.
    pub redirect_status: RedirectStatus,
    /// Whether it is switched on.
    pub is_active: bool,
    /// When it stops redirecting.
    pub expires_at: Option<Timestamp>,
}

/// Everything creating a link can refuse.
#[derive(Debug, thiserror::Error)]
pub enum CreateLinkError {
    /// Somebody has it, perhaps as a deleted link that can still be restored.
    #[error("short code `{0}` is already taken on this domain")]
    Taken(ShortCode),
    /// The product keeps it for itself.
    #[error("short code `{0}` is reserved")]
    Reserved(ShortCode),
    /// No free code was found even at the greatest length.
    #[error("no free short code was found")]
    Exhausted,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Stores a new link, choosing a code if none is given: random, free of look-alikes, longer on collision.
///
/// # Errors
///
/// [`CreateLinkError`] says why not; nothing is stored then.
pub async fn create_link(
    store: &dyn LinkStore,
    context: &ChangeContext,
    request: CreateLink,
    rng: &mut (dyn rand::RngCore + Send),
) -> Result<Link, CreateLinkError> {
    let id = LinkId::generate(context.at, rng);
    let new_link = |short_code: ShortCode| NewLink {
        id,
        workspace_id: request.workspace_id,
        user_id: request.user_id,
        domain_id: request.domain_id,
        short_code,
        target_url: request.target_url.clone(),
        title: request.title.clone(),
        redirect_status: request.redirect_status,
        is_active: request.is_active,
        expires_at: request.expires_at,
    };
    if let Some(short_code) = &request.short_code {
        if short_code.is_reserved() {
            return Err(CreateLinkError::Reserved(short_code.clone()));
        }
        return match store.insert(new_link(short_code.clone()), context).await {
            Err(StoreError::Conflict { constraint: LINK_CODE_CONSTRAINT }) => {
                Err(CreateLinkError::Taken(short_code.clone()))
            }
            other => Ok(other?),
        };
    }
    for len in ShortCode::GENERATED_LEN_MIN..=ShortCode::GENERATED_LEN_MAX {
        for _ in 0..TRIES_PER_LENGTH {
            let short_code = ShortCode::generate(len, rng);
            if short_code.is_reserved() {
                continue;
            }
            match store.insert(new_link(short_code), context).await {
                Err(StoreError::Conflict { constraint: LINK_CODE_CONSTRAINT }) => {}
                other => return Ok(other?),
            }
        }
    }
    Err(CreateLinkError::Exhausted)
}

/// The name adapters give the rule that a short code is unique on its domain.
pub const LINK_CODE_CONSTRAINT: &str = "link_code";
