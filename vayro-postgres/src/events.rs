//! Stored clicks one by one.

use async_trait::async_trait;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;
use vayro_core::analytics::ClickScope;
use vayro_core::click::ClickClass;
use vayro_core::event::{ClickEvent, EVENTS_MAX, EventOrder};
use vayro_core::ids::{ClickId, DomainId, LinkId, WorkspaceId};
use vayro_core::ports::{EventStore, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::analytics::push_scope;
use crate::database::PgStores;
use crate::instant::Instant;
use crate::row::{bad, parsed};

/// Every column of [`EventRow`], from clicks `c`, their links `l` and domains `d`. Nothing about visitors.
const SELECT_EVENTS: &str = "SELECT c.id, c.timestamp, c.link_id, l.short_code, l.domain_id, d.host, c.class,
        COALESCE(c.bot, '') AS bot, COALESCE(c.user_agent, '') AS user_agent, COALESCE(c.country_code::text, '') AS country,
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
    timestamp: Instant,
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
            timestamp: row.timestamp.into(),
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
) -> QueryBuilder<Postgres> {
    let (beyond, direction) = match order {
        EventOrder::NewestFirst => ("<", " DESC"),
        EventOrder::OldestFirst => (">", ""),
    };
    let mut query = QueryBuilder::new(SELECT_EVENTS);
    query.push("(SELECT *");
    push_scope(&mut query, scope);
    if let Some(after) = after {
        query.push(" AND id ").push(beyond).push(" ").push_bind(after.as_uuid());
        // Ids are in the order of time; the index and the partitions know the time.
        if let Some(at) = after.timestamp() {
            query.push(" AND timestamp ").push(beyond).push("= ").push_bind(Instant(at));
        }
    }
    query.push(" ORDER BY timestamp").push(direction).push(", id").push(direction);
    query.push(" LIMIT ").push_bind(i64::from(max.min(EVENTS_MAX))).push(") AS c");
    query.push(JOIN_LINKS).push("ORDER BY c.timestamp").push(direction).push(", c.id").push(direction);
    query
}

#[async_trait]
impl EventStore for PgStores {
    async fn events(
        &self,
        scope: &ClickScope,
        order: EventOrder,
        after: Option<ClickId>,
        max: u16,
    ) -> Result<Vec<ClickEvent>, StoreError> {
        let mut query = page_query(scope, order, after, max);
        self.within(async |connection| {
            let rows: Vec<EventRow> = query.build_query_as().fetch_all(connection).await?;
            Ok(events(rows)?)
        })
        .await
    }

    async fn recent(
        &self,
        workspace_id: WorkspaceId,
        from: Timestamp,
        max: u32,
    ) -> Result<Vec<ClickId>, StoreError> {
        self.within(async |connection| {
            let ids: Vec<Uuid> = sqlx::query_scalar(
                "SELECT id FROM click_events WHERE workspace_id = $1 AND timestamp >= $2
                 ORDER BY timestamp DESC, id DESC LIMIT $3",
            )
            .bind(workspace_id.as_uuid())
            .bind(Instant(from))
            .bind(i64::from(max))
            .fetch_all(connection)
            .await?;
            Ok(ids.into_iter().map(ClickId::from_uuid).collect())
        })
        .await
    }

    async fn find(&self, workspace_id: WorkspaceId, ids: &[ClickId]) -> Result<Vec<ClickEvent>, StoreError> {
        // What carries no time is no click.
        let mut wanted: Vec<(ClickId, Timestamp)> =
            ids.iter().filter_map(|id| Some((*id, id.timestamp()?))).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.truncate(usize::from(EVENTS_MAX));
        let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { return Ok(Vec::new()) };
        let (first, last) = (Instant(first.1), Instant(last.1));
        let (ids, times): (Vec<Uuid>, Vec<Instant>) =
            wanted.iter().map(|(id, at)| (id.as_uuid(), Instant(*at))).unzip();
        let mut query = QueryBuilder::new(SELECT_EVENTS);
        query.push("unnest(").push_bind(ids).push("::uuid[], ").push_bind(times);
        query.push("::timestamptz[]) AS wanted (id, timestamp)");
        query.push(" JOIN click_events c ON c.id = wanted.id AND c.timestamp = wanted.timestamp");
        query.push(JOIN_LINKS).push("WHERE c.workspace_id = ").push_bind(workspace_id.as_uuid());
        // Only so that months without any of them are not looked at.
        query.push(" AND c.timestamp BETWEEN ").push_bind(first).push(" AND ").push_bind(last);
        query.push(" ORDER BY c.timestamp, c.id");
        self.within(async |connection| {
            let rows: Vec<EventRow> = query.build_query_as().fetch_all(connection).await?;
            Ok(events(rows)?)
        })
        .await
    }
}
