//! Pages of lists.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vayro_core::page::PageSize;

use crate::extract::Query;

/// Items in order, and where the next page starts.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Page)]
pub(crate) struct PageView<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// Pass it as `cursor` to get the next page; `null` on the last one. Opaque.
    #[schema(required = true)]
    pub(crate) next: Option<String>,
}

/// Takes `limit`, the number of items of a page.
pub(crate) fn take_limit(query: &mut Query) -> PageSize {
    let read = |text: &str| {
        let size = text.parse().ok().and_then(PageSize::new);
        size.ok_or_else(|| format!("`{text}` is not a number from 1 to {}", PageSize::MAX))
    };
    query.take_with("limit", read).unwrap_or(PageSize::DEFAULT)
}
