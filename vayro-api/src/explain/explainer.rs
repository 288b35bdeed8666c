//! Goes through what edges and workers do with a visit, with their own code, and takes down each step.

use std::sync::Arc;

use tokio::sync::OnceCell;
use vayro_core::click::{Click, ClickClass, ClickMethod};
use vayro_core::host::Host;
use vayro_core::ids::{ClickId, DomainId};
use vayro_core::link::{LinkKey, LinkState};
use vayro_core::ports::{LinkLookup, StoreError};
use vayro_core::resolve::CachedLink;
use vayro_core::timestamp::Timestamp;
use vayro_core::visit::{
    HOST_BUFFER_LEN, Head, HostTable, Page, Remembered, UnknownHost, Verdict, Visit, VisitHeaders, Wanted,
    mint_click, normal_host, redirect, root_redirect, verdict, visitor_address, wanted, wants_json,
};
use vayro_enrich::Enricher;

use super::request::Visited;
use super::settings::VisitSettings;
use super::view::{AnswerView, CountView, ExplanationView, LinkView, Steps};
use crate::auth::Access;
use crate::problem::{Code, Problem};
use crate::state::ApiState;

/// Tells what the edge of this process has in its memory.
pub type EdgeMemory = Arc<dyn Fn(&LinkKey) -> Remembered + Send + Sync>;

/// What explanations are made with.
#[derive(Default)]
pub struct Explainer {
    settings: VisitSettings,
    memory: Option<EdgeMemory>,
    shared_cache: Option<Arc<dyn LinkLookup>>,
    enricher: OnceCell<Arc<Enricher>>,
}

/// What a host is, as far as explanations tell hosts apart.
#[derive(Clone, Debug)]
enum HostIs {
    /// A domain of its own.
    Domain(Host),
    Default,
    Upstream,
    Unknown,
}

impl Explainer {
    /// Makes one with these settings. `shared_cache` is that of the back ends.
    pub fn new(settings: VisitSettings, shared_cache: Option<Arc<dyn LinkLookup>>) -> Self {
        Self { settings, memory: None, shared_cache, enricher: OnceCell::new() }
    }

    /// Adds what an edge and a worker of the same process know.
    #[must_use]
    pub fn beside(self, memory: EdgeMemory, enricher: Arc<Enricher>) -> Self {
        Self { memory: Some(memory), enricher: OnceCell::new_with(Some(enricher)), ..self }
    }

    /// Explains a visit to `access`, who may see links of one workspace, or of all.
    pub(super) async fn explain(
        &self,
        state: &ApiState,
        access: &Access,
        visited: Visited,
    ) -> Result<ExplanationView, Problem> {
        let at = visited.at.unwrap_or_else(|| state.clock.now());
        let domains = state.ports.domains.hosts().await?;
        let mut steps = Steps::new();
        let default_host = state.settings.short_host().ok_or_else(Problem::internal)?;
        let host = self.host(&visited, domains, &default_host, &mut steps);
        let (mut short_code, mut link, mut visit, mut count) = (None, None, None, CountView::default());
        let domain = match &host {
            HostIs::Domain(host) => Some(Some(host.clone())),
            HostIs::Default => Some(None),
            HostIs::Upstream | HostIs::Unknown => None,
        };
        let head = match (domain, wanted(&visited.method, visited.path.as_bytes())) {
            (None, _) if matches!(host, HostIs::Upstream) => {
                steps.done("answer", "proxied", "the server behind this host answers; no click is made");
                None
            }
            (None, _) => Some(self.page(Page::UnknownHost, &visited)),
            (Some(_), Wanted::Page(page)) => {
                steps.done("code", page_name(page), "the path is no short code, nothing is looked up");
                Some(self.page(page, &visited))
            }
            (Some(domain), Wanted::Link(code, method)) => {
                let code = String::from_utf8_lossy(code.as_bytes()).into_owned();
                steps.done("code", "valid", format!("`{code}` is a short code"));
                let key = LinkKey { domain, short_code: code.parse().map_err(|_| Problem::internal())? };
                short_code = Some(code);
                let found = self.find(state, access, &key, &mut steps).await?;
                let (head, view) = self.decide(state, &found, &key, at, &visited, &mut steps).await?;
                link = view;
                if let (Found::Link(link), true) = (found, (300..400).contains(&head.status)) {
                    visit = Some((link, key.domain.unwrap_or(default_host), method));
                }
                Some(head)
            }
        };
        if let Some(head) = &head {
            let location = head.headers.iter().find(|(name, _)| *name == http::header::LOCATION);
            let location = location.map(|(_, value)| String::from_utf8_lossy(value.as_bytes()));
            let detail = location.map_or_else(|| "a page".to_owned(), |to| format!("to {to}"));
            steps.done("answer", head.status.to_string(), detail);
        }
        if let Some((link, name, method)) = visit {
            count = self.count(state, &link, &name, method, at, &visited, &mut steps).await?;
        } else {
            steps.done("count", "no_click", "only redirects are visits");
        }
        Ok(ExplanationView {
            url: visited.url,
            method: visited.method.to_string(),
            at,
            short_code,
            link,
            answer: head.as_ref().map(AnswerView::from),
            count,
            took_us: steps.took_us(),
            steps: steps.taken,
        })
    }

    fn host(&self, visited: &Visited, domains: Vec<Host>, default_host: &Host, steps: &mut Steps) -> HostIs {
        let settings = &self.settings;
        let fallback = match settings.unknown_host {
            UnknownHost::Default => HostIs::Default,
            UnknownHost::Reject => HostIs::Unknown,
        };
        let defaults = std::iter::once(default_host).chain(&settings.default_hosts);
        let table = HostTable::new(
            domains.into_iter().map(|host| (host.clone(), HostIs::Domain(host))),
            defaults.map(|host| (host.clone(), HostIs::Default)),
            settings.upstreams.iter().map(|host| (host.clone(), HostIs::Upstream)),
            fallback,
        );
        let mut buffer = [0; HOST_BUFFER_LEN];
        let host = normal_host(&visited.authority, &mut buffer);
        let is = table.find(host).clone();
        let name = host.unwrap_or("no host");
        let (result, mut detail) = match &is {
            HostIs::Domain(_) => ("domain", format!("`{name}` is a domain of its own")),
            HostIs::Default if host.is_some_and(|host| table.knows(host)) => {
                ("default", format!("`{name}` is the default domain"))
            }
            HostIs::Default => {
                ("unknown_as_default", format!("nobody registered `{name}`: it counts as the default domain"))
            }
            HostIs::Upstream => ("upstream", format!("`{name}` is handed on to another server")),
            HostIs::Unknown => ("unknown", format!("nobody registered `{name}`, such hosts are refused")),
        };
        if settings.prefers_https && !visited.is_https {
            detail.push_str("; an edge with a certificate for it sends http to https before all else");
        }
        steps.done("host", result, detail);
        is
    }

    /// Looks into each layer in the order edges do. The first that has the link answers; the others are asked to tell
    /// whether they agree.
    async fn find(
        &self,
        state: &ApiState,
        access: &Access,
        key: &LinkKey,
        steps: &mut Steps,
    ) -> Result<Found, Problem> {
        let remembered = self.memory.as_ref().map(|memory| memory(key));
        let mut answered = None;
        let (result, detail) = match remembered {
            None => ("not_known", "each edge has a memory of its own, this process is no edge"),
            Some(Remembered::Fresh(link)) => {
                answered = Some(Found::Link(link));
                ("fresh", "the edge answers from its memory")
            }
            Some(Remembered::Aging(link)) => {
                answered = Some(Found::Link(link));
                ("aging", "the edge answers from its memory and has it refreshed")
            }
            Some(Remembered::Stale(_)) => ("stale", "served only if nobody else can be asked"),
            Some(Remembered::Absent) => {
                answered = Some(Found::Absent);
                ("absent", "the edge remembers that there was no such link a moment ago")
            }
            Some(Remembered::Nothing) => ("miss", "the edge has to ask"),
        };
        steps.done("edge_memory", result, detail);

        match &self.shared_cache {
            None => steps.done("shared_cache", "none", "there is no shared cache"),
            Some(cache) => match cache.lookup(key).await {
                Ok(Some(link)) => {
                    let word = if answered.is_none() { "it answers" } else { "not asked by this edge" };
                    steps.done("shared_cache", "hit", format!("{word}; revision {}", link.revision));
                    answered.get_or_insert(Found::Link(link));
                }
                Ok(None) => steps.done("shared_cache", "miss", "the database is asked"),
                Err(error) => steps.done("shared_cache", "unavailable", error.to_string()),
            },
        }
        let stored = state.ports.database.lookup(key).await;
        let (result, detail) = match (&stored, &answered) {
            (Ok(Some(stored)), Some(Found::Link(cached))) if stored.revision > cached.revision => (
                "newer",
                format!("revision {}: caches have not heard of the last change yet", stored.revision),
            ),
            (Ok(Some(stored)), None) => ("hit", format!("it answers; revision {}", stored.revision)),
            (Ok(Some(stored)), Some(_)) => ("hit", format!("not asked; revision {}", stored.revision)),
            (Ok(None), _) => ("absent", "has no such link".to_owned()),
            (Err(error), _) => ("unavailable", error.to_string()),
        };
        steps.done("database", result, detail);
        let stored = match stored {
            Ok(Some(link)) => Found::Link(link),
            Ok(None) => Found::Absent,
            Err(StoreError::Unavailable(_)) => Found::Unavailable,
            Err(error) => return Err(error.into()),
        };
        for found in std::iter::once(&stored).chain(&answered) {
            if let Found::Link(link) = found {
                super::check_link(access, link)?;
            }
        }
        Ok(answered.unwrap_or(stored))
    }

    async fn decide(
        &self,
        state: &ApiState,
        found: &Found,
        key: &LinkKey,
        at: Timestamp,
        visited: &Visited,
        steps: &mut Steps,
    ) -> Result<(Head, Option<LinkView>), Problem> {
        let link = match found {
            Found::Link(link) => Some(link),
            Found::Absent => None,
            Found::Unavailable => {
                steps.done("link", "not_known", "nobody can tell now");
                return Ok((self.page(Page::Unavailable, visited), None));
            }
        };
        let head = match verdict(link, at) {
            Verdict::Redirect(link) => redirect(link, at, self.settings.permanent_max_age),
            Verdict::Page(page) => self.page(page, visited),
        };
        let Some(link) = link else {
            let (result, detail) = match domain_id(key) {
                Some(id) if state.ports.links.is_code_taken(id, &key.short_code).await? => {
                    ("deleted", "a deleted link keeps this code until it is purged")
                }
                _ => ("unknown", "no link has this code here"),
            };
            steps.done("link", result, detail);
            return Ok((head, None));
        };
        let stored = state.ports.links.find(link.workspace_id, link.id).await?;
        let link_state = stored.map(|stored| stored.state(at));
        let detail = match (link_state, link.expires_at) {
            (None, _) => "the database has it no more".to_owned(),
            (Some(LinkState::Active), Some(end)) => format!("redirects until {end}"),
            (Some(LinkState::Active), None) => "redirects".to_owned(),
            (Some(LinkState::Disabled), _) => "its owner has switched it off".to_owned(),
            (Some(LinkState::Expired), Some(end)) => format!("expired at {end}"),
            (Some(LinkState::Expired), None) => "expired".to_owned(),
            (Some(LinkState::Archived), _) => "redirects, and is hidden from lists".to_owned(),
            (Some(LinkState::Deleted), _) => "deleted; a cache has not heard of it yet".to_owned(),
        };
        steps.done("link", link_state.map_or("gone", LinkState::as_str), detail);
        Ok((head, Some(LinkView::new(link, link_state))))
    }

    #[expect(clippy::too_many_arguments, reason = "all that makes a click")]
    async fn count(
        &self,
        state: &ApiState,
        link: &CachedLink,
        domain: &Host,
        method: ClickMethod,
        at: Timestamp,
        visited: &Visited,
        steps: &mut Steps,
    ) -> Result<CountView, Problem> {
        let enricher = self.enricher().await?;
        let settings = &self.settings;
        let ip = visited.peer.map(|peer| visitor_address(peer, &visited.headers, &settings.trusted_proxies));
        let headers = VisitHeaders::from(&visited.headers);
        let visit = Visit { domain, ip, method, query: visited.query.as_bytes(), headers };
        let id = ClickId::generate(at, &mut state.random.fork());
        let click: Click = mint_click(id, link, &visit, settings.policy);
        let is_private = click.is_private;
        let row = enricher.enrich(click, None);
        let mut detail = match row.class {
            ClickClass::Counted if settings.repeat_window.is_zero() || is_private => "it counts".to_owned(),
            ClickClass::Counted => format!(
                "it counts, unless the same visitor was counted on this link within {} s: then it is a repeat",
                settings.repeat_window.as_secs()
            ),
            ClickClass::Head => "HEAD is a look, not a visit".to_owned(),
            ClickClass::Prefetch => "a browser fetches ahead".to_owned(),
            ClickClass::Bot => format!("a robot, by the rule `{}`", row.bot),
            ClickClass::Excluded => "the address is one of `worker.excluded_addresses`".to_owned(),
            ClickClass::Repeat => "the same visitor came a moment before".to_owned(),
        };
        if is_private {
            let gpc = headers.sec_gpc.is_some_and(|value| value.trim_ascii() == b"1");
            let signal = if gpc { "Sec-GPC" } else { "DNT" };
            detail.push_str("; `");
            detail.push_str(signal);
            detail.push_str("` is respected, nothing is stored about the visitor but the class of device");
        }
        steps.done("count", row.class.as_str(), detail);
        let given = visited.country.clone().filter(|_| !is_private);
        Ok(CountView {
            class: Some(row.class.as_str()),
            bot: row.bot,
            is_private,
            country: given.unwrap_or(row.country_code),
            repeat_window_ms: u64::try_from(settings.repeat_window.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Returns what clicks are classified with; the first time that takes a moment.
    async fn enricher(&self) -> Result<Arc<Enricher>, Problem> {
        let made = self.enricher.get_or_try_init(|| async {
            let config = self.settings.enrich.clone();
            let made = tokio::task::spawn_blocking(move || Enricher::new(&config)).await;
            match made {
                Ok(Ok(enricher)) => Ok(Arc::new(enricher)),
                Ok(Err(error)) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "clicks cannot be classified");
                    Err(Problem::new(Code::Unavailable, "the rules that classify clicks cannot be read here"))
                }
                Err(_) => Err(Problem::internal()),
            }
        });
        made.await.map(Arc::clone)
    }

    fn page(&self, page: Page, visited: &Visited) -> Head {
        match (&self.settings.root_redirect, page) {
            (Some(target), Page::Root) => root_redirect(target),
            _ => page.form(wants_json(&visited.headers)).head,
        }
    }
}

/// What the layers know.
enum Found {
    Link(CachedLink),
    Absent,
    Unavailable,
}

/// The id of the default domain; those of others are known to their workspaces only.
fn domain_id(key: &LinkKey) -> Option<DomainId> {
    key.domain.is_none().then_some(DomainId::DEFAULT)
}

const fn page_name(page: Page) -> &'static str {
    match page {
        Page::Root => "root",
        Page::Robots => "robots",
        Page::NoFavicon => "favicon",
        Page::MethodNotAllowed => "method_not_allowed",
        _ => "invalid",
    }
}
