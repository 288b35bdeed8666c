//! What is in the database, asked past the product.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sqlx::{Connection as _, PgConnection, SqliteConnection};

/// The database of the system under test.
#[derive(Clone, Debug)]
pub(super) enum Rows {
    /// PostgreSQL at this address.
    Postgres(String),
    /// SQLite in this file.
    Sqlite(PathBuf),
}

/// Sums that must equal what the raw rows say: a name, and a query for the number of differences.
const SUMS: &[(&str, &str)] = &[(
    "link_totals",
    "SELECT count(*) FROM
         (SELECT link_id, count(*) AS clicks, max(timestamp) AS last FROM click_events
          WHERE class = 'counted' GROUP BY link_id) AS raw
     FULL JOIN link_totals ON link_totals.link_id = raw.link_id
     WHERE coalesce(raw.clicks, 0) <> coalesce(link_totals.clicks, 0) OR raw.last <> link_totals.last_click_at",
)];

const TOKENS: &str = "SELECT coalesce(utm_content, ''), count(*) FROM click_events GROUP BY utm_content";
const REPEATED_IDS: &str = "SELECT count(*) - count(DISTINCT id) FROM click_events";

impl Rows {
    async fn pairs(&self, sql: &'static str) -> Result<Vec<(String, i64)>, sqlx::Error> {
        match self {
            Self::Postgres(url) => {
                sqlx::query_as(sql).fetch_all(&mut PgConnection::connect(url).await?).await
            }
            Self::Sqlite(path) => {
                let url = format!("sqlite:{}", path.display());
                sqlx::query_as(sql).fetch_all(&mut SqliteConnection::connect(&url).await?).await
            }
        }
    }

    async fn number(&self, sql: &'static str) -> Result<i64, sqlx::Error> {
        match self {
            Self::Postgres(url) => {
                sqlx::query_scalar(sql).fetch_one(&mut PgConnection::connect(url).await?).await
            }
            Self::Sqlite(path) => {
                let url = format!("sqlite:{}", path.display());
                sqlx::query_scalar(sql).fetch_one(&mut SqliteConnection::connect(&url).await?).await
            }
        }
    }

    /// Opens the embedded database.
    ///
    /// # Panics
    ///
    /// When it is another database, or cannot be opened.
    pub(super) async fn sqlite(&self) -> SqliteConnection {
        let Self::Sqlite(path) = self else { panic!("this is not the embedded set") };
        SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.expect("SQLite opens")
    }

    /// Returns how often each token is there.
    ///
    /// # Errors
    ///
    /// When the database does not answer.
    pub(super) async fn tokens(&self) -> Result<BTreeMap<String, i64>, sqlx::Error> {
        Ok(self.pairs(TOKENS).await?.into_iter().collect())
    }

    /// Returns how many rows have the id of another row.
    ///
    /// # Errors
    ///
    /// When the database does not answer.
    pub(super) async fn repeated_ids(&self) -> Result<i64, sqlx::Error> {
        self.number(REPEATED_IDS).await
    }

    /// Returns the names of the sums that differ from the rows, with the number of differences.
    ///
    /// # Errors
    ///
    /// When the database does not answer.
    pub(super) async fn wrong_sums(&self) -> Result<Vec<(&'static str, i64)>, sqlx::Error> {
        let mut wrong = Vec::new();
        for (name, sql) in SUMS {
            let differences = self.number(sql).await?;
            if differences != 0 {
                wrong.push((*name, differences));
            }
        }
        Ok(wrong)
    }
}
