//! What a visitor gets.

use std::time::Duration;

use vayro_core::link::RedirectStatus;

use crate::client::Client;
use crate::world::{TestEdge, World, target};

/// Replaces what changes from run to run.
fn without_date(head: &str) -> String {
    let lines = head.lines().map(|line| match line.split_once(": ") {
        Some((name, _)) if name.eq_ignore_ascii_case("date") => format!("{name}: (date)"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_these_bytes() {
    let edge = TestEdge::start().await;
    edge.world.put("launch", |_| {});
    let answer = Client::connect(edge.http()).await.get("/launch").await;
    insta::assert_snapshot!(without_date(&answer.head), @r"
    HTTP/1.1 302 Found
    location: https://example.com/launch
    Cache-Control: private, max-age=0
    Content-Length: 0
    x-robots-tag: noindex
    Date: (date)
    Connection: keep-alive
    ");
    assert!(answer.header("date").is_some_and(|date| date.ends_with("GMT")));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_status_has_its_cache_control() {
    let edge = TestEdge::start().await;
    let mut client = Client::connect(edge.http()).await;
    for (status, code, cache_control) in [
        (RedirectStatus::MovedPermanently, 301, "private, max-age=90"),
        (RedirectStatus::Found, 302, "private, max-age=0"),
        (RedirectStatus::SeeOther, 303, "private, max-age=0"),
        (RedirectStatus::TemporaryRedirect, 307, "private, max-age=0"),
        (RedirectStatus::PermanentRedirect, 308, "private, max-age=90"),
    ] {
        let name = format!("status{code}");
        edge.world.put(&name, |link| link.status = status);
        let answer = client.get(&format!("/{name}")).await;
        assert_eq!(answer.status(), code);
        assert_eq!(answer.header("cache-control"), Some(cache_control));
        assert_eq!(answer.header("content-length"), Some("0"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_redirect_is_not_kept_past_the_links_end() {
    let edge = TestEdge::start().await;
    let end = edge.world.now().plus(Duration::from_secs(40));
    edge.world.put("sale", |link| {
        link.status = RedirectStatus::PermanentRedirect;
        link.expires_at = Some(end);
    });
    let mut client = Client::connect(edge.http()).await;
    assert_eq!(client.get("/sale").await.header("cache-control"), Some("private, max-age=40"));
    edge.world.advance(Duration::from_secs(15));
    assert_eq!(client.get("/sale").await.header("cache-control"), Some("private, max-age=25"));
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_answered_like_get_without_a_body() {
    let edge = TestEdge::start().await;
    edge.world.put("launch", |_| {});
    let mut client = Client::connect(edge.http()).await;
    client.ask("HEAD", "/launch", "").await;
    assert_eq!(client.answer_to_head().await.location(), "https://example.com/launch");
    client.ask("HEAD", "/nothing", "").await;
    let missing = client.answer_to_head().await;
    assert_eq!(missing.status(), 404);
    assert_ne!(missing.header("content-length"), Some("0"));
    // Nothing came behind the head, or this answer would not parse.
    assert_eq!(client.get("/launch").await.status(), 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_outlives_pages_of_our_own() {
    let edge = TestEdge::start().await;
    edge.world.put("off", |link| link.active = false);
    edge.world.put("over", |link| link.expires_at = Some(vayro_core::timestamp::Timestamp::EPOCH));
    let mut client = Client::connect(edge.http()).await;
    for (path, status) in [
        ("/nothing", 404),
        ("/off", 404),
        ("/over", 410),
        ("/no.such.code", 404),
        ("/", 200),
        ("/robots.txt", 200),
        ("/favicon.ico", 404),
    ] {
        let answer = client.get(path).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.header("connection"), Some("keep-alive"), "{path}");
    }
    client.ask("DELETE", "/off", "").await;
    let refused = client.answer().await;
    assert_eq!((refused.status(), refused.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(client.get("/nothing").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_come_as_html_or_as_a_problem() {
    let edge = TestEdge::start().await;
    let mut client = Client::connect(edge.http()).await;
    let page = client.get_with("/nothing", "Accept: text/html,*/*;q=0.8\r\n").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains("<h1>Not found</h1>"));
    let problem = client.get_with("/nothing", "Accept: application/json\r\n").await;
    assert_eq!(problem.header("content-type"), Some("application/problem+json"));
    let problem: serde_json::Value = serde_json::from_slice(&problem.body).expect("JSON");
    assert_eq!((&problem["status"], &problem["code"]), (&404.into(), &"not_found".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_codes_are_never_looked_up() {
    let edge = TestEdge::start().await;
    let mut client = Client::connect(edge.http()).await;
    let long = format!("/{}", "a".repeat(51));
    for path in ["/.env", "/wp-login.php", "/a/b", "/a%00b", long.as_str(), "//a"] {
        assert_eq!(client.get(path).await.status(), 404, "{path}");
    }
    assert_eq!(edge.world.lookups(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_slash_at_the_end_and_escapes_are_tolerated() {
    let edge = TestEdge::start().await;
    edge.world.put("launch", |_| {});
    let mut client = Client::connect(edge.http()).await;
    for path in ["/launch/", "/launch?a=b", "/l%61unch", "http://vay.ro/launch"] {
        assert_eq!(client.get(path).await.status(), 302, "{path}");
    }
    assert_eq!(client.get("/Launch").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_leads_where_it_is_told() {
    let edge = TestEdge::start_with(World::new(), |settings| {
        settings.root_redirect = Some(target("https://example.com/about"));
    })
    .await;
    let answer = Client::connect(edge.http()).await.get("/").await;
    assert_eq!((answer.status(), answer.location()), (302, "https://example.com/about"));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_clients_without_keep_alive_are_answered_and_closed() {
    let edge = TestEdge::start().await;
    edge.world.put("launch", |_| {});
    let mut client = Client::connect(edge.http()).await;
    client.send("GET /launch HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 302);
    assert!(client.until_closed().await.is_empty());
    let mut client = Client::connect(edge.http()).await;
    let answer = client.get_with("/launch", "Connection: close\r\n").await;
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(client.until_closed().await.is_empty());
}
