//! The built executables on both back-end sets: create, visit, count, and what breaks in between.

mod audit;
mod chaos;
mod clustered;
mod disks;
mod embedded;
mod faults;
mod real_input;
mod replica;
mod restore;

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
