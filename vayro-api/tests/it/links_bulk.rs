//! Many changes in one request.

use serde_json::{Value, json};

use crate::app::TestApp;

#[tokio::test]
async fn each_operation_has_its_own_result() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, &["links:read", "links:write"]).await;
    let old = client.make_link(json!({ "target_url": "https://example.com/", "short_code": "old" })).await;
    let gone = client.make_link(json!({ "target_url": "https://example.com/", "short_code": "gone" })).await;
    let operations = json!([
        { "op": "create", "link": { "target_url": "https://example.com/1", "short_code": "new" } },
        { "op": "create", "link": { "target_url": "https://example.com/2", "short_code": "old" } },
        { "op": "create", "link": { "target_url": "nonsense", "short_code": "a b" } },
        { "op": "create", "link": { "target_url": "https://example.com/", "slug": "x" } },
        { "op": "update", "id": old["id"], "link": { "title": "Changed", "version": 1 } },
        { "op": "update", "id": old["id"], "link": { "title": "Again", "version": 1 } },
        { "op": "update", "id": "nonsense", "link": {} },
        { "op": "delete", "id": gone["id"] },
        { "op": "delete", "id": gone["id"] },
        { "op": "upsert" },
        "nonsense",
    ]);
    let answer = client.post("/v1/links/bulk", json!({ "operations": operations })).await.ok(207);
    let results = answer["results"].as_array().expect("results");
    let statuses: Vec<_> =
        results.iter().map(|result| result["status"].as_u64().unwrap_or_default()).collect();
    assert_eq!(statuses, [201, 409, 422, 422, 200, 412, 422, 204, 404, 422, 422], "{answer}");
    assert_eq!((&answer["done"], &answer["failed"]), (&json!(3), &json!(8)));
    let pointers = |index: usize| -> Vec<&str> {
        let errors = results[index]["problem"]["errors"].as_array().expect("errors");
        errors.iter().filter_map(|error| error["pointer"].as_str()).collect()
    };
    assert_eq!(pointers(1), ["/link/short_code"]);
    assert_eq!(pointers(2), ["/link/target_url", "/link/short_code"]);
    assert_eq!(pointers(3), ["/link/slug"]);
    assert_eq!(pointers(6), ["/id"]);
    assert_eq!(pointers(9), ["/op"]);
    assert_eq!(results[0]["link"]["short_url"], "https://vay.test/new");
    assert_eq!(results[4]["link"]["title"], "Changed");
    assert_eq!(results[8]["problem"]["code"], "not_found");
    assert!(app.backends.outbox.pending(10).await.expect("reads").is_empty(), "the edges know");
}

#[tokio::test]
async fn the_number_of_operations_is_bounded() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, &["links:read", "links:write"]).await;
    let create = json!({ "op": "create", "link": { "target_url": "https://example.com/" } });
    for count in [0, 101] {
        let body = json!({ "operations": vec![create.clone(); count] });
        client.post("/v1/links/bulk", body).await.problem_at("invalid_fields", &["/operations"]);
    }
    let body = json!({ "operations": vec![create; 100] });
    assert_eq!(client.post("/v1/links/bulk", body).await.ok(207)["done"], 100);
    client.post("/v1/links/bulk", Value::Null).await.problem("invalid_fields");
}
