//! What every adapter must do, on PostgreSQL.

macro_rules! suites {
    ($($suite:ident => $contract:ident),+ $(,)?) => {$(
        mod $suite {
            vayro_core::$contract!(crate::fixture::fixture());
        }
    )+};
}

suites! {
    amendments => amendment_store_contract,
    analytics => analytics_store_contract,
    audit => audit_store_contract,
    certificates => certificate_store_contract,
    clicks => click_store_contract,
    domains => domain_store_contract,
    events => event_store_contract,
    idempotency => idempotency_store_contract,
    keys => key_store_contract,
    ledger => ledger_store_contract,
    link_lists => link_list_contract,
    links => link_store_contract,
    lookup => link_lookup_contract,
    outbox => outbox_contract,
    parts => part_contract,
    purges => purge_store_contract,
    retention => retention_store_contract,
    rollups => rollup_store_contract,
    sessions => session_store_contract,
    shares => share_store_contract,
    users => user_store_contract,
    weeks => week_contract,
    workspaces => workspace_store_contract,
}
