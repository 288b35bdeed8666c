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

use crate::settings::UnknownHost;
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

#[derive(Debug)]
struct Table {
    hosts: HashMap<Box<str>, Route>,
    fallback: Route,
}

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
            table: ArcSwap::from_pointee(Table { hosts: HashMap::new(), fallback: Route::NotYet }),
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
        let table = self.table.load();
        host.and_then(|host| table.hosts.get(host)).unwrap_or(&table.fallback).clone()
    }

    /// Looks at the domain of short links that `host` is, without a copy; `None` if it is anything else.
    pub(crate) fn with_short<T>(&self, host: &str, look: impl FnOnce(&Domain) -> T) -> Option<T> {
        let table = self.table.load();
        match table.hosts.get(host).unwrap_or(&table.fallback) {
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
        let hosts = table.hosts.values().filter_map(|route| match route {
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
        let mut hosts = HashMap::new();
        for host in domains {
            let domain =
                Domain { index: self.give_index(host), host: Some(host.clone()), name: host.clone() };
            hosts.insert(Box::from(host.as_str()), Route::Short(Arc::new(domain)));
        }
        // The instance's own names win over a domain that somebody registered under the same name.
        for host in &self.default_hosts {
            hosts.insert(host.as_str().into(), Route::Short(Arc::clone(&self.default_domain)));
        }
        for (host, upstream) in &self.upstreams {
            hosts.insert(host.as_str().into(), Route::Upstream(Arc::clone(upstream)));
        }
        self.table.store(Arc::new(Table { hosts, fallback }));
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

/// Longest host that can be one of ours.
const HOST_LEN_MAX: usize = Host::LEN_MAX + 1;

/// Brings the host of a request into the form of the table, in `buffer`: lower case, without port and
/// closing dot. `None` if it cannot be one of ours.
pub(crate) fn normal_host<'a>(authority: &[u8], buffer: &'a mut [u8; HOST_LEN_MAX]) -> Option<&'a str> {
    let end = if authority.first() == Some(&b'[') {
        authority.iter().position(|b| *b == b']')? + 1
    } else {
        authority.iter().position(|b| *b == b':').unwrap_or(authority.len())
    };
    let host = &authority[..end];
    let host = host.strip_suffix(b".").unwrap_or(host);
    let room = buffer.get_mut(..host.len()).filter(|room| !room.is_empty())?;
    room.copy_from_slice(host);
    room.make_ascii_lowercase();
    std::str::from_utf8(room).ok()
}

/// Room for [`normal_host`].
pub(crate) const fn host_buffer() -> [u8; HOST_LEN_MAX] {
    [0; HOST_LEN_MAX]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        text.parse().expect("valid")
    }

    #[test]
    fn hosts_are_compared_in_one_form() {
        for (given, normal) in [
            ("Go.Example.COM", Some("go.example.com")),
            ("go.example.com:8080", Some("go.example.com")),
            ("go.example.com.", Some("go.example.com")),
            ("go.example.com.:80", Some("go.example.com")),
            ("[::1]:8080", Some("[::1]")),
            ("[::1", None),
            ("", None),
            (":80", None),
        ] {
            let mut buffer = host_buffer();
            assert_eq!(normal_host(given.as_bytes(), &mut buffer), normal, "{given}");
        }
        let long = "a".repeat(400);
        assert_eq!(normal_host(long.as_bytes(), &mut host_buffer()), None);
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
