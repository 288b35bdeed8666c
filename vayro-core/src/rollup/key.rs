//! Which rollup.

use uuid::Uuid;

use super::quarters::QUARTER_MICROS;
use crate::ids::{LinkId, WorkspaceId};
use crate::timestamp::Timestamp;

/// Whose clicks a rollup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Those of one link.
    Link(LinkId),
    /// Those of all links of a workspace.
    Workspace(WorkspaceId),
}

impl Subject {
    /// Returns the id of the link or workspace; ids are unique among both.
    pub const fn as_uuid(&self) -> Uuid {
        match self {
            Self::Link(id) => id.as_uuid(),
            Self::Workspace(id) => id.as_uuid(),
        }
    }

    /// Tells whether it is a workspace.
    pub const fn is_workspace(&self) -> bool {
        matches!(self, Self::Workspace(_))
    }

    /// Returns the link, if it is one.
    pub const fn link_id(&self) -> Option<LinkId> {
        match self {
            Self::Link(id) => Some(*id),
            Self::Workspace(_) => None,
        }
    }

    /// Returns the length of the parts of a busy day.
    pub const fn part(&self) -> RollupSpan {
        match self {
            Self::Link(_) => RollupSpan::BusyHour,
            Self::Workspace(_) => RollupSpan::Quarter,
        }
    }
}

/// How much time a rollup covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RollupSpan {
    /// A UTC hour; workspaces only.
    Hour,
    /// A UTC day.
    Day,
    /// A UTC hour of a link, on a day that was busy and is over, see [`BUSY_CLICKS`](super::BUSY_CLICKS). Without
    /// visitors, who are in the day's.
    BusyHour,
    /// A quarter of a UTC hour of a workspace, on a day that was busy and is over.
    Quarter,
    /// Seven UTC days, put together once they are over. Counted from 1970 on, so it begins on a Thursday.
    Week,
}

impl RollupSpan {
    /// Returns its length in microseconds.
    pub const fn micros(self) -> i64 {
        match self {
            Self::Hour | Self::BusyHour => 3_600_000_000,
            Self::Quarter => QUARTER_MICROS,
            Self::Day => 86_400_000_000,
            Self::Week => 7 * Self::Day.micros(),
        }
    }

    /// Reads its name.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Hour, Self::Day, Self::BusyHour, Self::Quarter, Self::Week];
        all.into_iter().find(|span| span.as_str() == name)
    }

    /// Returns its name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::BusyHour => "busyhour",
            Self::Quarter => "quarter",
            Self::Week => "week",
        }
    }

    /// Returns the start of the span that holds `at`.
    pub fn floor(self, at: Timestamp) -> Timestamp {
        let micros = at.as_micros();
        Timestamp::from_micros(micros - micros.rem_euclid(self.micros())).unwrap_or(at)
    }

    /// Returns the start of the first span that begins at or after `at`.
    pub fn ceil(self, at: Timestamp) -> Timestamp {
        let floor = self.floor(at);
        if floor == at {
            return at;
        }
        Timestamp::from_micros(floor.as_micros().saturating_add(self.micros())).unwrap_or(at)
    }
}

/// The name of one rollup. Writers take rollups in the order of their keys, so that two of them never wait
/// for each other in a circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RollupKey {
    /// Whose clicks.
    pub subject: Subject,
    /// The workspace they belong to.
    pub workspace_id: WorkspaceId,
    /// How much time.
    pub span: RollupSpan,
    /// Where the span begins.
    pub start: Timestamp,
}

impl RollupKey {
    /// Names a rollup by the id of its subject, which is a link's unless it is the workspace's.
    pub fn of(subject_id: Uuid, workspace_id: WorkspaceId, span: RollupSpan, start: Timestamp) -> Self {
        let subject = if subject_id == workspace_id.as_uuid() {
            Subject::Workspace(workspace_id)
        } else {
            Subject::Link(LinkId::from_uuid(subject_id))
        };
        Self { subject, workspace_id, span, start }
    }

    /// Tells whether it is of a part of a busy day.
    pub(super) fn is_part(&self) -> bool {
        self.span == self.subject.part()
    }

    /// Returns the rollup of the week that this one lies in.
    #[must_use]
    pub fn week(&self) -> Self {
        Self { span: RollupSpan::Week, start: RollupSpan::Week.floor(self.start), ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_begin_at_whole_hours_and_days_of_utc() {
        let at = |micros| Timestamp::from_micros(micros).expect("in range");
        let day = RollupSpan::Day.micros();
        assert_eq!(RollupSpan::Day.floor(at(day + 1)), at(day));
        assert_eq!(RollupSpan::Day.ceil(at(day + 1)), at(2 * day));
        assert_eq!(RollupSpan::Day.ceil(at(day)), at(day));
        assert_eq!(RollupSpan::Week.ceil(at(day)), at(7 * day));
        assert_eq!(RollupSpan::Hour.floor(at(-1)), at(-RollupSpan::Hour.micros()));
        assert_eq!(RollupSpan::Hour.ceil(at(-1)), at(0));
    }
}
