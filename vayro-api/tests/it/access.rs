//! Who may call which route: every route against every kind of caller.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};
use vayro_core::access::{Role, Scope};

use crate::app::{Answer, Client, TestApp};

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Need {
    /// Nothing.
    Nothing,
    /// Any session or key.
    Account,
    /// A session; keys are refused.
    Session,
    /// At least this role in the workspace, and for keys this scope.
    Role(Role, Scope),
    /// An operator of the instance, and for keys the scope `ops`.
    Operator,
    /// As `Role`, or as `Operator`.
    RoleOrOperator(Role, Scope),
}

const ID: &str = "01890000-0000-7000-8000-000000000001";

/// Every route. Ids name nothing: whoever may ask learns that, whoever may not learns only that.
fn table() -> Vec<(Method, &'static str, Value, Need)> {
    use Role::{Admin, Member, Owner, Viewer};
    let link = json!({ "target_url": "https://example.com/" });
    let none = Value::Null;
    let role = json!({ "role": "viewer" });
    let links_read = Need::Role(Viewer, Scope::LinksRead);
    let links_write = Need::Role(Member, Scope::LinksWrite);
    let workspace_read = Need::Role(Viewer, Scope::WorkspaceRead);
    let keys = Need::Role(Admin, Scope::KeysWrite);
    let shares = Need::Role(Admin, Scope::SharesWrite);
    let members = Need::Role(Admin, Scope::WorkspaceWrite);
    let analytics = Need::Role(Viewer, Scope::AnalyticsRead);
    let domains_read = Need::Role(Viewer, Scope::DomainsRead);
    let domains_write = Need::Role(Admin, Scope::DomainsWrite);
    let get = || Method::GET;
    vec![
        (get(), "/v1/problems", none.clone(), Need::Nothing),
        (Method::POST, "/v1/login", json!({ "email": "x@example.com", "password": "" }), Need::Nothing),
        (get(), "/v1/links", none.clone(), links_read),
        (Method::POST, "/v1/links", link.clone(), links_write),
        (get(), "/v1/links/{id}", none.clone(), links_read),
        (Method::PATCH, "/v1/links/{id}", json!({}), links_write),
        (Method::DELETE, "/v1/links/{id}", none.clone(), links_write),
        (Method::POST, "/v1/links/{id}/restore", none.clone(), links_write),
        (get(), "/v1/links/availability", none.clone(), links_read),
        (
            Method::POST,
            "/v1/links/bulk",
            json!({ "operations": [{ "op": "create", "link": link }] }),
            links_write,
        ),
        (
            Method::POST,
            "/v1/explain",
            json!({ "url": "https://vay.test/none" }),
            Need::RoleOrOperator(Viewer, Scope::LinksRead),
        ),
        (get(), "/v1/analytics", none.clone(), analytics),
        (get(), "/v1/analytics/{link_id}", none.clone(), analytics),
        (get(), "/v1/events", none.clone(), analytics),
        (get(), "/v1/export", none.clone(), analytics),
        (get(), "/v1/live", none.clone(), analytics),
        (get(), "/v1/domains", none.clone(), domains_read),
        (get(), "/v1/domains/{id}", none.clone(), domains_read),
        (Method::POST, "/v1/domains", json!({ "host": "vay.test" }), domains_write),
        (Method::POST, "/v1/domains/{id}/certificate", none.clone(), domains_write),
        (Method::DELETE, "/v1/domains/{id}", none.clone(), domains_write),
        (get(), "/v1/workspaces", none.clone(), workspace_read),
        (Method::POST, "/v1/workspaces", json!({ "name": "" }), Need::Session),
        (get(), "/v1/workspaces/{id}", none.clone(), workspace_read),
        (
            Method::PATCH,
            "/v1/workspaces/{id}",
            json!({ "name": "x" }),
            Need::Role(Owner, Scope::WorkspaceWrite),
        ),
        (get(), "/v1/workspaces/{id}/members", none.clone(), workspace_read),
        (Method::POST, "/v1/workspaces/{id}/members", json!({ "email": "", "role": "viewer" }), members),
        (Method::PATCH, "/v1/workspaces/{id}/members/{user_id}", role, members),
        (Method::DELETE, "/v1/workspaces/{id}/members/{user_id}", none.clone(), members),
        (get(), "/v1/api-keys", none.clone(), keys),
        (Method::POST, "/v1/api-keys", json!({ "name": "" }), keys),
        (Method::DELETE, "/v1/api-keys/{id}", none.clone(), keys),
        (get(), "/v1/shares", none.clone(), shares),
        (Method::POST, "/v1/shares", json!({ "password": "" }), shares),
        (Method::DELETE, "/v1/shares/{id}", none.clone(), shares),
        (get(), "/v1/public/{token}/analytics", none.clone(), Need::Nothing),
        (Method::POST, "/v1/public/{token}/unlock", json!({ "password": "" }), Need::Nothing),
        (get(), "/v1/audit-log", none.clone(), Need::Role(Admin, Scope::WorkspaceRead)),
        (get(), "/v1/me", none.clone(), Need::Account),
        (Method::PATCH, "/v1/me", json!({ "current_password": "", "password": "" }), Need::Session),
        (get(), "/v1/sessions", none.clone(), Need::Session),
        (Method::DELETE, "/v1/sessions", none.clone(), Need::Session),
        (Method::DELETE, "/v1/sessions/{id}", none.clone(), Need::Session),
        (get(), "/v1/ops/stream", none.clone(), Need::Operator),
        (Method::POST, "/v1/ops/stream/replay", json!({ "since": "2026-05-01T00:00:00Z" }), Need::Operator),
        (get(), "/v1/ops/audit/clicks", none.clone(), Need::Operator),
        (get(), "/v1/ops/dead-letters", none.clone(), Need::Operator),
        (get(), "/v1/ops/dead-letters/{id}", none.clone(), Need::Operator),
        (Method::POST, "/v1/ops/dead-letters/replay", json!({}), Need::Operator),
        (Method::DELETE, "/v1/ops/dead-letters", none.clone(), Need::Operator),
        (Method::POST, "/v1/ops/purges", json!({}), Need::Operator),
        (get(), "/v1/ops/purges", none.clone(), Need::Operator),
        (get(), "/v1/ops/purges/{id}", none.clone(), Need::Operator),
        (get(), "/v1/ops/users", none.clone(), Need::Operator),
        (Method::POST, "/v1/ops/users", json!({ "email": "" }), Need::Operator),
        (Method::PATCH, "/v1/ops/users/{id}", json!({}), Need::Operator),
        // Last, because it ends the session it comes with.
        (Method::POST, "/v1/logout", none, Need::Session),
    ]
}

#[test]
fn the_table_has_every_route() {
    let document = serde_json::to_value(vayro_api::openapi_document()).expect("serializes");
    let mut published = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            published.insert((method.to_uppercase(), path.clone()));
        }
    }
    let known: BTreeSet<_> =
        table().into_iter().map(|(method, path, ..)| (method.to_string(), path.to_owned())).collect();
    assert_eq!(known, published);
}

/// Calls the route on the workspace with this id.
async fn call(client: &Client<'_>, workspace: &str, method: &Method, path: &str, body: &Value) -> Answer {
    let path = match path.strip_prefix("/v1/workspaces/{id}") {
        Some(rest) => format!("/v1/workspaces/{workspace}{rest}"),
        None => path.to_owned(),
    };
    let path =
        ["{id}", "{link_id}", "{user_id}", "{token}"].iter().fold(path, |path, name| path.replace(name, ID));
    let body = (!body.is_null()).then(|| body.clone());
    client.clone().with("x-vayro-workspace", workspace).send(method.clone(), &path, body).await
}

/// Why the caller was kept out; `None` if it got past the door, whatever it found there.
fn refusal(answer: &Answer) -> Option<String> {
    let code = answer.body["code"].as_str()?;
    let doors = ["not_authenticated", "forbidden", "scope_missing", "cross_site"];
    doors.contains(&code).then(|| code.to_owned())
}

#[tokio::test]
async fn each_role_gets_as_far_as_it_should() {
    let app = TestApp::new().await;
    let owner = app.person("owner").await;
    let workspace = owner.workspace_id.to_string();
    let mut clients = vec![(Some(Role::Owner), app.session(&owner).await)];
    for (name, role) in [("viewer", Role::Viewer), ("member", Role::Member), ("admin", Role::Admin)] {
        let person = app.member(name, &owner, role).await;
        clients.push((Some(role), app.session(&person).await));
    }
    clients.push((None, app.session(&app.person("stranger").await).await));
    for (method, path, body, need) in table() {
        for (role, client) in &clients {
            let answer = call(client, &workspace, &method, path, &body).await;
            let found = refusal(&answer);
            let expected = match (need, role) {
                (Need::Role(_, _) | Need::RoleOrOperator(_, _), None) => {
                    assert_eq!(answer.body["code"], "not_found", "{method} {path} {}", answer.body);
                    continue;
                }
                (Need::Role(needed, _), Some(role)) if *role < needed => Some("forbidden"),
                (Need::Operator, _) => Some("forbidden"),
                _ => None,
            };
            assert_eq!(found.as_deref(), expected, "{role:?} {method} {path} {}", answer.body);
        }
    }
}

#[tokio::test]
async fn each_scope_opens_its_own_routes_and_no_other() {
    let app = TestApp::new().await;
    let root = app.operator("root").await;
    let workspace = root.workspace_id.to_string();
    let all: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    let mut pairs = Vec::new();
    let session = app.session(&root).await;
    for scope in Scope::ALL {
        let with = vec![scope.as_str()];
        let without: Vec<&str> = all.iter().copied().filter(|name| *name != scope.as_str()).collect();
        let mut keys = Vec::new();
        for scopes in [with, without] {
            let made = session.post("/v1/api-keys", json!({ "name": "x", "scopes": scopes })).await.ok(201);
            keys.push(app.with_key(made["key"].as_str().expect("a key")));
        }
        pairs.push((scope, keys));
    }
    for (method, path, body, need) in table() {
        let scope = match need {
            Need::Role(_, scope) => scope,
            Need::Operator => Scope::Ops,
            Need::RoleOrOperator(_, scope) => {
                for (known, keys) in &pairs {
                    let expected = ![scope, Scope::Ops].contains(known);
                    let answer = call(&keys[0], &workspace, &method, path, &body).await;
                    assert_eq!(
                        refusal(&answer).is_some(),
                        expected,
                        "{known:?} {method} {path} {}",
                        answer.body
                    );
                }
                continue;
            }
            Need::Session | Need::Account | Need::Nothing => {
                let expected = (need == Need::Session).then_some("forbidden");
                for (_, keys) in &pairs {
                    let answer = call(&keys[0], &workspace, &method, path, &body).await;
                    assert_eq!(refusal(&answer).as_deref(), expected, "{method} {path} {}", answer.body);
                }
                continue;
            }
        };
        let (_, keys) = pairs.iter().find(|(known, _)| *known == scope).expect("every scope");
        let with = call(&keys[0], &workspace, &method, path, &body).await;
        assert_eq!(refusal(&with), None, "{method} {path} {}", with.body);
        let without = call(&keys[1], &workspace, &method, path, &body).await;
        assert_eq!(refusal(&without).as_deref(), Some("scope_missing"), "{method} {path} {}", without.body);
    }
}

#[tokio::test]
async fn nobody_gets_in_without_proof() {
    let app = TestApp::new().await;
    let owner = app.person("owner").await;
    let workspace = owner.workspace_id.to_string();
    let strangers = [
        app.anonymous(),
        app.anonymous().with("cookie", "vayro_session=made-up").with("origin", crate::app::API_URL),
        app.anonymous().with("authorization", "Bearer made-up"),
    ];
    for (method, path, body, need) in table() {
        for client in &strangers {
            let answer = call(client, &workspace, &method, path, &body).await;
            let expected = (need != Need::Nothing).then_some("not_authenticated");
            assert_eq!(refusal(&answer).as_deref(), expected, "{method} {path} {}", answer.body);
        }
    }
}
