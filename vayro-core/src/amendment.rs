//! New knowledge applied to clicks that are stored: a newer list of robots, a newer database of places.

use crate::click::ClickClass;
use crate::day::Day;
use crate::ids::{ClickId, RunId, WorkspaceId};

/// Most clicks that one step of a run looks at, and most changes of one transaction.
pub const AMENDMENT_BATCH_MAX: u16 = 5_000;

/// Longest name of the knowledge a run applies, in bytes.
pub const BASIS_LEN_MAX: usize = 100;

/// What is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AmendmentKind {
    /// A list of robots.
    Reclassify,
    /// A database of places.
    Reenrich,
}

impl AmendmentKind {
    /// Returns its name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reclassify => "reclassify",
            Self::Reenrich => "reenrich",
        }
    }
}

/// Which clicks a run is about: those of whole UTC days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmendmentScope {
    /// Of which workspace; `None` for all.
    pub workspace_id: Option<WorkspaceId>,
    /// First day.
    pub since: Day,
    /// Last day; `None` for the last one with clicks.
    pub until: Option<Day>,
}

/// A run over stored clicks. Of each kind there is one at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amendment {
    /// What is applied.
    pub kind: AmendmentKind,
    /// Tells this start of a run from earlier ones; fresh.
    pub run_id: RunId,
    /// Names the knowledge, so that a run is not continued with another one. At most [`BASIS_LEN_MAX`] bytes.
    pub basis: String,
    /// Which clicks.
    pub scope: AmendmentScope,
}

/// What of a stored click new knowledge is about. Unknown texts are empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredClick {
    /// The click; its time is the one inside.
    pub id: ClickId,
    /// Whose.
    pub workspace_id: WorkspaceId,
    /// What it counts as.
    pub class: ClickClass,
    /// The rule that saw a robot.
    pub bot: String,
    /// The user agent; empty also for clicks of the time before it was stored.
    pub user_agent: String,
    /// The truncated address.
    pub ip_address: String,
    /// The country.
    pub country_code: String,
    /// The region.
    pub region: String,
    /// The city.
    pub city: String,
}

/// Another class or robot of a stored click.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassChange {
    /// Which click.
    pub id: ClickId,
    /// What it counted as; if that is not so any more, nothing is changed.
    pub before: ClickClass,
    /// What it counts as now.
    pub class: ClickClass,
    /// The rule that sees a robot; empty if none.
    pub bot: String,
}

/// Another place of a stored click. Texts as in [`ClickRow`](crate::click::ClickRow).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceChange {
    /// Which click.
    pub id: ClickId,
    /// The country.
    pub country_code: String,
    /// The region.
    pub region: String,
    /// The city.
    pub city: String,
}

/// What one step of a run changes, each click once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Classes and robots.
    Classes(Vec<ClassChange>),
    /// Places.
    Places(Vec<PlaceChange>),
}

impl Changes {
    /// Returns how many clicks are changed.
    pub const fn len(&self) -> usize {
        match self {
            Self::Classes(changes) => changes.len(),
            Self::Places(changes) => changes.len(),
        }
    }

    /// Tells whether nothing is changed.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Returns what a list of robots changes of a click, given the rule of it that sees a robot in the user agent.
///
/// It comes out as it would if the click were accepted now, as far as that can be known: what its request said
/// and whether its address is excluded goes before its user agent, and a former robot counts, since
/// nobody remembers whether it was a repeat. A click without a user agent stays as it is: either that itself
/// made it a robot, or it is from the time before user agents were stored.
pub fn reclassify(click: &StoredClick, bot: Option<&str>) -> Option<ClassChange> {
    if click.user_agent.is_empty() {
        return None;
    }
    let class = match (click.class, bot) {
        (ClickClass::Counted | ClickClass::Repeat | ClickClass::Bot, Some(_)) => ClickClass::Bot,
        (ClickClass::Bot, None) => ClickClass::Counted,
        (other, _) => other,
    };
    let bot = bot.unwrap_or_default();
    let is_changed = class != click.class || bot != click.bot;
    is_changed.then(|| ClassChange { id: click.id, before: click.class, class, bot: bot.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::Timestamp;

    fn stored(class: ClickClass, bot: &str, user_agent: &str) -> StoredClick {
        StoredClick {
            id: ClickId::from_parts(Timestamp::EPOCH, [1; 10]),
            workspace_id: WorkspaceId::from_uuid(uuid::Uuid::nil()),
            class,
            bot: bot.to_owned(),
            user_agent: user_agent.to_owned(),
            ip_address: String::new(),
            country_code: String::new(),
            region: String::new(),
            city: String::new(),
        }
    }

    fn change(class: ClickClass, bot: &str, found: Option<&str>) -> Option<(ClickClass, String)> {
        reclassify(&stored(class, bot, "agent"), found).map(|change| (change.class, change.bot))
    }

    #[test]
    fn a_newer_list_makes_and_unmakes_robots() {
        use ClickClass::{Bot, Counted, Excluded, Head, Prefetch, Repeat};
        let robot = |class| Some((class, "Foo".to_owned()));
        assert_eq!(change(Counted, "", Some("Foo")), robot(Bot));
        assert_eq!(change(Repeat, "", Some("Foo")), robot(Bot));
        assert_eq!(change(Bot, "Foo", None), Some((Counted, String::new())));
        // Another name of the same robot, and the robot behind what counts as something else anyway.
        assert_eq!(change(Bot, "old", Some("Foo")), robot(Bot));
        for class in [Head, Prefetch, Excluded] {
            assert_eq!(change(class, "", Some("Foo")), robot(class));
            assert_eq!(change(class, "Foo", None), Some((class, String::new())));
        }
        for (class, bot, found) in
            [(Counted, "", None), (Repeat, "", None), (Bot, "Foo", Some("Foo")), (Head, "Foo", Some("Foo"))]
        {
            assert_eq!(change(class, bot, found), None, "{class:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_judged() {
        assert_eq!(reclassify(&stored(ClickClass::Counted, "", ""), Some("empty")), None);
        assert_eq!(reclassify(&stored(ClickClass::Bot, "empty", ""), Some("empty")), None);
        assert_eq!(reclassify(&stored(ClickClass::Bot, "Foo", ""), None), None);
    }
}
