//! The outbox: written inside other stores' transactions, drained by whoever is alive.

use async_trait::async_trait;
use sqlx::PgConnection;
use sqlx::types::Json;
use vayro_core::outbox::{OutboxEntry, OutboxEvent};
use vayro_core::ports::{Outbox, StoreError};
use vayro_core::timestamp::Timestamp;

use crate::database::PgStores;
use crate::error::Failure;
use crate::instant::Instant;

/// Writes an event; `connection` is inside the transaction of the change, after its row was locked, so
/// that the events of one link are in the order of its changes.
pub(crate) async fn announce(
    connection: &mut PgConnection,
    event: &OutboxEvent,
    at: Timestamp,
) -> Result<(), Failure> {
    sqlx::query("INSERT INTO outbox (event, created_at) VALUES ($1, $2)")
        .bind(Json(event))
        .bind(Instant(at))
        .execute(connection)
        .await?;
    Ok(())
}

#[async_trait]
impl Outbox for PgStores {
    async fn pending(&self, max: u16) -> Result<Vec<OutboxEntry>, StoreError> {
        self.within(async |connection| {
            let rows: Vec<(i64, Json<OutboxEvent>)> =
                sqlx::query_as("SELECT sequence, event FROM outbox ORDER BY sequence LIMIT $1")
                    .bind(i64::from(max))
                    .fetch_all(connection)
                    .await?;
            Ok(rows.into_iter().map(|(sequence, event)| OutboxEntry { sequence, event: event.0 }).collect())
        })
        .await
    }

    async fn remove(&self, sequences: &[i64]) -> Result<(), StoreError> {
        self.within(async |connection| {
            sqlx::query("DELETE FROM outbox WHERE sequence = ANY($1)")
                .bind(sequences)
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
    }
}
