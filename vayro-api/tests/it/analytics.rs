//! Statistics.

use serde_json::json;
use vayro_core::click::{ClickClass, ClickRow};
use vayro_core::ids::{ClickId, LinkId};

use crate::app::{Client, Person, TestApp};

struct World<'a> {
    client: Client<'a>,
    first: LinkId,
    second: LinkId,
}

/// Two links with these clicks: (link, time, country, browser, visitor, class).
async fn world<'a>(app: &'a TestApp, ada: &Person) -> World<'a> {
    let client = app.key(ada, &["links:read", "links:write", "analytics:read"]).await;
    let mut ids = Vec::new();
    for code in ["first", "second"] {
        let link =
            client.make_link(json!({ "target_url": "https://example.com/", "short_code": code })).await;
        ids.push(link["id"].as_str().expect("an id").parse().expect("an id"));
    }
    let (first, second) = (ids[0], ids[1]);
    let rows: Vec<ClickRow> = [
        (first, "2026-05-09T21:30:00Z", "DE", "Firefox", 1, ClickClass::Counted),
        (first, "2026-05-09T22:30:00Z", "DE", "Firefox", 1, ClickClass::Counted),
        (first, "2026-05-10T09:00:00Z", "AT", "Chrome", 2, ClickClass::Counted),
        (first, "2026-05-10T09:30:00Z", "", "Chrome", 3, ClickClass::Counted),
        (first, "2026-05-10T10:00:00Z", "US", "", 4, ClickClass::Bot),
        (second, "2026-05-10T11:00:00Z", "DE", "Safari", 1, ClickClass::Counted),
        (second, "2026-02-01T00:00:00Z", "FR", "Safari", 9, ClickClass::Counted),
    ]
    .into_iter()
    .enumerate()
    .map(|(index, (link_id, at, country, browser, visitor, class))| {
        row(ada, index, link_id, at, country, browser, visitor, class)
    })
    .collect();
    let first_month = "2026-02-01T00:00:00Z".parse().expect("valid");
    app.backends.click_rows.ensure_partitions(first_month, app.clock.now()).await.expect("makes partitions");
    app.backends.click_rows.write(&rows).await.expect("writes");
    World { client, first, second }
}

#[expect(clippy::too_many_arguments, reason = "one column each")]
fn row(
    ada: &Person,
    index: usize,
    link_id: LinkId,
    at: &str,
    country: &str,
    browser: &str,
    visitor: i64,
    class: ClickClass,
) -> ClickRow {
    let timestamp = at.parse().expect("valid");
    let random = [u8::try_from(index).expect("small"); 10];
    ClickRow {
        id: ClickId::from_parts(timestamp, random),
        timestamp,
        link_id,
        workspace_id: ada.workspace_id,
        domain: String::new(),
        class,
        bot: String::new(),
        user_agent: String::new(),
        country_code: country.to_owned(),
        region: String::new(),
        city: if country == "US" { "Washington, D.C.".to_owned() } else { String::new() },
        device_type: "desktop".to_owned(),
        browser: browser.to_owned(),
        os: "Linux".to_owned(),
        language: "de".to_owned(),
        referer: String::new(),
        referer_host: String::new(),
        ip_address: String::new(),
        trigger: "link".to_owned(),
        utm_source: String::new(),
        utm_medium: String::new(),
        utm_campaign: String::new(),
        utm_term: String::new(),
        utm_content: String::new(),
        visitor_id: Some(visitor),
    }
}

#[tokio::test]
async fn a_link_has_totals_series_and_breakdowns() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let World { client, first, .. } = world(&app, &ada).await;
    let path = format!(
        "/v1/analytics/{first}?interval=7d&timezone=Europe/Berlin&bucket=day&group_by=country,browser"
    );
    let answer = client.get(&path).await.ok(200);
    assert_eq!(answer["link_id"], first.to_string());
    assert_eq!(answer["totals"], json!({ "clicks": 4, "visitors": 3 }));
    assert_eq!(answer["start"], "2026-05-03T22:00:00Z");
    assert_eq!(answer["timezone"], "Europe/Berlin");
    assert_eq!(answer["bucket"], "day");
    assert_eq!(answer["classes"], json!(["counted"]));
    let series = answer["series"].as_array().expect("a series");
    assert_eq!(series.len(), 7);
    // 22:30 in UTC is the next day in Berlin.
    assert_eq!(series[5], json!({ "start": "2026-05-09T00:00:00+02:00", "clicks": 1, "visitors": 1 }));
    assert_eq!(series[6]["clicks"], 3);
    let expected = json!({
        "rows": [
            { "value": "DE", "clicks": 2 },
            { "value": "", "clicks": 1 },
            { "value": "AT", "clicks": 1 },
        ],
        "total": 4,
        "others": 0,
    });
    assert_eq!(answer["breakdowns"]["country"], expected);
    assert_eq!(answer["breakdowns"].as_object().map(serde_json::Map::len), Some(2));
}

#[tokio::test]
async fn a_workspace_shows_its_most_clicked_links() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let World { client, first, second } = world(&app, &ada).await;
    let answer = client.get("/v1/analytics").await.ok(200);
    assert_eq!(answer["link_id"], json!(null));
    assert_eq!(answer["totals"]["clicks"], 5);
    let rows = &answer["breakdowns"]["link"]["rows"];
    assert_eq!(rows[0]["value"], first.to_string());
    assert_eq!(rows[0]["link"]["short_url"], "https://vay.test/first");
    assert_eq!(rows[1]["value"], second.to_string());
    let names: Vec<_> = answer["breakdowns"].as_object().expect("breakdowns").keys().cloned().collect();
    let expected = ["browser", "city", "country", "device", "language", "link", "os", "referrer", "region"];
    assert_eq!(names, expected);

    let stranger = app.key(&bob, &["analytics:read"]).await;
    assert_eq!(stranger.get("/v1/analytics").await.ok(200)["totals"]["clicks"], 0);
    stranger.get(&format!("/v1/analytics/{first}")).await.problem("not_found");
}

#[tokio::test]
async fn filters_and_classes_choose_clicks() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let World { client, first, .. } = world(&app, &ada).await;
    for (query, clicks) in [
        ("country=DE", 2),
        ("country=de,at", 3),
        ("country=-DE", 2),
        ("country=unknown", 1),
        ("country=-unknown,AT", 2),
        ("country=DE&browser=Chrome", 0),
        ("include=bots", 5),
        ("classes=bot", 1),
        ("classes=bot&city=Washington%5C,%20D.C.", 1),
        ("classes=counted,bot,head,prefetch", 5),
        ("start=2026-05-10&end=2026-05-10", 2),
        ("start=2026-05-10&end=2026-05-10&timezone=Europe/Berlin", 3),
        ("start=2026-05-10T09:00:00Z&end=2026-05-10T09:30:00Z", 1),
        ("interval=1h", 0),
        ("interval=24h", 4),
        ("interval=mtd", 4),
    ] {
        let answer = client.get(&format!("/v1/analytics/{first}?group_by=none&{query}")).await.ok(200);
        assert_eq!(answer["totals"]["clicks"], clicks, "{query}: {answer}");
        let series = answer["series"].as_array().expect("a series");
        let sum: i64 = series.iter().filter_map(|point| point["clicks"].as_i64()).sum();
        assert_eq!(sum, clicks, "{query}: the series adds up to the total");
        assert_eq!(answer["breakdowns"], json!({}));
    }
    let answer = client.get(&format!("/v1/analytics?group_by=none&link={first}")).await.ok(200);
    assert_eq!(answer["totals"]["clicks"], 4);
    let answer = client.get(&format!("/v1/analytics/{first}?group_by=country&limit=1")).await.ok(200);
    assert_eq!(answer["breakdowns"]["country"]["others"], 2);
}

#[tokio::test]
async fn everything_begins_with_the_first_click_even_an_imported_one() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let World { client, second, .. } = world(&app, &ada).await;
    let answer = client.get(&format!("/v1/analytics/{second}?interval=all&group_by=none")).await.ok(200);
    assert_eq!(answer["totals"]["clicks"], 2);
    assert_eq!(answer["start"], "2026-02-01T00:00:00Z");
    let none = client.get("/v1/analytics?interval=all&group_by=none&country=XX").await.ok(200);
    assert_eq!(none["totals"]["clicks"], 0);
}

#[tokio::test]
async fn wrong_questions_are_explained() {
    let app = TestApp::new().await;
    let ada = app.person("ada").await;
    let client = app.key(&ada, &["analytics:read"]).await;
    for (query, names) in [
        ("interval=2w", vec!["interval"]),
        ("interval=7d&start=2026-05-01", vec!["interval"]),
        ("end=2026-05-01", vec!["start"]),
        ("start=yesterday", vec!["start"]),
        ("start=2026-05-10&end=2026-05-01", vec!["end"]),
        ("start=2026-05-20", vec!["end"]),
        ("timezone=Mars/Olympus", vec!["timezone"]),
        ("timezone=%2B02:00", vec!["timezone"]),
        ("bucket=minute", vec!["bucket"]),
        ("start=2020-01-01&bucket=hour", vec!["bucket"]),
        ("group_by=moon", vec!["group_by"]),
        ("limit=501", vec!["limit"]),
        ("classes=human", vec!["classes"]),
        ("include=cats", vec!["include"]),
        ("classes=bot&include=bots", vec!["include"]),
        ("link=nonsense", vec!["link"]),
        ("country=DE,,AT", vec!["country"]),
        ("planet=earth", vec!["planet"]),
    ] {
        client.get(&format!("/v1/analytics?{query}")).await.problem_at("invalid_query", &names);
    }
    client.get("/v1/analytics/01890000-0000-7000-8000-000000000001").await.problem("not_found");
}
