//! Whatever is sent, the API answers with sense.

use http::Method;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::app::TestApp;

/// Escapes everything but letters and digits, so that any text becomes a query value.
fn escaped(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[test]
fn no_query_breaks_a_list() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (app, key) = runtime.block_on(async {
        let app = TestApp::new().await;
        let root = app.operator("root").await;
        let session = app.session(&root).await;
        let scopes = ["links:read", "analytics:read", "workspace:read", "ops"];
        let body = serde_json::json!({ "name": "x", "scopes": scopes });
        let key = session.post("/v1/api-keys", body).await.ok(201)["key"].as_str().expect("a key").to_owned();
        (app, key)
    });
    let names = [
        "limit",
        "cursor",
        "sort",
        "order",
        "state",
        "search",
        "short_code",
        "domain",
        "user_id",
        "interval",
        "start",
        "end",
        "timezone",
        "bucket",
        "group_by",
        "classes",
        "include",
        "country",
        "city",
        "link",
        "utm_source",
        "reason",
        "since",
        "link_id",
        "subject_id",
    ];
    let paths =
        ["/v1/links", "/v1/analytics", "/v1/audit-log", "/v1/ops/dead-letters", "/v1/links/availability"];
    let value = prop_oneof![
        ".{0,30}",
        Just("all".to_owned()),
        Just("hour".to_owned()),
        Just("Europe/Berlin".to_owned()),
        "-?[a-z,\\\\%_']{0,12}",
        "[0-9]{4}-[0-9]{2}-[0-9]{2}",
        "-?[0-9]{1,20}",
        Just("-9999-01-01T00:00:00Z".to_owned()),
        Just("9999-12-31T23:59:59Z".to_owned()),
        "[A-Za-z0-9_-]{0,80}",
    ];
    let pair = (prop::sample::select(names.to_vec()), value);
    let input = (prop::sample::select(paths.to_vec()), prop::collection::vec(pair, 0..4));
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    runner
        .run(&input, |(path, pairs)| {
            let query: Vec<String> =
                pairs.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
            let target = format!("{path}?{}", query.join("&"));
            let answer = runtime.block_on(app.with_key(&key).get(&target));
            prop_assert!(matches!(answer.status.as_u16(), 200 | 400), "{target}: {}", answer.body);
            Ok(())
        })
        .expect("no query breaks a list");
}

#[test]
fn no_body_breaks_a_change() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (app, key) = runtime.block_on(async {
        let app = TestApp::new().await;
        let ada = app.person("ada").await;
        let session = app.session(&ada).await;
        let body =
            serde_json::json!({ "name": "x", "scopes": ["links:write", "keys:write", "domains:write"] });
        let key = session.post("/v1/api-keys", body).await.ok(201)["key"].as_str().expect("a key").to_owned();
        (app, key)
    });
    let names = [
        "target_url",
        "short_code",
        "title",
        "expires_at",
        "domain",
        "operations",
        "op",
        "link",
        "id",
        "name",
        "host",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,20}".prop_map(Into::into),
        Just("https://example.com/".into()),
        Just("create".into()),
    ];
    let value = leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((prop::sample::select(names.to_vec()), inner), 0..5).prop_map(|members| {
                serde_json::Value::Object(members.into_iter().map(|(n, v)| (n.to_owned(), v)).collect())
            }),
        ]
    });
    let paths = ["/v1/links", "/v1/links/bulk", "/v1/api-keys", "/v1/domains"];
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    runner
        .run(&(prop::sample::select(paths.to_vec()), value), |(path, value)| {
            let answer = runtime.block_on(app.with_key(&key).send(Method::POST, path, Some(value.clone())));
            prop_assert!(!answer.status.is_server_error(), "{path} {value}: {}", answer.body);
            Ok(())
        })
        .expect("no body breaks a change");
}
