//! Workspaces and members.

use serde_json::json;
use vayro_core::access::Role;

use crate::app::{TestApp, column};

#[tokio::test]
async fn workspaces_are_made_renamed_and_chosen() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.session(&ada).await;
    let made = client.post("/v1/workspaces", json!({ "name": "Team" })).await.ok(201);
    assert_eq!((&made["role"], &made["plan"]), (&json!("owner"), &json!("free")));
    let path = format!("/v1/workspaces/{}", made["id"].as_str().expect("an id"));
    assert_eq!(client.get(&path).await.ok(200), made);
    assert_eq!(client.patch(&path, json!({ "name": "Crew" })).await.ok(200)["name"], "Crew");
    client.patch(&path, json!({ "name": " " })).await.problem_at("invalid_fields", &["/name"]);
    let list = client.get("/v1/workspaces").await.ok(200);
    assert_eq!(column(&list, "name"), ["ada", "Crew"]);

    let there = client.clone().with("x-vayro-workspace", made["id"].as_str().expect("an id"));
    let link = there.make_link(json!({ "target_url": "https://example.com/" })).await;
    assert_eq!(link["workspace_id"], made["id"]);
    let path = format!("/v1/links/{}", link["id"].as_str().expect("an id"));
    client.get(&path).await.problem("not_found");
    there.get(&path).await.ok(200);
    let odd = client.clone().with("x-vayro-workspace", "nonsense");
    odd.get("/v1/links").await.problem_at("invalid_header", &["x-vayro-workspace"]);
}

#[tokio::test]
async fn a_key_stays_in_its_workspace() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let session = app.session(&ada).await;
    let made = session.post("/v1/workspaces", json!({ "name": "Team" })).await.ok(201);
    let id = made["id"].as_str().expect("an id");
    let key = app.key(&ada, &["workspace:read", "workspace:write", "links:read"]).await;
    key.get(&format!("/v1/workspaces/{id}")).await.problem("not_found");
    key.clone().with("x-vayro-workspace", id).get("/v1/links").await.problem("not_found");
    key.clone().with("x-vayro-workspace", &ada.workspace_id.to_string()).get("/v1/links").await.ok(200);
    assert_eq!(column(&key.get("/v1/workspaces").await.ok(200), "name"), ["ada"]);
    assert_eq!(key.get("/v1/me").await.ok(200)["workspaces"].as_array().map(Vec::len), Some(1));
    key.post("/v1/workspaces", json!({ "name": "More" })).await.problem("forbidden");
}

#[tokio::test]
async fn members_come_change_and_go() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let owner = app.session(&ada).await;
    let members = format!("/v1/workspaces/{}/members", ada.workspace_id);
    let added = owner.post(&members, json!({ "email": "Bob@example.com", "role": "member" })).await.ok(200);
    assert_eq!(added["user_id"], bob.user_id.to_string());
    assert_eq!(column(&owner.get(&members).await.ok(200), "email"), ["ada@example.com", "bob@example.com"]);

    let bob_path = format!("{members}/{}", bob.user_id);
    assert_eq!(owner.patch(&bob_path, json!({ "role": "admin" })).await.ok(200)["role"], "admin");
    owner.patch(&bob_path, json!({ "role": "king" })).await.problem_at("invalid_fields", &["/role"]);
    let unknown = json!({ "email": "nobody@example.com", "role": "viewer" });
    owner.post(&members, unknown).await.problem_at("invalid_fields", &["/email"]);
    owner
        .post(&members, json!({ "email": "nonsense", "role": "viewer" }))
        .await
        .problem_at("invalid_fields", &["/email"]);
    owner.delete(&bob_path).await.ok(204);
    owner.delete(&bob_path).await.problem("not_found");
    owner.patch(&bob_path, json!({ "role": "viewer" })).await.problem("not_found");
}

#[tokio::test]
async fn nobody_rises_above_their_own_role() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let bob = app.member("bob", &ada, Role::Admin).await;
    let eve = app.person("eve").await;
    let admin = app.session(&bob).await.with("x-vayro-workspace", &ada.workspace_id.to_string());
    let members = format!("/v1/workspaces/{}/members", ada.workspace_id);
    let path = |person: &crate::app::Person| format!("{members}/{}", person.user_id);
    admin.patch(&path(&bob), json!({ "role": "owner" })).await.problem("forbidden");
    admin.patch(&path(&ada), json!({ "role": "viewer" })).await.problem("forbidden");
    admin.delete(&path(&ada)).await.problem("forbidden");
    admin.post(&members, json!({ "email": eve.email, "role": "owner" })).await.problem("forbidden");
    admin.post(&members, json!({ "email": ada.email, "role": "viewer" })).await.problem("forbidden");
    admin.post(&members, json!({ "email": eve.email, "role": "admin" })).await.ok(200);
}

#[tokio::test]
async fn the_last_owner_stays_and_everybody_else_may_leave() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let bob = app.member("bob", &ada, Role::Viewer).await;
    let owner = app.session(&ada).await;
    let members = format!("/v1/workspaces/{}/members", ada.workspace_id);
    let own = format!("{members}/{}", ada.user_id);
    owner.delete(&own).await.problem("last_owner");
    owner.patch(&own, json!({ "role": "admin" })).await.problem("last_owner");
    app.session(&bob).await.delete(&format!("{members}/{}", bob.user_id)).await.ok(204);
    assert_eq!(column(&owner.get(&members).await.ok(200), "email"), ["ada@example.com"]);
}

#[tokio::test]
async fn a_removed_member_takes_no_key_along() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let bob = app.member("bob", &ada, Role::Admin).await;
    let session = app.session(&bob).await.with("x-vayro-workspace", &ada.workspace_id.to_string());
    let made = session.post("/v1/api-keys", json!({ "name": "mine" })).await.ok(201);
    let key = app.with_key(made["key"].as_str().expect("a key"));
    key.get("/v1/links").await.ok(200);
    let path = format!("/v1/workspaces/{}/members/{}", ada.workspace_id, bob.user_id);
    app.session(&ada).await.delete(&path).await.ok(204);
    key.get("/v1/links").await.problem("not_authenticated");
    session.get("/v1/links").await.problem("not_found");
}

#[tokio::test]
async fn the_number_of_workspaces_is_bounded() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.session(&ada).await;
    for _ in 1..50 {
        client.post("/v1/workspaces", json!({ "name": "one" })).await.ok(201);
    }
    client.post("/v1/workspaces", json!({ "name": "more" })).await.problem("limit_reached");
}
