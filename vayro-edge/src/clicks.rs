//! Clicks on their way out of the redirect path.
//!
//! A request puts its click into a bounded ring and goes on; it never waits. One shipper on the outer
//! runtime empties the rings every few milliseconds and hands batches to the sink, one at a time, each after it was
//! counted in the ledger.

mod ledger;
mod rings;
mod shipper;

pub(crate) use ledger::{Ledger, Losses};
pub(crate) use rings::Rings;
pub(crate) use shipper::{Shipper, ship};

#[cfg(test)]
pub(crate) fn bare_click(id: vayro_core::ids::ClickId) -> vayro_core::click::Click {
    use vayro_core::ids::{LinkId, WorkspaceId};

    vayro_core::click::Click {
        id,
        link_id: LinkId::from_uuid(uuid::Uuid::nil()),
        workspace_id: WorkspaceId::from_uuid(uuid::Uuid::nil()),
        domain: "".into(),
        ip: None,
        user_agent: "".into(),
        referer: "".into(),
        language: "".into(),
        query: "".into(),
        method: vayro_core::click::ClickMethod::Get,
        is_prefetch: false,
        is_private: false,
    }
}
