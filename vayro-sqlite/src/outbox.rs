//! Events that caches have not been told about yet.

use async_trait::async_trait;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use vayro_core::outbox::{OutboxEntry, OutboxEvent};
use vayro_core::ports::{Outbox, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::database::SqliteStores;
use crate::error::{internal, store_error};
use crate::row::bad_because;

/// Sequences named in one statement.
const REMOVE_MAX: usize = 500;

/// Adds an event, in the transaction of the change it tells of.
pub(crate) async fn announce(
    connection: &mut SqliteConnection,
    event: &OutboxEvent,
    at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO outbox (event, created_at) VALUES (?1, ?2)")
        .bind(serde_json::to_string(event).map_err(internal)?)
        .bind(at.as_micros())
        .execute(connection)
        .await
        .map(drop)
        .map_err(store_error)
}

#[async_trait]
impl Outbox for SqliteStores {
    async fn pending(&self, max: u16) -> Result<Vec<OutboxEntry>, StoreError> {
        let rows: Vec<(i64, String)> =
            sqlx::query_as("SELECT sequence, event FROM outbox ORDER BY sequence LIMIT ?1")
                .bind(max)
                .fetch_all(&self.readers)
                .await
                .map_err(store_error)?;
        rows.into_iter()
            .map(|(sequence, event)| {
                let event =
                    serde_json::from_str(&event).map_err(|error| bad_because("outbox.event", error))?;
                Ok(OutboxEntry { sequence, event })
            })
            .collect()
    }

    async fn remove(&self, sequences: &[i64]) -> Result<(), StoreError> {
        for sequences in sequences.chunks(REMOVE_MAX) {
            let mut query = QueryBuilder::<Sqlite>::new("DELETE FROM outbox WHERE sequence IN (");
            let mut list = query.separated(", ");
            for sequence in sequences {
                list.push_bind(sequence);
            }
            query.push(")");
            query.build().persistent(false).execute(&self.writer).await.map_err(store_error)?;
        }
        Ok(())
    }
}
