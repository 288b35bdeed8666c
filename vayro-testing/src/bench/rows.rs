//! Click rows as a worker would store them: popular links and values often, rare ones seldom.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rand_distr::{Distribution as _, Zipf};
use vayro_core::click::{ClickClass, ClickRow};
use vayro_core::ids::{ClickId, LinkId, WorkspaceId};
use vayro_core::timestamp::Timestamp;

/// Different countries, regions, cities, hosts of referrers, languages and campaigns that occur.
const COUNTRIES: u32 = 120;
const REGIONS: u32 = 900;
const CITIES: u32 = 5_000;
const REFERRERS: u32 = 2_000;
const LANGUAGES: u32 = 60;
const CAMPAIGNS: u32 = 40;
/// Visitors of a day.
const VISITORS: u32 = 50_000;
/// Exponent of every popularity.
const ZIPF_EXPONENT: f64 = 1.0;

/// As long as most are.
const USER_AGENT: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/145.0.0.0 Safari/537.36";
const DEVICES: [&str; 3] = ["mobile", "desktop", "tablet"];
const BROWSERS: [&str; 8] =
    ["Chrome", "Safari", "Firefox", "Edge", "Samsung Internet", "Opera", "Brave", "UC Browser"];
const SYSTEMS: [&str; 6] = ["Android", "iOS", "Windows", "macOS", "Linux", "ChromeOS"];

/// Makes rows of one workspace.
pub struct Rows {
    rng: StdRng,
    workspace_id: WorkspaceId,
    links: Vec<LinkId>,
}

impl Rows {
    /// Returns a maker whose rows follow from `seed` alone.
    pub fn new(seed: u64, workspace_id: WorkspaceId, links: Vec<LinkId>) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), workspace_id, links }
    }

    /// Returns a number from 0 to below `count`, low ones often.
    fn popular(&mut self, count: u32) -> u32 {
        let zipf = Zipf::new(f64::from(count), ZIPF_EXPONENT).expect("the parameters are in range");
        (zipf.sample(&mut self.rng) as u32 - 1).min(count - 1)
    }

    /// Returns `count` rows between two instants, sorted by time.
    ///
    /// # Panics
    ///
    /// When there are no links.
    pub fn between(&mut self, from: Timestamp, to: Timestamp, count: u32) -> Vec<ClickRow> {
        let step = (to.as_micros() - from.as_micros()) / i64::from(count);
        (0..count)
            .map(|number| {
                let micros = from.as_micros() + step * i64::from(number);
                let at = Timestamp::from_micros(micros).expect("it lies between two instants");
                self.row(at)
            })
            .collect()
    }

    fn row(&mut self, at: Timestamp) -> ClickRow {
        let links = u32::try_from(self.links.len()).expect("links are few");
        let link = self.popular(links);
        let city = self.popular(CITIES);
        let id = ClickId::from_parts(at, self.rng.random());
        let timestamp = id.timestamp().expect("the id was made from a time");
        let (class, bot) = match self.rng.random_range(0..100) {
            0..90 => (ClickClass::Counted, ""),
            90..97 => (ClickClass::Bot, "Googlebot"),
            97..99 => (ClickClass::Prefetch, ""),
            _ => (ClickClass::Head, ""),
        };
        let referer_host = match self.popular(REFERRERS) {
            0 => String::new(),
            host => format!("news-{host}.example.com"),
        };
        let campaign = self.rng.random_bool(0.3).then(|| self.popular(CAMPAIGNS));
        let utm = |name: &str| campaign.map(|number| format!("{name}-{number}")).unwrap_or_default();
        let day = timestamp.as_micros() / 86_400_000_000;
        let visitor = i64::from(self.popular(VISITORS));
        ClickRow {
            id,
            timestamp,
            link_id: self.links[link as usize],
            workspace_id: self.workspace_id,
            domain: "go.example.com".to_owned(),
            class,
            bot: bot.to_owned(),
            user_agent: USER_AGENT.to_owned(),
            country_code: country(city % COUNTRIES),
            region: format!("Region {}", city % REGIONS),
            city: format!("City {city}"),
            device_type: DEVICES[self.popular(3) as usize].to_owned(),
            browser: BROWSERS[self.popular(8) as usize].to_owned(),
            os: SYSTEMS[self.popular(6) as usize].to_owned(),
            language: country(self.popular(LANGUAGES)).to_lowercase(),
            referer: if referer_host.is_empty() {
                String::new()
            } else {
                format!("https://{referer_host}/2026/11/an-article-with-a-link")
            },
            referer_host,
            ip_address: format!("198.51.{}.0", self.rng.random::<u8>()),
            trigger: if self.rng.random_bool(0.05) { "qr" } else { "link" }.to_owned(),
            utm_source: utm("source"),
            utm_medium: utm("medium"),
            utm_campaign: utm("campaign"),
            utm_term: String::new(),
            utm_content: String::new(),
            // Nobody is recognised on the next day.
            visitor_id: Some((visitor * 1_000_003 + day).wrapping_mul(0x1E37_79B9_7F4A_7C15)),
        }
    }
}

/// Two letters for a number below 676.
fn country(number: u32) -> String {
    let letter = |number: u32| char::from(b'A' + (number % 26) as u8);
    [letter(number / 26), letter(number)].iter().collect()
}
