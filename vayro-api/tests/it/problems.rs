//! Everything that goes wrong is a problem document.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures::StreamExt as _;
use http::Method;
use serde_json::json;
use vayro_api::{ApiSettings, Ports};
use vayro_core::ports::{RateDecision, RateLimiter, StreamError};
use vayro_core::timestamp::Timestamp;

use crate::app::{PASSWORD, TestApp};

/// A limiter that is away.
pub(crate) struct Away;

#[async_trait::async_trait]
impl RateLimiter for Away {
    async fn hit(&self, _: &str, _: u32, _: Duration, _: Timestamp) -> Result<RateDecision, StreamError> {
        Err(StreamError("away".into()))
    }

    async fn reset(&self, _: &str) -> Result<(), StreamError> {
        Err(StreamError("away".into()))
    }
}

/// A limiter that never answers.
struct Stuck;

#[async_trait::async_trait]
impl RateLimiter for Stuck {
    async fn hit(&self, _: &str, _: u32, _: Duration, _: Timestamp) -> Result<RateDecision, StreamError> {
        std::future::pending().await
    }

    async fn reset(&self, _: &str) -> Result<(), StreamError> {
        Ok(())
    }
}

/// A limiter with a bug.
struct Broken;

#[async_trait::async_trait]
impl RateLimiter for Broken {
    async fn hit(&self, _: &str, _: u32, _: Duration, _: Timestamp) -> Result<RateDecision, StreamError> {
        panic!("a secret of the inside")
    }

    async fn reset(&self, _: &str) -> Result<(), StreamError> {
        Ok(())
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems() {
    let app = TestApp::new().await;
    let client = app.anonymous();
    for path in ["/", "/v1", "/v1/nope", "/v1/links/", "/v2/links", "/%00", "/v1/links/x/y/z"] {
        client.get(path).await.problem("unknown_route");
    }
    let answer = client.send(Method::PUT, "/v1/links", None).await;
    let allow = answer.headers["allow"].to_str().expect("text").to_owned();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    answer.problem("method_not_allowed");
    client.send(Method::OPTIONS, "/v1/me", None).await.problem("method_not_allowed");
}

#[tokio::test]
async fn bodies_that_are_no_json_are_problems() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, &["links:write"]).await;
    let json = client.clone().with("content-type", "application/json");
    for body in ["", "{", "nonsense", "{\"target_url\":\"x\"} trailing", "\u{0}"] {
        json.send_raw(Method::POST, "/v1/links", Body::from(body)).await.problem("malformed_body");
    }
    json.send_raw(Method::POST, "/v1/links", Body::from(vec![0xFF, 0xFE])).await.problem("malformed_body");
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
        let client = client.clone().with("content-type", content_type);
        client.send_raw(Method::POST, "/v1/links", Body::from("{}")).await.problem("unsupported_media_type");
    }
    client.send_raw(Method::POST, "/v1/links", Body::from("{}")).await.problem("unsupported_media_type");
}

#[tokio::test]
async fn bodies_are_bounded_whether_announced_or_not() {
    let app = TestApp::with(|_, settings| settings.body_size_max = 1000, None).await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, &["links:write"]).await.with("content-type", "application/json");
    let text = json!({ "target_url": "https://example.com/", "title": "x".repeat(2000) }).to_string();
    let announced = client.clone().with("content-length", &text.len().to_string());
    announced.send_raw(Method::POST, "/v1/links", Body::from(text.clone())).await.problem("body_too_large");
    let chunks = futures::stream::iter(text.into_bytes()).map(|byte| Ok::<_, std::io::Error>(vec![byte]));
    client.send_raw(Method::POST, "/v1/links", Body::from_stream(chunks)).await.problem("body_too_large");
    let broken = futures::stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("gone"))]);
    client.send_raw(Method::POST, "/v1/links", Body::from_stream(broken)).await.problem("malformed_body");
    let nested = "[".repeat(900);
    client.send_raw(Method::POST, "/v1/links", Body::from(nested)).await.problem("malformed_body");
}

#[tokio::test]
async fn a_panic_is_a_problem_that_tells_nothing() {
    let app = TestApp::with(|ports, _| ports.limits = Arc::new(Broken), None).await;
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    let problem = app.anonymous().post("/v1/login", body).await.problem("internal");
    assert!(!problem.to_string().contains("secret"), "{problem}");
    app.anonymous().get("/v1/problems").await.ok(200);
    let text = app.state.metrics.text();
    assert!(text.contains("vayro_api_panics_total 1"), "{text}");
    assert!(text.contains("vayro_api_requests_in_flight 0"), "{text}");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_a_problem() {
    let change = |ports: &mut Ports, settings: &mut ApiSettings| {
        ports.limits = Arc::new(Stuck);
        settings.request_time_max = Duration::from_millis(50);
    };
    let app = TestApp::with(change, None).await;
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    app.anonymous().post("/v1/login", body).await.problem("timeout");
    assert!(app.state.metrics.text().contains("vayro_api_requests_in_flight 0"));
}

#[tokio::test]
async fn a_closed_database_is_unavailable_not_broken() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, &["links:read"]).await;
    app.backends.close().await;
    let answer = client.get("/v1/links").await;
    assert_eq!(answer.headers["retry-after"], "1");
    answer.problem("unavailable");
}

#[tokio::test]
async fn request_ids_are_kept_when_sane() {
    let app = TestApp::new().await;
    let client = app.anonymous();
    let kept = client.clone().with("x-request-id", "abc-123").get("/v1/me").await;
    assert_eq!(kept.headers["x-request-id"], "abc-123");
    kept.problem("not_authenticated");
    for odd in ["a b", "<script>", &*"x".repeat(65)] {
        let answer = client.clone().with("x-request-id", odd).get("/v1/me").await;
        assert_ne!(answer.headers["x-request-id"], odd);
        answer.problem("not_authenticated");
    }
    let (one, two) = (client.get("/v1/me").await, client.get("/v1/me").await);
    assert_ne!(one.headers["x-request-id"], two.headers["x-request-id"]);
}

#[tokio::test]
async fn every_answer_is_kept_from_caches_frames_and_guesses() {
    let app = TestApp::new().await;
    for path in ["/v1/problems", "/v1/me", "/nope"] {
        let answer = app.anonymous().get(path).await;
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["referrer-policy"], "no-referrer");
        assert!(
            answer.headers["content-security-policy"]
                .to_str()
                .expect("text")
                .contains("frame-ancestors 'none'")
        );
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn the_kinds_of_problems_are_listed_where_type_points() {
    let app = TestApp::new().await;
    let list = app.anonymous().get("/v1/problems").await.ok(200);
    let codes = crate::app::column(&list, "code");
    assert_eq!(codes.len(), vayro_api::problem::Code::ALL.len());
    assert!(codes.contains(&"short_code_taken".to_owned()));
}
