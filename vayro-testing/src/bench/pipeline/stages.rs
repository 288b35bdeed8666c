//! What each stage of the worker costs, one after the other in one thread.

use std::hint::black_box;
use std::time::{Duration, Instant};

use vayro_core::click::{Click, ClickRow, Fields};
use vayro_core::rollup::{Rollup, gains};
use vayro_core::timestamp::Timestamp;
use vayro_worker::enrich::{EnrichConfig, Enricher};

use super::clicks_from;
use crate::bench::report::Report;
use crate::fixture;

/// Clicks looked at.
const CLICKS: u32 = 100_000;
/// Clicks of one batch.
const BATCH: usize = super::BATCH as usize;

/// Adds a row per stage; the first column is clicks per second, the second microseconds.
pub(super) fn run(report: &mut Report) {
    let start = Timestamp::from_millis(1_790_000_000_000).expect("an instant");
    let clicks = clicks_from(start).take(CLICKS);
    let config =
        EnrichConfig { geoip_file: Some(fixture::data("GeoLite2-City.mmdb")), ..EnrichConfig::default() };
    let enricher = Enricher::new(&config).expect("rules and database can be read");

    let mut stage = |name: &str, spent: Duration| {
        let each = spent.as_secs_f64() / f64::from(CLICKS);
        report.row(format!("stage: {name}"), &[1.0 / each, each * 1e6]);
    };
    let fields: Vec<Fields> = clicks.iter().map(Click::to_fields).collect();
    stage("decode", time(|| fields.iter().for_each(|fields| drop(black_box(Click::decode(fields))))));
    stage(
        "user agent and bot class, cached",
        time(|| {
            for click in &clicks {
                drop(black_box(enricher.user_agents().get(&click.user_agent)));
            }
        }),
    );
    stage(
        "place",
        time(|| {
            for ip in clicks.iter().filter_map(|click| click.ip) {
                drop(black_box(enricher.geoip().find(ip)));
            }
        }),
    );
    let salt = [7; 16];
    let mut rows: Vec<ClickRow> = Vec::with_capacity(clicks.len());
    stage(
        "enrich, all of it",
        time(|| rows.extend(clicks.into_iter().map(|click| enricher.enrich(click, Some(&salt))))),
    );
    stage("gains of rollups", time(|| rows.chunks(BATCH).for_each(|batch| drop(black_box(gains(batch))))));
    stage(
        "gains added to rollups",
        time(|| {
            let mut stored = std::collections::BTreeMap::<_, Rollup>::new();
            for batch in rows.chunks(BATCH) {
                for (key, gain) in gains(batch) {
                    stored.entry(key).or_default().add(&gain).expect("our own columns");
                }
            }
            drop(black_box(stored));
        }),
    );
}

fn time(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}
