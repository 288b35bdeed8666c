//! Clicks one by one.

use serde_json::{Value, json};
use vayro_core::click::{ClickClass, ClickRow};
use vayro_core::ids::ClickId;

use crate::analytics::{World, row, world};
use crate::app::{Client, TestApp, column};

/// Reads page after page.
async fn read_all(client: &Client<'_>, query: &str, limit: u16) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/v1/events?limit={limit}&{query}{cursor}")).await.ok(200);
        let page_items = page["items"].as_array().expect("items").clone();
        assert!(page_items.len() <= usize::from(limit));
        items.extend(page_items);
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

#[tokio::test]
async fn clicks_are_listed_newest_first_with_everything_but_the_visitor() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let World { client, first, .. } = world(&app, &ada).await;
    let page = client.get("/v1/events?limit=3").await.ok(200);
    let times = column(&page, "timestamp");
    assert_eq!(times, ["2026-05-10T11:00:00Z", "2026-05-10T10:00:00Z", "2026-05-10T09:30:00Z"]);
    let robot = &page["items"][1];
    assert_eq!((&robot["class"], &robot["link_id"]), (&json!("bot"), &json!(first.to_string())));
    assert_eq!(robot["short_url"], "https://vay.test/first");
    assert_eq!(robot["city"], "Washington, D.C.");
    assert_eq!(robot["browser"], "");
    assert!(!page.to_string().contains("visitor"), "{page}");
    assert!(page["next"].is_string());
}

#[tokio::test]
async fn pages_stay_put_while_clicks_come_in() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let World { client, first, .. } = world(&app, &ada).await;
    let whole = read_all(&client, "interval=all", 200).await;
    assert_eq!(whole.len(), 7);
    for limit in [1, 2, 3, 7] {
        assert_eq!(read_all(&client, "interval=all", limit).await, whole, "{limit}");
    }
    let page = client.get("/v1/events?interval=all&limit=3").await.ok(200);
    let newer = row(&ada, 50, first, "2026-05-10T11:59:00Z", "DE", "", 1, ClickClass::Counted);
    app.backends.click_rows.write(&[newer]).await.expect("writes");
    let next = page["next"].as_str().expect("a cursor");
    let rest = client.get(&format!("/v1/events?interval=all&cursor={next}")).await.ok(200);
    assert_eq!(rest["items"].as_array().expect("items"), &whole[3..]);
}

#[tokio::test]
async fn the_questions_are_those_of_statistics() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let World { client, first, second } = world(&app, &ada).await;
    for (query, count) in [
        ("", 6),
        ("interval=all", 7),
        ("interval=24h", 6),
        ("classes=counted", 5),
        ("classes=bot", 1),
        ("country=DE", 3),
        ("country=-DE,unknown", 2),
        ("browser=Chrome&country=AT", 1),
        ("start=2026-05-10&end=2026-05-10&timezone=Europe/Berlin", 5),
        ("start=2026-05-10T09:00:00Z&end=2026-05-10T09:30:00Z", 1),
    ] {
        assert_eq!(read_all(&client, query, 50).await.len(), count, "{query}");
    }
    assert_eq!(read_all(&client, &format!("link_id={first}"), 50).await.len(), 5);
    assert_eq!(read_all(&client, &format!("interval=all&link_id={second}"), 50).await.len(), 2);

    let stranger = app.key(&bob, &["analytics:read"]).await;
    assert_eq!(read_all(&stranger, "interval=all", 50).await, [] as [Value; 0]);
    stranger.get(&format!("/v1/events?link_id={first}")).await.problem("not_found");
}

#[tokio::test]
async fn wrong_questions_are_explained() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, &["analytics:read"]).await;
    for (query, names) in [
        ("limit=201", vec!["limit"]),
        ("cursor=nonsense", vec!["cursor"]),
        ("link_id=nonsense", vec!["link_id"]),
        ("classes=human", vec!["classes"]),
        ("group_by=country", vec!["group_by"]),
        ("start=2026-05-10&end=2026-05-01", vec!["end"]),
    ] {
        client.get(&format!("/v1/events?{query}")).await.problem_at("invalid_query", &names);
    }
}

/// Clicks on one link, one per second, with numbers for identities.
pub(crate) fn many(count: u64, sample: &ClickRow) -> Vec<ClickRow> {
    (0..count)
        .map(|number| {
            let at = sample.timestamp.plus(std::time::Duration::from_secs(number));
            let mut random = [0; 10];
            random[2..].copy_from_slice(&number.to_be_bytes());
            let id = ClickId::from_parts(at, random);
            ClickRow { id, timestamp: id.timestamp().expect("a time"), ..sample.clone() }
        })
        .collect()
}
