//! Removing what was made of days to which clicks come late.

use rusqlite::Transaction;
use vayro_core::rollup::{Derived, Gain, RollupKey};

/// Removes the weeks and parts of days of subjects that gain something on a day that was over. Other days have none, which
/// looks into an index tell.
pub(crate) fn remove(tx: &Transaction<'_>, gains: &[(RollupKey, Gain<'_>)]) -> Result<(), rusqlite::Error> {
    let derived = Derived::of(gains);
    let bound =
        |one: &Derived| (one.subject.as_uuid(), one.span.as_str(), one.from.as_micros(), one.to.as_micros());
    let mut find = tx.prepare(
        "SELECT 1 FROM click_rollups WHERE workspace_id = ?1 AND span = ?2 AND start >= ?3 AND start < ?4 LIMIT 1",
    )?;
    let mut are_there = false;
    for (workspace, span, from, to) in derived.iter().filter(|one| one.is_of_workspace()).map(bound) {
        are_there |= find.exists((&workspace.as_bytes()[..], span, from, to))?;
    }
    if !are_there {
        return Ok(());
    }
    let mut remove = tx.prepare(
        "DELETE FROM click_rollups WHERE subject_id = ?1 AND span = ?2 AND start >= ?3 AND start < ?4",
    )?;
    for (subject, span, from, to) in derived.iter().map(bound) {
        remove.execute((&subject.as_bytes()[..], span, from, to))?;
    }
    Ok(())
}
