//! The built executables on both back-end sets: create, visit, count, and what breaks in between.

mod acme;
mod audit;
mod chaos;
mod clustered;
mod disks;
mod embedded;
mod embedding;
mod explain;
mod faults;
mod privacy;
mod real_input;
mod replica;
mod restore;
mod scaled;
mod upgrades;

use std::time::Duration;

use serde_json::Value;
use vayro_testing::system::System;
use vayro_testing::wait;

/// What the issue promises: a click is shown within two seconds. Debug builds on busy machines get more;
/// the promise itself is a benchmark's business.
const SHOWN_LIMIT: Duration = Duration::from_secs(20);

fn id(link: &Value) -> &str {
    link["id"].as_str().expect("a link has an id")
}

/// Waits until the API shows exactly `clicks` clicks of a link.
async fn shown(system: &System, link: &Value, clicks: i64) {
    let mut last = -1;
    let what = format!("{clicks} clicks of {}", link["short_code"]);
    wait::until(&what, SHOWN_LIMIT, async || {
        last = system.clicks(id(link)).await;
        (last == clicks).then_some(())
    })
    .await;
}

/// A system on which repeats are told.
const REPEATS: (&str, &str) = ("VAYRO_WORKER__REPEAT_WINDOW", "1h");

/// Visits a link twice within moments: one click counts, and the command line says where the other one is.
async fn the_second_of_two_quick_visits_is_a_repeat(system: &System) {
    system.create_link("twice", "https://example.com/").await;
    for _ in 0..2 {
        assert_eq!(system.visit("twice").await.0, 302);
    }
    let mut last = Value::Null;
    wait::until("one click and one repeat", SHOWN_LIMIT, async || {
        let output = system.vayro(&["stats", "twice", "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        last = serde_json::from_slice(&output.stdout).expect("`--json` prints JSON");
        (last["totals"]["clicks"] == 1 && last["left_out"]["clicks"] == 1).then_some(())
    })
    .await;
    let output = system.vayro(&["stats", "twice"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("left_out\t\t1\t"), "{said}");
    let (_, analytics) = system.api("GET", "/v1/analytics?classes=repeat&group_by=domain", None).await;
    assert_eq!(analytics["totals"]["clicks"], 1);
    assert_eq!(analytics["breakdowns"]["domain"]["rows"][0]["value"], "127.0.0.1");
    let folder = system.data_dir();
    let folder = folder.to_str().expect("a plain path");
    assert_eq!(system.vayro(&["rollup", "verify", "--data-dir", folder]).status.code(), Some(0));
}
