//! Counting what is not settled, by the day of the click.

use redis::{RedisResult, Value};
use vayro_core::stream::Unsettled;

use super::RedisClickStream;
use crate::entry::{self, Entry};
use crate::names::{self, ShardKeys};

/// Entries fetched at a time.
const PAGE_LEN: u64 = 1000;

/// Id, consumer, milliseconds since it was handed out, how often it was.
type Held = (String, String, u64, u64);

impl RedisClickStream {
    pub(super) async fn count_unsettled(&self, keys: &ShardKeys, max: u64) -> RedisResult<Unsettled> {
        let mut unsettled = Unsettled::default();
        // First what was never handed out: an entry handed out meanwhile is then seen twice and not missed.
        let page_len = PAGE_LEN.min(max.max(1));
        let mut after = self.last_delivered(keys).await?;
        loop {
            let mut command = redis::cmd("XRANGE");
            command.arg(&keys.stream).arg(format!("({after}")).arg("+").arg("COUNT").arg(page_len);
            let page = entries(self.lane.query(&keys.stream, &command).await?)?;
            let is_last = (page.len() as u64) < page_len;
            if let Some(last) = page.last() {
                after.clone_from(&last.id);
            }
            count(&mut unsettled, page);
            if is_last {
                break;
            }
            if unsettled.total() >= max {
                unsettled.is_capped = true;
                return Ok(unsettled);
            }
        }
        let mut from = "-".to_owned();
        loop {
            let mut command = redis::cmd("XPENDING");
            command.arg(&keys.stream).arg(names::GROUP).arg(&from).arg("+").arg(page_len);
            let held: Vec<Held> = self.lane.query(&keys.stream, &command).await?;
            let Some((last, ..)) = held.last() else { return Ok(unsettled) };
            from = format!("({last}");
            let mut pipeline = redis::Pipeline::with_capacity(held.len());
            for (id, ..) in &held {
                pipeline.cmd("XRANGE").arg(&keys.stream).arg(id).arg(id);
            }
            for found in self.lane.pipeline::<Vec<Value>>(&keys.stream, &pipeline).await? {
                count(&mut unsettled, entries(found)?);
            }
            if unsettled.total() >= max {
                unsettled.is_capped = true;
                return Ok(unsettled);
            }
        }
    }

    pub(super) async fn last_delivered(&self, keys: &ShardKeys) -> RedisResult<String> {
        let mut command = redis::cmd("XINFO");
        command.arg("GROUPS").arg(&keys.stream);
        let groups: Vec<std::collections::HashMap<String, Value>> =
            self.lane.query(&keys.stream, &command).await?;
        let text = |value: &Value| entry::text(value.clone()).ok();
        let ours =
            groups.iter().find(|group| group.get("name").and_then(text).as_deref() == Some(names::GROUP));
        let last = ours.and_then(|group| group.get("last-delivered-id")).and_then(text);
        Ok(last.unwrap_or_else(|| "0-0".to_owned()))
    }
}

fn entries(reply: Value) -> RedisResult<Vec<Entry>> {
    Ok(entry::entries(reply).map_err(std::io::Error::other)?)
}

fn count(unsettled: &mut Unsettled, entries: Vec<Entry>) {
    for entry in entries {
        unsettled.count(&entry.fields.unwrap_or_default());
    }
}
