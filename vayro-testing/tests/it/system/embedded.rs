use std::time::Duration;

use serde_json::{Value, json};
use vayro_testing::load::Load;
use vayro_testing::system::{Role, System};

use super::{REPEATS, id, shown, the_second_of_two_quick_visits_is_a_repeat};

#[tokio::test]
async fn a_link_is_created_visited_and_counted_with_the_command_line_alone() {
    let system = System::embedded().await;
    let output = system.vayro(&["link", "create", "https://example.com/page", "--code", "hello", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let link: Value = serde_json::from_slice(&output.stdout).expect("`--json` prints JSON");
    assert_eq!(link["short_code"], "hello");

    assert_eq!(system.visit("hello").await, (302, Some("https://example.com/page".to_owned())));
    assert_eq!(system.visit("unknown").await.0, 404);
    shown(&system, &link, 1).await;

    let output = system.vayro(&["stats", "hello", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stats: Value = serde_json::from_slice(&output.stdout).expect("`--json` prints JSON");
    assert_eq!(stats["totals"]["clicks"], 1);
}

#[tokio::test]
async fn a_double_click_counts_once() {
    the_second_of_two_quick_visits_is_a_repeat(&System::up_with(&[], &[REPEATS]).await).await;
}

#[tokio::test]
async fn edits_disables_and_deletes_act_at_once() {
    let system = System::embedded().await;
    let link = system.create_link("moving", "https://example.com/one").await;
    assert_eq!(system.visit("moving").await.1.as_deref(), Some("https://example.com/one"));

    let path = format!("/v1/links/{}", id(&link));
    let (status, _) =
        system.api("PATCH", &path, Some(json!({ "target_url": "https://example.com/two" }))).await;
    assert_eq!(status, 200);
    assert_eq!(system.visit("moving").await.1.as_deref(), Some("https://example.com/two"));

    system.api("PATCH", &path, Some(json!({ "is_active": false }))).await;
    assert_eq!(system.visit("moving").await.0, 404);
    system.api("PATCH", &path, Some(json!({ "is_active": true, "redirect_status": 301 }))).await;
    assert_eq!(system.visit("moving").await.0, 301);
    system.api("DELETE", &path, None).await;
    assert_eq!(system.visit("moving").await.0, 404);
    system.api("POST", &format!("{path}/restore"), None).await;
    assert_eq!(system.visit("moving").await.0, 301);
}

#[tokio::test]
async fn an_unknown_code_that_is_created_works_at_once() {
    let system = System::embedded().await;
    assert_eq!(system.visit("soon").await.0, 404);
    system.create_link("soon", "https://example.com/").await;
    assert_eq!(system.visit("soon").await.0, 302);
}

#[tokio::test]
async fn accepted_clicks_survive_a_kill_and_a_restart() {
    let mut system = System::embedded().await;
    let link = system.create_link("durable", "https://example.com/").await;
    let load = Load::start(vec![format!("{}/durable", system.edge_url)], 4, Duration::from_millis(2));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let result = load.stop().await;
    assert_eq!((result.refused, result.failed), (0, 0));
    // The documented bound for a killed edge is one flush of the rings; after a second all of them are out.
    tokio::time::sleep(Duration::from_secs(1)).await;
    system.kill(Role::Edge);
    system.start_up(&[]).await;
    let redirected = i64::try_from(result.redirected).expect("few visits");
    shown(&system, &link, redirected).await;
}

#[tokio::test]
async fn an_orderly_stop_loses_no_click() {
    let mut system = System::embedded().await;
    let link = system.create_link("orderly", "https://example.com/").await;
    let load = Load::start(vec![format!("{}/orderly", system.edge_url)], 4, Duration::from_millis(2));
    tokio::time::sleep(Duration::from_secs(2)).await;
    system.stop(Role::Edge);
    let result = load.stop().await;
    system.start_up(&[]).await;
    let at_least = i64::try_from(result.redirected).expect("few visits");
    let at_most = at_least + i64::try_from(result.failed.min(4)).expect("few visits");
    let mut last = -1;
    vayro_testing::wait::until("every answered visit", super::SHOWN_LIMIT, async || {
        last = system.clicks(id(&link)).await;
        (at_least..=at_most).contains(&last).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_second_start_on_the_same_folder_is_refused_with_a_sentence() {
    let system = System::embedded().await;
    let folder = system.data_dir();
    let folder = folder.to_str().expect("a plain path");
    let zero = "127.0.0.1:0";
    let output = system.vayro(&["up", "--edge", zero, "--api", zero, "--admin", zero, "--data-dir", folder]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("error: ") && said.contains("hint: "), "{said}");
}
