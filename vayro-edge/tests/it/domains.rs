//! Which host serves what.

use vayro_core::change::Invalidation;
use vayro_edge::UnknownHost;
use vayro_edge::admin::readiness;

use crate::client::{Answer, Client};
use crate::world::{Mood, TestEdge, World, host, target, until};

pub(crate) async fn ask(edge: &TestEdge, host: &str, path: &str) -> Answer {
    let mut client = Client::connect(edge.http()).await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    client.answer().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_code_leads_elsewhere_on_another_domain() {
    let world = World::new();
    world.hosts.lock().push(host("go.example.com"));
    let edge = TestEdge::start_with(world, |_| {}).await;
    edge.world.put("launch", |_| {});
    edge.world.put_on(Some("go.example.com"), "launch", |link| {
        link.target = target("https://example.org/");
    });
    for _ in 0..2 {
        assert_eq!(ask(&edge, "vay.ro", "/launch").await.location(), "https://example.com/launch");
        assert_eq!(ask(&edge, "GO.example.com:8080", "/launch").await.location(), "https://example.org/");
        assert_eq!(ask(&edge, "go.example.com.", "/launch").await.location(), "https://example.org/");
    }
    assert_eq!(edge.world.lookups(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_says_which_domain_it_came_through() {
    let world = World::new();
    world.hosts.lock().push(host("go.example.com"));
    let edge = TestEdge::start_with(world, |settings| settings.default_hosts = vec![host("vay.ro")]).await;
    edge.world.put("launch", |_| {});
    edge.world.put_on(Some("go.example.com"), "launch", |_| {});
    for host in ["GO.example.com:8080", "vay.ro", "else.example", "default.example"] {
        assert_eq!(ask(&edge, host, "/launch").await.status(), 302);
    }
    let world = edge.stop().await;
    let mut domains: Vec<_> = world.clicks().iter().map(|click| click.domain.to_string()).collect();
    domains.sort_unstable();
    // Further and unknown hosts are the default domain.
    assert_eq!(domains, ["default.example", "default.example", "default.example", "go.example.com"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_domain_is_known_once_it_is_told() {
    let edge = TestEdge::start().await;
    edge.world.put_on(Some("new.example"), "launch", |_| {});
    assert_eq!(ask(&edge, "new.example", "/launch").await.status(), 404);
    edge.world.hosts.lock().push(host("new.example"));
    edge.world.tell(Invalidation::Domains);
    let known = async {
        while ask(&edge, "new.example", "/launch").await.status() != 302 {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(crate::world::PATIENCE, known).await.is_ok());
    // Links of that domain are told about under its name.
    edge.world.put_on(Some("new.example"), "launch", |link| link.active = false);
    let news = vec![(crate::world::key(Some("new.example"), "launch"), i64::MAX)];
    edge.world.tell(Invalidation::Links(news));
    edge.until_metric("vayro_edge_invalidations_total{kind=\"links\"}", 1.0).await;
    assert_eq!(ask(&edge, "new.example", "/launch").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_hosts_are_refused_where_that_is_asked_for() {
    let edge = TestEdge::start_with(World::new(), |settings| {
        settings.unknown_host = UnknownHost::Reject;
        settings.default_hosts = vec![host("vay.ro")];
    })
    .await;
    edge.world.put("launch", |_| {});
    assert_eq!(ask(&edge, "vay.ro", "/launch").await.status(), 302);
    assert_eq!(ask(&edge, "else.example", "/launch").await.status(), 421);
    assert_eq!(edge.world.lookups(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_does_not_know_the_domains_says_so_and_goes_on_trying() {
    let world = World::new();
    *world.hosts_mood.lock() = Mood::Failing;
    let edge = TestEdge::start_with(world, |settings| settings.default_hosts = vec![host("vay.ro")]).await;
    edge.world.put("launch", |_| {});
    assert!(!readiness(&edge.observer).ready);
    assert_eq!(ask(&edge, "vay.ro", "/launch").await.status(), 302);
    assert_eq!(ask(&edge, "go.example", "/launch").await.status(), 503);
    *edge.world.hosts_mood.lock() = Mood::Well;
    until("the domains are known", || readiness(&edge.observer).ready).await;
    assert_eq!(ask(&edge, "go.example", "/launch").await.status(), 302);
}
