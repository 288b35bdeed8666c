//! Clicks as edges hand them in: real user agents, random addresses, popular links.

use std::net::Ipv4Addr;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rand_distr::weighted::WeightedAliasIndex;
use rand_distr::{Distribution as _, Zipf};
use vayro_core::click::{Click, ClickMethod};
use vayro_core::ids::{ClickId, LinkId, WorkspaceId};
use vayro_core::timestamp::Timestamp;

use crate::fixture;

/// Exponent of the links' popularity; 1.0 is the classic web.
const ZIPF_EXPONENT: f64 = 1.0;
/// Milliseconds between two clicks: ten minutes hold sixty thousand.
const STEP_MILLIS: i64 = 10;
const REFERRERS: u32 = 500;
const LANGUAGES: [&str; 4] =
    ["de-DE,de;q=0.9,en;q=0.7", "en-US,en;q=0.9", "fr-FR,fr;q=0.8,en;q=0.5", "pt-BR,pt;q=0.9"];

/// Makes clicks that follow from a seed alone, each later than the one before.
pub struct Clicks {
    rng: StdRng,
    agents: Vec<String>,
    shares: WeightedAliasIndex<f64>,
    popularity: Zipf<f64>,
    links: Vec<LinkId>,
    workspace_id: WorkspaceId,
    next: Timestamp,
}

impl Clicks {
    /// Returns a maker of clicks from `start` on.
    ///
    /// # Panics
    ///
    /// When the real user agents are not there or there are no links.
    pub fn new(seed: u64, workspace_id: WorkspaceId, links: Vec<LinkId>, start: Timestamp) -> Self {
        let agents = fixture::user_agents();
        let shares = agents.iter().map(|agent| agent.weight).collect();
        Self {
            rng: StdRng::seed_from_u64(seed),
            shares: WeightedAliasIndex::new(shares).expect("shares are positive"),
            agents: agents.into_iter().map(|agent| agent.text).collect(),
            popularity: Zipf::new(links.len() as f64, ZIPF_EXPONENT).expect("there are links"),
            links,
            workspace_id,
            next: start,
        }
    }

    /// Returns the next `count` clicks.
    pub fn take(&mut self, count: u32) -> Vec<Click> {
        (0..count).map(|_| self.click()).collect()
    }

    fn click(&mut self) -> Click {
        let at = self.next;
        self.next = Timestamp::from_millis(at.as_millis() + STEP_MILLIS).expect("within ten thousand years");
        let rng = &mut self.rng;
        let link = self.popularity.sample(rng) as usize - 1;
        let referrer = rng.random_range(0..REFERRERS);
        Click {
            id: ClickId::from_parts(at, rng.random()),
            link_id: self.links[link.min(self.links.len() - 1)],
            workspace_id: self.workspace_id,
            domain: "go.example.com".into(),
            ip: Some(Ipv4Addr::from(rng.random_range(0x0100_0000_u32..0xDF00_0000)).into()),
            user_agent: self.agents[self.shares.sample(rng)].as_str().into(),
            referer: format!("https://news-{referrer}.example.com/2026/11/an-article").into(),
            language: LANGUAGES[rng.random_range(0..LANGUAGES.len())].into(),
            query: if rng.random_bool(0.2) {
                format!("utm_source=letter&utm_campaign=spring-{}", rng.random_range(0..20)).into()
            } else {
                "".into()
            },
            method: ClickMethod::Get,
            is_prefetch: false,
        }
    }
}
