//! From a request's host to what answers it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use vayro_core::host::Host;
use vayro_core::ports::DomainStore;
use vayro_core::visit::{HOST_BUFFER_LEN, HostTable, UnknownHost};

use crate::shutdown::until_told;
use crate::upstream::Upstream;

/// How often the table is read again although nobody said that it changed.
const REFRESH_EVERY: Duration = Duration::from_secs(60);
/// Pause after a failed read.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long one read of the table may take.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// A domain as cache keys name it; given out once per host and process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DomainIndex(pub(crate) u32);

impl DomainIndex {
    /// The instance's default domain.
    pub(crate) const DEFAULT: Self = Self(0);
}

/// A domain of short links.
#[derive(Clone, Debug)]
pub(crate) struct Domain {
    pub(crate) index: DomainIndex,
    /// Its host; `None` for the default domain.
    pub(crate) host: Option<Host>,
    /// What its clicks say they came through: its host, that of the default domain too.
    pub(crate) name: Host,
}

/// What answers the requests of a host.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// Short links.
    Short(Arc<Domain>),
    /// Another server of ours.
    Upstream(Arc<Upstream>),
    /// Nothing: the host is not ours.
    Unknown,
    /// Nobody knows yet: the domains could not be read since the start.
    NotYet,
}

type Table = HostTable<Route>;

/// The table of hosts. Reading it is one atomic load and at most one look.
#[derive(Debug)]
pub(crate) struct Routes {
    table: ArcSwap<Table>,
    indexes: Mutex<HashMap<Host, DomainIndex>>,
    default_domain: Arc<Domain>,
    default_hosts: Vec<Host>,
    upstreams: Vec<(Host, Arc<Upstream>)>,
    unknown: UnknownHost,
    is_loaded: AtomicBool,
    is_restored: AtomicBool,
    /// Wakes the refresher.
    pub(crate) changed: Notify,
}

impl Routes {
    /// Makes a table without any domain but the default one, whose host is `default_host`, and which has
    /// further ones.
    pub(crate) fn new(
        default_host: Host,
        further_hosts: Vec<Host>,
        upstreams: Vec<(Host, Arc<Upstream>)>,
        unknown: UnknownHost,
    ) -> Self {
        let default_domain =
            Arc::new(Domain { index: DomainIndex::DEFAULT, host: None, name: default_host.clone() });
        let routes = Self {
            table: ArcSwap::from_pointee(Table::new([], [], [], Route::NotYet)),
            indexes: Mutex::new(HashMap::new()),
            default_domain,
            default_hosts: std::iter::once(default_host).chain(further_hosts).collect(),
            upstreams,
            unknown,
            is_loaded: AtomicBool::new(false),
            is_restored: AtomicBool::new(false),
            changed: Notify::new(),
        };
        routes.publish(&[], Route::NotYet);
        routes
    }

    /// Returns what answers `host`, which is lower case and without port; `None` if the request has none.
    pub(crate) fn find(&self, host: Option<&str>) -> Route {
        self.table.load().find(host).clone()
    }

    /// Looks at the domain of short links that `host` is, without a copy; `None` if it is anything else.
    pub(crate) fn with_short<T>(&self, host: &str, look: impl FnOnce(&Domain) -> T) -> Option<T> {
        let table = self.table.load();
        match table.find(Some(host)) {
            Route::Short(domain) => Some(look(domain)),
            _ => None,
        }
    }

    /// Takes over the domains as they are now.
    pub(crate) fn set_domains(&self, hosts: &[Host]) {
        self.publish(hosts, self.fallback());
        self.is_loaded.store(true, Ordering::Release);
    }

    /// Takes over the domains that an edge before knew, until they can be read.
    pub(crate) fn restore_domains(&self, hosts: &[Host]) {
        self.publish(hosts, self.fallback());
        self.is_restored.store(true, Ordering::Release);
    }

    /// Tells whether the domains are those that an edge before knew.
    pub(crate) fn is_restored(&self) -> bool {
        self.is_restored.load(Ordering::Acquire) && !self.is_loaded()
    }

    /// Tells whether the domains were read since the start.
    pub(crate) fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Acquire)
    }

    /// Returns the index of a domain; `None` if no request can have used it yet.
    pub(crate) fn index_of(&self, host: Option<&Host>) -> Option<DomainIndex> {
        match host {
            None => Some(DomainIndex::DEFAULT),
            Some(host) => self.indexes.lock().get(host).copied(),
        }
    }

    /// Returns the domains besides the default one.
    pub(crate) fn domains(&self) -> Vec<Host> {
        let table = self.table.load();
        let hosts = table.routes().filter_map(|route| match route {
            Route::Short(domain) => domain.host.clone(),
            _ => None,
        });
        hosts.collect()
    }

    /// Returns every domain but the default one that has or had an index.
    pub(crate) fn indexes(&self) -> HashMap<DomainIndex, Host> {
        self.indexes.lock().iter().map(|(host, index)| (*index, host.clone())).collect()
    }

    /// What answers a host that nobody registered, once it is known which ones are.
    fn fallback(&self) -> Route {
        match self.unknown {
            UnknownHost::Default => Route::Short(Arc::clone(&self.default_domain)),
            UnknownHost::Reject => Route::Unknown,
        }
    }

    fn publish(&self, domains: &[Host], fallback: Route) {
        let domains = domains.iter().map(|host| {
            let domain =
                Domain { index: self.give_index(host), host: Some(host.clone()), name: host.clone() };
            (host.clone(), Route::Short(Arc::new(domain)))
        });
        let defaults = self.default_hosts.iter();
        let defaults = defaults.map(|host| (host.clone(), Route::Short(Arc::clone(&self.default_domain))));
        let upstreams = self.upstreams.iter();
        let upstreams =
            upstreams.map(|(host, upstream)| (host.clone(), Route::Upstream(Arc::clone(upstream))));
        self.table.store(Arc::new(Table::new(domains, defaults, upstreams, fallback)));
    }

    /// Returns the index of a domain, a new one if it has none.
    pub(crate) fn give_index(&self, host: &Host) -> DomainIndex {
        let mut indexes = self.indexes.lock();
        let next = u32::try_from(indexes.len() + 1).unwrap_or(u32::MAX);
        *indexes.entry(host.clone()).or_insert(DomainIndex(next))
    }

    /// Reads the domains and tells whether that succeeded.
    pub(crate) async fn read(&self, store: &dyn DomainStore) -> bool {
        let answer = tokio::time::timeout(READ_TIMEOUT, store.hosts()).await;
        match answer {
            Ok(Ok(hosts)) => {
                self.set_domains(&hosts);
                true
            }
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "domains cannot be read");
                false
            }
            Err(_) => {
                tracing::warn!("reading the domains took too long");
                false
            }
        }
    }

    /// Keeps the table current until `stopping` turns true.
    pub(crate) async fn keep_current(&self, store: &dyn DomainStore, mut stopping: watch::Receiver<bool>) {
        let mut pause = if self.is_loaded() { REFRESH_EVERY } else { RETRY_AFTER };
        loop {
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(pause) => {}
                () = until_told(&mut stopping) => return,
            }
            pause = if self.read(store).await { REFRESH_EVERY } else { RETRY_AFTER };
        }
    }
}

/// Room for [`normal_host`].
pub(crate) const fn host_buffer() -> [u8; HOST_BUFFER_LEN] {
    [0; HOST_BUFFER_LEN]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        text.parse().expect("valid")
    }

    #[test]
    fn a_domain_keeps_its_index_while_the_table_changes() {
        let routes = Routes::new(host("vay.ro"), vec![], vec![], UnknownHost::Default);
        routes.set_domains(&[host("a.example"), host("b.example")]);
        let index = routes.index_of(Some(&host("b.example")));
        assert!(index.is_some() && index != routes.index_of(Some(&host("a.example"))));
        routes.set_domains(&[host("b.example")]);
        assert_eq!(routes.index_of(Some(&host("b.example"))), index);
    }

    #[test]
    fn before_the_first_read_only_configured_hosts_are_known() {
        let routes = Routes::new(host("vay.ro"), vec![host("www.vay.ro")], vec![], UnknownHost::Default);
        assert!(matches!(routes.find(Some("vay.ro")), Route::Short(_)));
        assert!(matches!(routes.find(Some("go.example")), Route::NotYet));
        routes.set_domains(&[host("go.example")]);
        assert!(matches!(routes.find(Some("go.example")), Route::Short(domain)
            if domain.host.is_some() && domain.name == host("go.example")));
        for default in ["vay.ro", "www.vay.ro", "else.example"] {
            assert!(matches!(routes.find(Some(default)), Route::Short(domain)
                if domain.host.is_none() && domain.name == host("vay.ro")));
        }
        assert!(matches!(routes.find(None), Route::Short(_)));
    }

    #[test]
    fn unknown_hosts_are_refused_when_asked_to() {
        let routes = Routes::new(host("vay.ro"), vec![], vec![], UnknownHost::Reject);
        routes.set_domains(&[]);
        assert!(matches!(routes.find(Some("else.example")), Route::Unknown));
        assert!(matches!(routes.find(Some("vay.ro")), Route::Short(_)));
    }
}
