//! Stored clicks one by one.

use async_trait::async_trait;
use sqlx::{QueryBuilder, Sqlite};
use uuid::Uuid;
use vayro_core::analytics::ClickScope;
use vayro_core::click::ClickClass;
use vayro_core::event::{ClickEvent, EVENTS_MAX, EventOrder};
use vayro_core::ids::{ClickId, DomainId, LinkId, WorkspaceId};
use vayro_core::ports::{EventStore, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::analytics::{push_scope, push_time};
use crate::database::SqliteStores;
use crate::error::store_error;
use crate::row::{bad, instant, parsed};

/// Every column of [`EventRow`], from clicks `c`, their links `l` and domains `d`. Nothing about visitors.
const SELECT_EVENTS: &str = "SELECT c.id, c.timestamp, c.link_id, l.short_code, l.domain_id, d.host, c.class,
        COALESCE(c.bot, '') AS bot, COALESCE(c.user_agent, '') AS user_agent, COALESCE(c.country_code, '') AS country,
        COALESCE(c.region, '') AS region, COALESCE(c.city, '') AS city,
        COALESCE(c.device_type, '') AS device, COALESCE(c.browser, '') AS browser,
        COALESCE(c.os, '') AS os, COALESCE(c.language, '') AS language,
        COALESCE(c.referer_host, '') AS referrer, COALESCE(c.referer, '') AS referrer_url,
        COALESCE(c.ip_address, '') AS ip_address, COALESCE(c.trigger, '') AS trigger,
        COALESCE(c.utm_source, '') AS utm_source, COALESCE(c.utm_medium, '') AS utm_medium,
        COALESCE(c.utm_campaign, '') AS utm_campaign, COALESCE(c.utm_term, '') AS utm_term,
        COALESCE(c.utm_content, '') AS utm_content FROM ";

const JOIN_LINKS: &str = " JOIN links l ON l.id = c.link_id JOIN domains d ON d.id = l.domain_id ";

#[derive(sqlx::FromRow)]
struct EventRow {
    id: Uuid,
    timestamp: i64,
    link_id: Uuid,
    short_code: String,
    domain_id: Uuid,
    host: String,
    class: String,
    bot: String,
    user_agent: String,
    country: String,
    region: String,
    city: String,
    device: String,
    browser: String,
    os: String,
    language: String,
    referrer: String,
    referrer_url: String,
    ip_address: String,
    trigger: String,
    utm_source: String,
    utm_medium: String,
    utm_campaign: String,
    utm_term: String,
    utm_content: String,
}

impl TryFrom<EventRow> for ClickEvent {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self, StoreError> {
        let is_default = DomainId::from_uuid(row.domain_id) == DomainId::DEFAULT;
        let class = ClickClass::ALL.into_iter().find(|class| class.as_str() == row.class);
        Ok(Self {
            id: ClickId::from_uuid(row.id),
            timestamp: instant(row.timestamp, "click_events.timestamp")?,
            link_id: LinkId::from_uuid(row.link_id),
            short_code: row.short_code,
            domain: if is_default { None } else { Some(parsed(&row.host, "domains.host")?) },
            class: class.ok_or_else(|| bad("click_events.class"))?,
            bot: row.bot,
            user_agent: row.user_agent,
            country: row.country,
            region: row.region,
            city: row.city,
            device: row.device,
            browser: row.browser,
            os: row.os,
            language: row.language,
            referrer: row.referrer,
            referrer_url: row.referrer_url,
            ip_address: row.ip_address,
            trigger: row.trigger,
            utm_source: row.utm_source,
            utm_medium: row.utm_medium,
            utm_campaign: row.utm_campaign,
            utm_term: row.utm_term,
            utm_content: row.utm_content,
        })
    }
}

fn events(rows: Vec<EventRow>) -> Result<Vec<ClickEvent>, StoreError> {
    rows.into_iter().map(ClickEvent::try_from).collect()
}

/// A page is found in the index of clicks first; links are looked up for its rows only.
fn page_query(
    scope: &ClickScope,
    order: EventOrder,
    after: Option<ClickId>,
    max: u16,
) -> QueryBuilder<Sqlite> {
    let (beyond, direction) = match order {
        EventOrder::NewestFirst => ("<", " DESC"),
        EventOrder::OldestFirst => (">", ""),
    };
    let mut query = QueryBuilder::new(SELECT_EVENTS);
    query.push("(SELECT c.* FROM click_events c WHERE ");
    push_scope(&mut query, scope);
    push_time(&mut query, scope);
    if let Some(after) = after {
        query.push(" AND c.id ").push(beyond).push(" ").push_bind(after.as_uuid());
        // Ids are in the order of time; the index knows the time.
        if let Some(at) = after.timestamp() {
            query.push(" AND c.timestamp ").push(beyond).push("= ").push_bind(at.as_micros());
        }
    }
    query.push(" ORDER BY c.timestamp").push(direction).push(", c.id").push(direction);
    query.push(" LIMIT ").push_bind(max.min(EVENTS_MAX)).push(") AS c");
    query.push(JOIN_LINKS).push("ORDER BY c.timestamp").push(direction).push(", c.id").push(direction);
    query
}

#[async_trait]
impl EventStore for SqliteStores {
    async fn events(
        &self,
        scope: &ClickScope,
        order: EventOrder,
        after: Option<ClickId>,
        max: u16,
    ) -> Result<Vec<ClickEvent>, StoreError> {
        let mut query = page_query(scope, order, after, max);
        events(query.build_query_as().fetch_all(&self.readers).await.map_err(store_error)?)
    }

    async fn recent(
        &self,
        workspace_id: WorkspaceId,
        from: Timestamp,
        max: u32,
    ) -> Result<Vec<ClickId>, StoreError> {
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "SELECT id FROM click_events WHERE workspace_id = ?1 AND timestamp >= ?2
             ORDER BY timestamp DESC, id DESC LIMIT ?3",
        )
        .bind(workspace_id.as_uuid())
        .bind(from.as_micros())
        .bind(max)
        .fetch_all(&self.readers)
        .await
        .map_err(store_error)?;
        Ok(ids.into_iter().map(ClickId::from_uuid).collect())
    }

    async fn find(&self, workspace_id: WorkspaceId, ids: &[ClickId]) -> Result<Vec<ClickEvent>, StoreError> {
        let mut wanted: Vec<Uuid> = ids.iter().map(ClickId::as_uuid).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.truncate(usize::from(EVENTS_MAX));
        let mut query = QueryBuilder::new(SELECT_EVENTS);
        query.push("click_events c").push(JOIN_LINKS);
        query.push("WHERE c.workspace_id = ").push_bind(workspace_id.as_uuid()).push(" AND c.id IN (");
        let mut values = query.separated(", ");
        for id in wanted {
            values.push_bind(id);
        }
        // The plus keeps SQLite from reading the whole workspace in order of time instead.
        query.push(") ORDER BY +c.timestamp, c.id");
        // The number of ids differs from call to call; keeping each statement would push out others.
        let query = query.build_query_as().persistent(false);
        events(query.fetch_all(&self.readers).await.map_err(store_error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn plan(stores: &SqliteStores, query: &QueryBuilder<Sqlite>) -> String {
        let steps: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", query.sql().as_str())))
                .fetch_all(&stores.readers)
                .await
                .expect("SQLite has a plan");
        steps.into_iter().map(|(.., step)| step + "\n").collect()
    }

    #[tokio::test]
    async fn a_page_reads_one_range_of_an_index_and_sorts_no_more_than_a_millisecond() {
        let directory = tempfile::tempdir().expect("a directory for the test");
        let stores = SqliteStores::open(directory.path().join("vayro.db")).await.expect("a new file opens");
        stores.migrate().await.expect("a new file migrates");
        let at = Timestamp::from_micros(1_778_414_400_000_000).expect("in range");
        let after = Some(ClickId::from_parts(at, [0; 10]));
        for (link_id, index) in [
            (None, "idx_clicks_workspace_time (workspace_id=? AND timestamp>? AND timestamp<?)"),
            (
                Some(LinkId::from_uuid(Uuid::from_u128(2))),
                "idx_clicks_link_time (link_id=? AND timestamp>? AND timestamp<?)",
            ),
        ] {
            let scope = ClickScope {
                workspace_id: WorkspaceId::from_uuid(Uuid::from_u128(1)),
                link_id,
                start: Timestamp::EPOCH,
                end: at,
                classes: ClickClass::ALL.to_vec(),
                filters: Vec::new(),
            };
            for order in [EventOrder::NewestFirst, EventOrder::OldestFirst] {
                let plan = plan(&stores, &page_query(&scope, order, after, 100)).await;
                assert!(plan.contains(&format!("SEARCH c USING INDEX {index}")), "{plan}");
                assert!(plan.contains("USE TEMP B-TREE FOR LAST TERM OF ORDER BY"), "{plan}");
            }
        }
    }
}
