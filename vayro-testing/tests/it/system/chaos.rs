//! A short run of chaos on each back-end set; `scripts/chaos` runs longer ones, with failpoints.

use std::time::Duration;

use vayro_testing::chaos::{Options, Set, run};

async fn holds(seed: u64, set: Set, length: Duration) {
    let options = Options { seed, length, set, has_failpoints: false };
    let mut said = String::new();
    let verdict = run(options, &mut |line| {
        said.push_str(line);
        said.push('\n');
    })
    .await;
    assert!(verdict.holds(), "chaos with seed {seed} on the {set:?} set:\n{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn chaos_on_postgres_and_redis() {
    holds(20_261_122, Set::Clustered, Duration::from_secs(15)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chaos_in_one_process() {
    holds(20_261_122, Set::Embedded, Duration::from_secs(8)).await;
}
