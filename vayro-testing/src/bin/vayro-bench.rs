//! Runs one benchmark; `scripts/bench` builds what it needs and starts it.

use std::path::Path;
use std::time::Duration;

use vayro_testing::bench::edge::attack::{Attack, Orders};
use vayro_testing::bench::{analytics, edge, freshness, pipeline, plot, report};

/// Clicks of the analytics benchmark when nobody says.
const ROWS: u32 = 10_000_000;

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).cloned()
    };
    let set = option("--set");
    let sets: Vec<&str> = set.as_deref().map_or_else(|| vec!["clustered", "embedded"], |set| vec![set]);
    let number = |name: &str, default: u32| option(name).map_or(Ok(default), |text| text.parse());
    let (Ok(rows), Ok(clicks)) = (number("--rows", ROWS), number("--clicks", pipeline::CLICKS)) else {
        return std::process::ExitCode::from(2);
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    match arguments.first().map(String::as_str) {
        Some("edge") => {
            let before = option("--before");
            let before = before.as_deref().map(Path::new);
            match option("--load").map(|name| edge::Load::from_name(&name)) {
                None => runtime.block_on(edge::run(&edge::Load::ALL, before)),
                Some(Some(load)) => runtime.block_on(edge::run(&[load], before)),
                Some(None) => return std::process::ExitCode::from(2),
            }
        }
        Some("links") => match number("--links", edge::links::DEFAULT) {
            Ok(links) => runtime.block_on(edge::links::run(links)),
            Err(_) => return std::process::ExitCode::from(2),
        },
        Some("instructions") => runtime.block_on(edge::instructions::run()),
        Some("latency") => runtime.block_on(edge::latency::run()),
        Some("scaling") => runtime.block_on(edge::scaling::run()),
        Some("idle") => runtime.block_on(edge::idle::run()),
        Some("flood") => match number("--rate", edge::flood::DEFAULT) {
            Ok(rate) => runtime.block_on(edge::flood::run(rate)),
            Err(_) => return std::process::ExitCode::from(2),
        },
        Some("survival") => runtime.block_on(edge::survival::run()),
        // An attacker, started by the two before.
        Some("attack") => {
            let attack = arguments.get(1).and_then(|name| Attack::from_name(name));
            let (Some(attack), Some(orders)) = (attack, orders(option)) else {
                return std::process::ExitCode::from(2);
            };
            runtime.block_on(attack.run(orders));
        }
        Some("plot") => {
            let to = option("--to").unwrap_or_else(|| "docs/performance.svg".to_owned());
            plot::run(&report::dir(), Path::new(&to))
                .expect("the results can be read and the picture written");
        }
        // A server under test, started by the benchmark of the edge.
        Some("floor") => {
            let address = option("--listen").and_then(|text| text.parse().ok());
            let (Some(address), Some(answer)) = (address, option("--answer")) else {
                return std::process::ExitCode::from(2);
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
            runtime.expect("a runtime can be made").block_on(edge::floor::serve(address, answer));
        }
        Some("pipeline") => runtime.block_on(pipeline::run(clicks, &sets)),
        Some("analytics") => runtime.block_on(analytics::run(rows, &sets)),
        Some("freshness") => runtime.block_on(freshness::run(&sets)),
        _ => return std::process::ExitCode::from(2),
    }
    std::process::ExitCode::SUCCESS
}

/// Reads what an attacker is told; `None` if a part of it is missing or no number.
fn orders(option: impl Fn(&str) -> Option<String>) -> Option<Orders> {
    Some(Orders {
        port: option("--port")?.parse().ok()?,
        dir: option("--dir")?.into(),
        rate: option("--rate")?.parse().ok()?,
        length: Duration::from_secs(option("--seconds")?.parse().ok()?),
        connections: option("--connections")?.parse().ok()?,
    })
}
