//! Every suite of `vayro_core::contract` that is about a database.

mod users {
    vayro_core::user_store_contract!(crate::fixture::fixture());
}
mod workspaces {
    vayro_core::workspace_store_contract!(crate::fixture::fixture());
}
mod domains {
    vayro_core::domain_store_contract!(crate::fixture::fixture());
}
mod keys {
    vayro_core::key_store_contract!(crate::fixture::fixture());
}
mod rollups {
    vayro_core::rollup_store_contract!(crate::fixture::fixture());
}
mod parts {
    vayro_core::part_contract!(crate::fixture::fixture());
}
mod weeks {
    vayro_core::week_contract!(crate::fixture::fixture());
}

mod sessions {
    vayro_core::session_store_contract!(crate::fixture::fixture());
}
mod audit {
    vayro_core::audit_store_contract!(crate::fixture::fixture());
}
mod links {
    vayro_core::link_store_contract!(crate::fixture::fixture());
}
mod link_lists {
    vayro_core::link_list_contract!(crate::fixture::fixture());
}
mod lookup {
    vayro_core::link_lookup_contract!(crate::fixture::fixture());
}
mod outbox {
    vayro_core::outbox_contract!(crate::fixture::fixture());
}
mod certificates {
    vayro_core::certificate_store_contract!(crate::fixture::fixture());
}
mod clicks {
    vayro_core::click_store_contract!(crate::fixture::fixture());
}
mod ledger {
    vayro_core::ledger_store_contract!(crate::fixture::fixture());
}
mod purges {
    vayro_core::purge_store_contract!(crate::fixture::fixture());
}
mod retention {
    vayro_core::retention_store_contract!(crate::fixture::fixture());
}
mod analytics {
    vayro_core::analytics_store_contract!(crate::fixture::fixture());
}
mod events {
    vayro_core::event_store_contract!(crate::fixture::fixture());
}
mod shares {
    vayro_core::share_store_contract!(crate::fixture::fixture());
}
mod idempotency {
    vayro_core::idempotency_store_contract!(crate::fixture::fixture());
}
mod amendments {
    vayro_core::amendment_store_contract!(crate::fixture::fixture());
}
