//! Removing clicks because somebody asked for it.
//!
//! A [`Purge`] names clicks by link, time and network. Everywhere clicks lie they are removed: rows, what rows
//! add up to, stream, dead letters. Some lie where nobody reaches them, such as the spool of an edge that is
//! away; so a purge is remembered for a while, and what arrives late is not stored.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::click::field;
use crate::ids::{ClickId, LinkId, PurgeId};
use crate::timestamp::Timestamp;
use crate::visitor::network;

/// Longest window of time one purge may name.
pub const WINDOW_MAX: Duration = Duration::from_secs(400 * 86_400);

/// Time between the two times a purge is carried out. A worker that read its clicks before it knew of the purge
/// has stored them by then, or never will.
pub const SETTLE_TIME: Duration = Duration::from_secs(180);

/// How long a purge is remembered. A spool that is older than this when its edge comes back brings its clicks
/// back.
pub const REMEMBERED: Duration = Duration::from_secs(30 * 86_400);

/// Most purges remembered at a time; each is compared with every click that is stored.
pub const PURGES_MAX: u32 = 1_000;

/// Which clicks are meant: those to which everything that is given applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClickSelector {
    /// Of this link.
    pub link_id: Option<LinkId>,
    /// At or after this instant.
    pub from: Option<Timestamp>,
    /// Before this instant.
    pub to: Option<Timestamp>,
    /// From this network, as [`network`] cuts it. Clicks without an address are from none.
    pub network: Option<IpAddr>,
}

/// Why a selector is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// It would name the clicks of all time.
    #[error("name a link, or both the begin and the end of a time")]
    Unbounded,
    /// It names no time at all.
    #[error("the end must lie after the begin")]
    Backwards,
    /// It names too long a time.
    #[error("a time of more than 400 days is more than one purge removes")]
    TooLong,
}

impl ClickSelector {
    /// Names clicks; of `address` the network counts, since no more of it is stored.
    ///
    /// # Errors
    ///
    /// [`SelectorError`] says what is wrong.
    pub fn new(
        link_id: Option<LinkId>,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        address: Option<IpAddr>,
    ) -> Result<Self, SelectorError> {
        if link_id.is_none() && (from.is_none() || to.is_none()) {
            return Err(SelectorError::Unbounded);
        }
        if let (Some(from), Some(to)) = (from, to) {
            if from >= to {
                return Err(SelectorError::Backwards);
            }
            if link_id.is_none() && to.since(from) > WINDOW_MAX {
                return Err(SelectorError::TooLong);
            }
        }
        Ok(Self { link_id, from, to, network: address.map(network) })
    }

    /// Names every click of a link before an instant.
    pub const fn of_link(link_id: LinkId, to: Timestamp) -> Self {
        Self { link_id: Some(link_id), from: None, to: Some(to), network: None }
    }

    /// Returns the link if all its clicks up to some instant are meant, so that what they added up to goes too.
    pub const fn whole_link(&self) -> Option<LinkId> {
        if self.from.is_none() && self.network.is_none() { self.link_id } else { None }
    }

    /// Tells whether the fields of a stream entry are meant, also those of an entry that is otherwise no click.
    pub fn matches<N: AsRef<str>, V: AsRef<[u8]>>(&self, fields: &[(N, V)]) -> bool {
        let find = |name: &str| {
            let value = fields.iter().find(|(n, _)| n.as_ref() == name).map(|(_, value)| value.as_ref());
            value.and_then(|value| std::str::from_utf8(value).ok())
        };
        let is_of_link = |wanted: LinkId| find(field::LINK_ID).and_then(|id| id.parse().ok()) == Some(wanted);
        let is_from =
            |wanted: IpAddr| find(field::IP).and_then(|ip| ip.parse().ok()).map(network) == Some(wanted);
        let is_at = |holds: &dyn Fn(Timestamp) -> bool| {
            let at = click_id(fields).and_then(|id| id.timestamp());
            at.or_else(|| find(field::TIMESTAMP)?.parse().ok()).is_some_and(holds)
        };
        self.link_id.is_none_or(is_of_link)
            && self.from.is_none_or(|from| is_at(&|at| at >= from))
            && self.to.is_none_or(|to| is_at(&|at| at < to))
            && self.network.is_none_or(is_from)
    }
}

/// Returns the id of the click that these fields of an entry are of; `None` if they are of no click.
pub fn click_id<N: AsRef<str>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Option<ClickId> {
    let (_, id) = fields.iter().find(|(name, _)| name.as_ref() == field::ID)?;
    let id = ClickId::from_uuid(uuid::Uuid::try_parse_ascii(id.as_ref()).ok()?);
    id.timestamp().map(|_| id)
}

/// A purge to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewPurge {
    /// Its identity.
    pub id: PurgeId,
    /// Which clicks.
    pub selector: ClickSelector,
    /// Until when it is remembered.
    pub forget_at: Timestamp,
}

/// How far a purge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PurgeState {
    /// Nobody has carried it out yet.
    Waiting,
    /// It was carried out; what workers had in their hands meanwhile is removed by carrying it out again.
    Removed,
    /// It was carried out again. What arrives late is not stored.
    Settled,
}

impl PurgeState {
    /// Every state, in order.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Removed, Self::Settled];

    /// Returns its name in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Removed => "removed",
            Self::Settled => "settled",
        }
    }

    /// Returns the state after carrying it out once more.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Waiting => Self::Removed,
            Self::Removed | Self::Settled => Self::Settled,
        }
    }

    /// Reads a state's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// A purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purge {
    /// Its identity.
    pub id: PurgeId,
    /// Which clicks.
    pub selector: ClickSelector,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Until when it is remembered.
    pub forget_at: Timestamp,
    /// How far it is.
    pub state: PurgeState,
    /// When it was carried out last.
    pub done_at: Option<Timestamp>,
    /// Clicks removed so far.
    pub clicks: u64,
}

impl Purge {
    /// Tells whether it has to be carried out at `now`: at once, once more when everybody knows of it, and a
    /// last time before it is forgotten.
    pub fn is_due(&self, now: Timestamp) -> bool {
        match self.state {
            PurgeState::Waiting => true,
            PurgeState::Removed => self.done_at.is_none_or(|at| now.since(at) >= SETTLE_TIME),
            PurgeState::Settled => self.is_over(now),
        }
    }

    /// Tells whether it need not be remembered any longer.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.forget_at
    }

    /// Returns the oldest instant of clicks that may still be on their way and come again.
    pub fn recent_from(&self) -> Timestamp {
        self.created_at.minus(self.forget_at.since(self.created_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::click::{Click, ClickMethod, Fields};
    use crate::ids::WorkspaceId;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("valid")
    }

    fn link(n: u128) -> LinkId {
        LinkId::from_uuid(uuid::Uuid::from_u128(n))
    }

    fn fields(ip: Option<&str>) -> Fields {
        Click {
            id: ClickId::from_parts(at("2026-05-10T12:00:00Z"), [7; 10]),
            link_id: link(7),
            workspace_id: WorkspaceId::from_uuid(uuid::Uuid::from_u128(8)),
            domain: "go.example.com".into(),
            ip: ip.map(|ip| ip.parse().expect("an address")),
            user_agent: "agent".into(),
            referer: "".into(),
            language: "".into(),
            query: "".into(),
            method: ClickMethod::Get,
            is_prefetch: false,
            is_private: false,
        }
        .to_fields()
    }

    #[test]
    fn everything_that_is_given_must_apply() {
        let (noon, later) = (at("2026-05-10T12:00:00Z"), at("2026-05-10T13:00:00Z"));
        let click = fields(Some("192.0.2.77"));
        let selector = |link, from, to, ip: Option<&str>| {
            ClickSelector::new(link, from, to, ip.map(|ip| ip.parse().expect("an address"))).expect("valid")
        };
        assert!(ClickSelector::of_link(link(7), later).matches(&click));
        assert!(!ClickSelector::of_link(link(7), noon).matches(&click));
        assert!(!ClickSelector::of_link(link(8), later).matches(&click));
        assert!(selector(None, Some(noon), Some(later), None).matches(&click), "from the begin on");
        assert!(!selector(Some(link(7)), None, Some(noon), None).matches(&click), "to before the end");
        assert!(selector(None, Some(noon), Some(later), Some("192.0.2.1")).matches(&click), "its network");
        assert!(!selector(None, Some(noon), Some(later), Some("192.0.3.77")).matches(&click));
        assert!(!selector(Some(link(8)), Some(noon), Some(later), Some("192.0.2.1")).matches(&click));
        assert!(!selector(None, Some(noon), Some(later), Some("192.0.2.1")).matches(&fields(None)));
    }

    #[test]
    fn an_entry_that_is_no_click_is_still_found() {
        let broken = vec![
            (field::LINK_ID.to_owned(), link(7).to_string().into_bytes()),
            (field::TIMESTAMP.to_owned(), b"2026-05-10T12:00:00Z".to_vec()),
            (field::IP.to_owned(), b"192.0.2.77".to_vec()),
        ];
        let from = Some(at("2026-05-10T00:00:00Z"));
        let selector = ClickSelector::new(Some(link(7)), from, None, "192.0.2.1".parse().ok());
        assert!(selector.expect("valid").matches(&broken));
        assert_eq!(click_id(&broken), None);
        let of_link = ClickSelector::of_link(link(7), at("2026-05-11T00:00:00Z"));
        assert!(!of_link.matches(&[(field::LINK_ID.to_owned(), b"\xFF".to_vec())]));
    }

    #[test]
    fn nobody_names_everything_by_mistake() {
        let (a, b) = (at("2026-05-10T12:00:00Z"), at("2026-05-11T12:00:00Z"));
        let new = |from, to| ClickSelector::new(None, from, to, None);
        assert_eq!(new(Some(a), None), Err(SelectorError::Unbounded));
        assert_eq!(new(Some(b), Some(a)), Err(SelectorError::Backwards));
        assert_eq!(new(Some(a), Some(a)), Err(SelectorError::Backwards));
        assert_eq!(new(Some(at("2020-01-01T00:00:00Z")), Some(a)), Err(SelectorError::TooLong));
        assert!(new(Some(a), Some(b)).is_ok());
    }

    #[test]
    fn a_purge_is_carried_out_three_times() {
        let (made, forget_at) = (at("2026-05-10T12:00:00Z"), at("2026-06-10T12:00:00Z"));
        let mut purge = Purge {
            id: PurgeId::from_uuid(uuid::Uuid::nil()),
            selector: ClickSelector::of_link(link(7), made),
            created_at: made,
            forget_at,
            state: PurgeState::Waiting,
            done_at: None,
            clicks: 0,
        };
        assert!(purge.is_due(made));
        (purge.state, purge.done_at) = (PurgeState::Removed, Some(made));
        assert!(!purge.is_due(made.plus(SETTLE_TIME / 2)) && purge.is_due(made.plus(SETTLE_TIME)));
        purge.state = PurgeState::Settled;
        assert!(!purge.is_due(made.plus(SETTLE_TIME)) && purge.is_due(forget_at));
        assert_eq!(purge.recent_from(), at("2026-04-09T12:00:00Z"));
    }
}
