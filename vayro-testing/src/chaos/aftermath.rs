//! Whether everything recovers once nothing is broken any more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::RING_BOUND;
use super::world::World;

/// Pause between two looks at something that must come true.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Times that dead letters are put back: a killed worker makes some again.
const REPLAYS_MAX: usize = 5;

impl World {
    /// Starts again whatever ended by itself.
    pub(super) async fn revive(&mut self) {
        for role in self.roles() {
            if self.system.has_ended(*role) {
                self.restart(*role, RING_BOUND).await;
            }
        }
    }

    /// Tells whether a visit that is made now is stored.
    pub(super) async fn new_clicks_land(&self, limit: Duration) -> Result<(), String> {
        let token = "afterwards";
        if self.system.visit(&format!("chaos-0?utm_content={token}")).await.0 != 302 {
            return Err("a link is not redirected afterwards".to_owned());
        }
        let rows = self.rows();
        let is_there = async || rows.tokens().await.is_ok_and(|tokens| tokens.contains_key(token));
        soon(limit, is_there).await.ok_or_else(|| format!("a new click was not stored within {limit:?}"))
    }

    /// Tells whether nothing is on its way any more.
    pub(super) async fn drained(&self, limit: Duration) -> Result<(), String> {
        let mut last = Value::Null;
        let is_drained = async || {
            last = self.system.api("GET", "/v1/ops/stream", None).await.1;
            let edges = last["edges"].as_array().cloned().unwrap_or_default();
            // Of one edge after the other; the newest tells how it is.
            let newest = edges.iter().max_by_key(|edge| edge["at"].as_str().map(str::to_owned));
            last["undelivered"]["count"] == 0
                && last["pending"] == 0
                && newest.is_some_and(|edge| edge["spool_bytes"] == 0)
        };
        soon(limit, is_drained)
            .await
            .ok_or_else(|| format!("clicks are on their way after {limit:?}: {last}"))
    }

    /// Puts dead letters back until only those are left that never were clicks. Returns how many there were
    /// for each reason.
    pub(super) async fn replay_dead_letters(
        &self,
        limit: Duration,
        reasons: &mut BTreeMap<String, usize>,
    ) -> Result<(), String> {
        for _ in 0..REPLAYS_MAX {
            let (status, page) = self.system.api("GET", "/v1/ops/dead-letters?limit=200", None).await;
            let letters = page["items"].as_array().cloned().unwrap_or_default();
            for letter in &letters {
                *reasons.entry(letter["reason"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
            }
            if status == 200 && letters.iter().all(|letter| letter["reason"] == "undecodable") {
                return Ok(());
            }
            let output = self.system.vayro(&["dlq", "replay", "--all", "--json"]);
            if !output.status.success() {
                return Err(format!("dlq replay: {}", String::from_utf8_lossy(&output.stderr)));
            }
            self.drained(limit).await?;
        }
        Err("clicks become dead letters again and again".to_owned())
    }
}

async fn soon(limit: Duration, mut condition: impl AsyncFnMut() -> bool) -> Option<()> {
    let started = Instant::now();
    while !condition().await {
        if started.elapsed() > limit {
            return None;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Some(())
}
