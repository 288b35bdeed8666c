//! The monthly partitions of `click_events`.

use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use vayro_core::day::Day;
use vayro_core::ports::StoreError;
use vayro_core::timestamp::Timestamp;

use crate::database::PgStores;
use crate::error::{Failure, internal};

/// Most months one call prepares: a guard against a clock gone wild.
const MONTHS_MAX: usize = 240;

/// Key of the advisory lock under which partitions are made and marked for removal: "vayrpart" in ASCII.
const LOCK_KEY: i64 = 0x7661_7972_7061_7274;

/// Somebody asked for more months than anybody needs.
#[derive(Debug, thiserror::Error)]
#[error("more than {MONTHS_MAX} months of partitions were asked for")]
struct TooManyMonths;

/// What the names of partitions begin with; year and month follow.
const PREFIX: &str = "click_events_";

/// A UTC month and the name of its partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Month {
    first: Date,
    pub(crate) name: String,
}

impl Month {
    fn new(first: Date) -> Self {
        Self { first, name: format!("{PREFIX}{:04}{:02}", first.year(), first.month()) }
    }

    /// Reads the name of a partition; `None` if it is not one of ours.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let digits = name.strip_prefix(PREFIX)?;
        let (year, month) = digits.split_at_checked(4)?;
        let first = Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok()?;
        Some(Self::new(first)).filter(|month| month.name == name)
    }

    /// Returns the month that holds a day.
    pub(crate) fn of_day(day: Day) -> Self {
        month_of(day.start())
    }

    /// Returns its first day.
    pub(crate) fn first_day(&self) -> Day {
        let start = self.first.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
        Day::of(start.map_or(Timestamp::EPOCH, Timestamp::from))
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
    let (existing, removed) = stores
        .within(async |connection| Ok((find(connection, &months).await?, removed_until(connection).await?)))
        .await?;
    months.retain(|month| !existing.contains(&month.name) && !is_removed(month, removed));
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

/// Waits for everybody who makes months or marks them for removal, and keeps others from it until the
/// transaction ends.
pub(crate) async fn lock(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK_KEY).execute(connection).await.map(drop)
}

/// Returns the first day after every month that was removed by age; `None` if none was.
pub(crate) async fn removed_until(connection: &mut PgConnection) -> Result<Option<Day>, Failure> {
    let newest: Option<i32> = sqlx::query_scalar("SELECT max(month) - DATE '1970-01-01' FROM removed_months")
        .fetch_one(connection)
        .await?;
    Ok(newest.and_then(Day::from_number).map(Day::next_month))
}

fn is_removed(month: &Month, removed_until: Option<Day>) -> bool {
    removed_until.is_some_and(|until| month.first_day() < until)
}

/// Makes one partition, unless another process made it, or removed it by age, meanwhile.
async fn create(connection: &mut PgConnection, month: &Month) -> Result<(), Failure> {
    lock(connection).await?;
    if !find(connection, std::slice::from_ref(month)).await?.is_empty()
        || is_removed(month, removed_until(connection).await?)
    {
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
    fn partitions_are_known_by_their_names() {
        let month = Month::of_day("2026-05-17".parse().expect("a day"));
        assert_eq!(Month::of_name("click_events_202605"), Some(month.clone()));
        assert_eq!(month.first_day().to_string(), "2026-05-01");
        for name in
            ["click_events", "click_events_", "click_events_202613", "click_events_20265", "other_202605"]
        {
            assert_eq!(Month::of_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_wild_clock_makes_no_thousand_tables() {
        assert!(months(at("1970-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z")).is_err());
    }
}
