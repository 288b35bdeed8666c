//! Removing what was made of days to which clicks come late.

use sqlx::PgConnection;
use uuid::Uuid;
use vayro_core::rollup::{Derived, Gain, RollupKey};

use crate::instant::Instant;

const ARE_THERE: &str = "SELECT EXISTS (
    SELECT 1 FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[])
        AS derived (workspace_id, span, first, past),
    LATERAL (SELECT 1 FROM click_rollups r
             WHERE r.workspace_id = derived.workspace_id AND r.span = derived.span
               AND r.start >= derived.first AND r.start < derived.past
             LIMIT 1) AS found)";

const REMOVE: &str = "DELETE FROM click_rollups r
    USING unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[])
        AS derived (subject_id, span, first, past)
    WHERE r.subject_id = derived.subject_id AND r.span = derived.span
      AND r.start >= derived.first AND r.start < derived.past";

/// Derived rollups by column, as the statements take them.
#[derive(Default)]
struct Columns {
    subjects: Vec<Uuid>,
    spans: Vec<&'static str>,
    first: Vec<Instant>,
    past: Vec<Instant>,
}

impl<'a> FromIterator<&'a Derived> for Columns {
    fn from_iter<I: IntoIterator<Item = &'a Derived>>(all: I) -> Self {
        let mut columns = Self::default();
        for one in all {
            columns.subjects.push(one.subject.as_uuid());
            columns.spans.push(one.span.as_str());
            columns.first.push(Instant(one.from));
            columns.past.push(Instant(one.to));
        }
        columns
    }
}

/// Removes the weeks and parts of days of subjects that gain something on a day that was over, after their days are locked.
/// Other days have none, which looks into an index tell.
pub(crate) async fn remove(
    connection: &mut PgConnection,
    gains: &[(RollupKey, Gain<'_>)],
) -> Result<(), sqlx::Error> {
    let derived = Derived::of(gains);
    let Columns { subjects, spans, first, past } =
        derived.iter().filter(|one| one.is_of_workspace()).collect();
    let are_there: bool = sqlx::query_scalar(ARE_THERE)
        .bind(subjects)
        .bind(spans)
        .bind(first)
        .bind(past)
        .fetch_one(&mut *connection)
        .await?;
    if !are_there {
        return Ok(());
    }
    let Columns { subjects, spans, first, past } = derived.iter().collect();
    let query = sqlx::query(REMOVE).bind(subjects).bind(spans).bind(first).bind(past);
    query.execute(connection).await.map(drop)
}
