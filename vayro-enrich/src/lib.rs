//! Everything that is found out about a click without asking anyone: place, software, origin.
//!
//! [`Enricher::enrich`] takes a few microseconds and never waits, so it runs on blocking threads in
//! batches. Start reading there.

mod address;
mod bots;
mod campaign;
mod device;
mod excluded;
pub mod family;
mod geoip;
mod language;
mod referrer;
mod user_agent;
mod visitor;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use vayro_core::click::{Click, ClickClass, ClickMethod, ClickRow};

pub use address::AddressPolicy;
pub use bots::{BotRulesError, Bots, EMPTY_USER_AGENT, GENERIC_BOT};
pub use device::{DeviceType, device_type};
pub use excluded::{EXCLUDED_ADDRESSES_MAX, ExcludedAddresses, Network, NetworkError};
pub use geoip::{GeoIp, GeoIpError, GeoIpInfo, GeoIpShape, GeoIpStatus, Place, Refresh};
pub use user_agent::{Agent, UserAgentError, UserAgents};
pub use visitor::Salt;

/// What an [`Enricher`] is made from.
#[derive(Clone, Debug)]
pub struct EnrichConfig {
    /// What of an address is stored.
    pub ip: AddressPolicy,
    /// Whose visits are not counted.
    pub excluded: ExcludedAddresses,
    /// Rules for browsers in place of the built-in ones, as uap-core's `regexes.yaml`.
    pub user_agent_rules: Option<PathBuf>,
    /// Rules for robots in place of the built-in ones, as npm's `crawler-user-agents.json`.
    pub bot_rules: Option<PathBuf>,
    /// User agents remembered, at about 700 bytes each.
    pub user_agents_max: usize,
    /// The MaxMind database.
    pub geoip_file: Option<PathBuf>,
    /// Places kept decoded, at about 200 bytes each.
    pub places_max: usize,
}

impl Default for EnrichConfig {
    /// Built-in rules, no GeoIP database.
    fn default() -> Self {
        Self {
            ip: AddressPolicy::Truncate,
            excluded: ExcludedAddresses::default(),
            user_agent_rules: None,
            bot_rules: None,
            user_agents_max: 10_000,
            geoip_file: None,
            places_max: 50_000,
        }
    }
}

/// An [`Enricher`] cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EnrichError {
    /// Because of a file with rules.
    #[error(transparent)]
    UserAgent(#[from] UserAgentError),
    /// Because of the GeoIP database.
    #[error(transparent)]
    GeoIp(#[from] GeoIpError),
}

/// Turns clicks into rows.
pub struct Enricher {
    ip: AddressPolicy,
    excluded: ExcludedAddresses,
    user_agents: UserAgents,
    geoip: Arc<GeoIp>,
}

impl Enricher {
    /// Reads and compiles all rules and the GeoIP database. Blocks for a few hundred milliseconds.
    pub fn new(config: &EnrichConfig) -> Result<Self, EnrichError> {
        Ok(Self {
            ip: config.ip,
            excluded: config.excluded.clone(),
            user_agents: UserAgents::new(
                config.user_agent_rules.as_deref(),
                config.bot_rules.as_deref(),
                config.user_agents_max,
            )?,
            geoip: Arc::new(GeoIp::open(config.geoip_file.as_deref(), config.places_max)?),
        })
    }

    /// Returns the GeoIP database.
    pub fn geoip(&self) -> &Arc<GeoIp> {
        &self.geoip
    }

    /// Returns what reads user agents.
    pub fn user_agents(&self) -> &UserAgents {
        &self.user_agents
    }

    /// Makes the row of a click. `salt` is that of the click's own UTC day, `None` if it is gone.
    pub fn enrich(&self, click: Click, salt: Option<&Salt>) -> ClickRow {
        // An IPv4 visitor of a dual-stack listener arrives as `::ffff:192.0.2.7`.
        let address = click.ip.map(|ip| ip.to_canonical());
        let ip = address.filter(|_| !click.is_private);
        let place = ip.and_then(|ip| self.geoip.find(ip)).unwrap_or_default();
        let agent = self.user_agents.get(&click.user_agent);
        let class = self.class(&click, address, &agent);
        let campaign = campaign::read(&click.query);
        let visitor_id = salt
            .zip(ip)
            .map(|(salt, ip)| visitor::pseudonym(salt, click.workspace_id, ip, &click.user_agent));
        let is_private = click.is_private;
        let row = ClickRow {
            id: click.id,
            timestamp: click.timestamp(),
            link_id: click.link_id,
            workspace_id: click.workspace_id,
            domain: click.domain.into(),
            class,
            bot: agent.bot.as_deref().unwrap_or_default().to_owned(),
            user_agent: click.user_agent.into(),
            country_code: place.country_code.to_string(),
            region: place.region.to_string(),
            city: place.city.to_string(),
            device_type: agent.device.as_str().to_owned(),
            browser: agent.browser.to_string(),
            os: agent.os.to_string(),
            language: language::first_tag(&click.language),
            referer_host: referrer::host(&click.referer),
            referer: click.referer.into(),
            ip_address: ip.map(|ip| address::stored(self.ip, ip)).unwrap_or_default(),
            trigger: if campaign.is_qr { "qr" } else { "link" }.to_owned(),
            utm_source: campaign.source,
            utm_medium: campaign.medium,
            utm_campaign: campaign.name,
            utm_term: campaign.term,
            utm_content: campaign.content,
            visitor_id,
        };
        if is_private { withhold(row) } else { row }
    }

    /// What a click counts as by itself; what the request says goes before what its user agent says.
    fn class(&self, click: &Click, ip: Option<IpAddr>, agent: &Agent) -> ClickClass {
        if ip.is_some_and(|ip| self.excluded.contains(ip)) {
            ClickClass::Excluded
        } else if click.method == ClickMethod::Head {
            ClickClass::Head
        } else if click.is_prefetch {
            ClickClass::Prefetch
        } else if agent.bot.is_some() {
            ClickClass::Bot
        } else {
            ClickClass::Counted
        }
    }
}

/// Takes out of a row what it says about the visitor, except the class of device. What the link's owner put
/// into the address of the link stays, and so does the site the visitor came from. Every member is named here,
/// so that nobody adds one without deciding.
fn withhold(row: ClickRow) -> ClickRow {
    let ClickRow {
        id,
        timestamp,
        link_id,
        workspace_id,
        domain,
        class,
        bot,
        device_type,
        referer_host,
        trigger,
        ..
    } = row;
    ClickRow {
        id,
        timestamp,
        link_id,
        workspace_id,
        domain,
        class,
        bot,
        user_agent: String::new(),
        country_code: String::new(),
        region: String::new(),
        city: String::new(),
        device_type,
        browser: String::new(),
        os: String::new(),
        language: String::new(),
        referer: String::new(),
        referer_host,
        ip_address: String::new(),
        trigger,
        utm_source: row.utm_source,
        utm_medium: row.utm_medium,
        utm_campaign: row.utm_campaign,
        utm_term: row.utm_term,
        utm_content: row.utm_content,
        visitor_id: None,
    }
}
