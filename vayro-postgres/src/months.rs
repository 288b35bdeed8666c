//! The monthly partitions of `click_events`.

use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use vayro_core::ports::StoreError;
use vayro_core::timestamp::Timestamp;

use crate::database::PgStores;
use crate::error::{Failure, internal};

/// Most months one call prepares: a guard against a clock gone wild.
const MONTHS_MAX: usize = 240;

/// Key of the advisory lock under which partitions are made: "vayrpart" in ASCII.
const LOCK_KEY: i64 = 0x7661_7972_7061_7274;

/// Somebody asked for more months than anybody needs.
#[derive(Debug, thiserror::Error)]
#[error("more than {MONTHS_MAX} months of partitions were asked for")]
struct TooManyMonths;

/// A UTC month and the name of its partition.
#[derive(Debug, PartialEq, Eq)]
struct Month {
    first: Date,
    name: String,
}

impl Month {
    fn new(first: Date) -> Self {
        Self { first, name: format!("click_events_{:04}{:02}", first.year(), first.month()) }
    }

    fn next(&self) -> Self {
        Self::new(self.first.saturating_add(1.month()))
    }
}

fn month_of(at: Timestamp) -> Month {
    Month::new(at.to_jiff().to_zoned(TimeZone::UTC).date().first_of_month())
}

/// Returns the months from that of `from` to that of `to`.
fn months(from: Timestamp, to: Timestamp) -> Result<Vec<Month>, StoreError> {
    let last = month_of(to);
    let mut month = month_of(from);
    let mut months = Vec::new();
    while month.first <= last.first {
        if months.len() == MONTHS_MAX {
            return Err(internal(TooManyMonths));
        }
        let next = month.next();
        if next.first == month.first {
            // The calendar ends here.
            break;
        }
        months.push(std::mem::replace(&mut month, next));
    }
    Ok(months)
}

/// Makes the partitions that are missing.
pub(crate) async fn ensure(stores: &PgStores, from: Timestamp, to: Timestamp) -> Result<(), StoreError> {
    let mut months = months(from, to)?;
    let existing = stores.within(async |connection| find(connection, &months).await).await?;
    months.retain(|month| !existing.contains(&month.name));
    for month in &months {
        stores
            .within(async |connection| {
                let mut tx = connection.begin().await?;
                create(&mut tx, month).await?;
                Ok(tx.commit().await?)
            })
            .await?;
    }
    Ok(())
}

/// Returns the names of those partitions that are there, also of detached ones that are kept aside.
async fn find(connection: &mut PgConnection, months: &[Month]) -> Result<Vec<String>, Failure> {
    let names: Vec<&str> = months.iter().map(|month| month.name.as_str()).collect();
    // Not `to_regclass`: it may answer from what this session remembers, from before the lock.
    let found = sqlx::query_scalar(
        "SELECT relname::text FROM pg_catalog.pg_class
         WHERE relname = ANY($1)
           AND relnamespace = (SELECT relnamespace FROM pg_catalog.pg_class
                               WHERE oid = 'click_events'::regclass)",
    )
    .bind(names)
    .fetch_all(connection)
    .await?;
    Ok(found)
}

/// Makes one partition, unless another process made it meanwhile.
async fn create(connection: &mut PgConnection, month: &Month) -> Result<(), Failure> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK_KEY).execute(&mut *connection).await?;
    if !find(connection, std::slice::from_ref(month)).await?.is_empty() {
        return Ok(());
    }
    // Statements that change the schema take no parameters; name and bounds are made of a date alone.
    // Attaching an existing table, unlike creating one in place, does not wait for running inserts and
    // does not hold up new ones.
    let Month { first, name } = month;
    let end = month.next().first;
    let create = format!("CREATE TABLE {name} (LIKE click_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)");
    let attach = format!(
        "ALTER TABLE click_events ATTACH PARTITION {name} \
         FOR VALUES FROM ('{first} 00:00:00+00') TO ('{end} 00:00:00+00')"
    );
    for statement in [create, attach] {
        sqlx::query(AssertSqlSafe(statement)).persistent(false).execute(&mut *connection).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("valid")
    }

    fn names(from: &str, to: &str) -> Vec<String> {
        months(at(from), at(to)).expect("few").into_iter().map(|month| month.name).collect()
    }

    #[test]
    fn months_are_those_of_utc_over_the_turn_of_the_year() {
        assert_eq!(
            names("2026-12-31T23:59:59.999999Z", "2027-02-01T00:00:00Z"),
            ["click_events_202612", "click_events_202701", "click_events_202702"]
        );
        assert_eq!(names("2026-05-01T00:00:00Z", "2026-05-31T23:59:59Z"), ["click_events_202605"]);
        assert!(names("2026-06-01T00:00:00Z", "2026-05-01T00:00:00Z").is_empty());
    }

    #[test]
    fn a_wild_clock_makes_no_thousand_tables() {
        assert!(months(at("1970-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z")).is_err());
    }
}
