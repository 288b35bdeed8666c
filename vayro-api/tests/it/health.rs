//! Liveness, readiness, metrics.

use std::sync::atomic::Ordering;

use crate::app::TestApp;

#[tokio::test]
async fn a_working_instance_is_alive_and_ready() {
    let app = TestApp::new().await;
    assert_eq!(app.anonymous().get("/livez").await.ok(200)["status"], "pass");
    assert_eq!(app.anonymous().get("/readyz").await.ok(200)["status"], "pass");
}

#[tokio::test]
async fn an_instance_without_its_database_is_alive_but_not_ready() {
    let app = TestApp::new().await;
    app.backends.close().await;
    app.anonymous().get("/livez").await.ok(200);
    let answer = app.anonymous().get("/readyz").await.ok(503);
    assert_eq!(
        (&*answer["status"].to_string(), &answer["reason"]),
        ("\"fail\"", &"the database is away".into())
    );
}

#[tokio::test]
async fn a_process_that_stops_says_so() {
    let app = TestApp::new().await;
    app.state.is_draining.store(true, Ordering::Relaxed);
    assert_eq!(app.anonymous().get("/readyz").await.ok(503)["reason"], "the process is about to stop");
}

#[tokio::test]
async fn metrics_have_routes_not_paths() {
    let app = TestApp::new().await;
    app.anonymous().get("/v1/links/01890000-0000-7000-8000-000000000001").await.problem("not_authenticated");
    app.anonymous().get("/some/secret/path").await.problem("unknown_route");
    let text = app.state.metrics.text();
    let expected = r#"vayro_api_requests_total{method="GET",route="/v1/links/{id}",status="401"} 1"#;
    assert!(text.contains(expected), "{text}");
    assert!(text.contains(r#"route="unknown",status="404"} 1"#), "{text}");
    assert!(!text.contains("secret") && !text.contains("01890000"), "{text}");
}
