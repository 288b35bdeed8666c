//! Removing entries that somebody asked to have removed, whatever became of them.

use redis::{RedisResult, Value};
use vayro_core::ids::ClickId;
use vayro_core::page::Page;
use vayro_core::purge::{ClickSelector, click_id};

use super::RedisClickStream;
use crate::entry::{self, Entry};
use crate::names::{self, ShardKeys};
use crate::scripts::PURGE;
use crate::shard::{Place, place};

/// Entries fetched at a time, and most of one call of the script.
const PAGE_LEN: u16 = 1000;
/// Pages searched by one call; the cursor goes on from there.
const PAGES_MAX: usize = 20;

impl RedisClickStream {
    /// Goes over the shards one after the other.
    pub(super) async fn remove_matching(
        &self,
        selector: &ClickSelector,
        after: Option<Place>,
    ) -> RedisResult<Page<ClickId, String>> {
        let mut shards = self.all().await?;
        shards.sort_by_key(|keys| keys.shard);
        shards.retain(|keys| after.is_none_or(|after| keys.shard >= after.shard));
        let (mut items, mut pages) = (Vec::new(), 0);
        for keys in shards {
            let mut from = match after.filter(|after| after.shard == keys.shard) {
                None => "-".to_owned(),
                Some(after) => format!("({}", after.id),
            };
            loop {
                let mut command = redis::cmd("XRANGE");
                command.arg(&keys.stream).arg(&from).arg("+").arg("COUNT").arg(PAGE_LEN);
                let page: Value = self.lane.query(&keys.stream, &command).await?;
                let page = entry::entries(page).map_err(std::io::Error::other)?;
                pages += 1;
                let Some(last) = page.last().map(|last| last.id.clone()) else { break };
                self.remove_from_page(&keys, selector, &page, &mut items).await?;
                if page.len() < usize::from(PAGE_LEN) {
                    break;
                }
                if pages >= PAGES_MAX {
                    return Ok(Page { items, next: Some(place(keys.shard, &last)) });
                }
                from = format!("({last}");
            }
        }
        Ok(Page { items, next: None })
    }

    async fn remove_from_page(
        &self,
        keys: &ShardKeys,
        selector: &ClickSelector,
        page: &[Entry],
        items: &mut Vec<ClickId>,
    ) -> RedisResult<()> {
        let mut call = PURGE.key(&keys.stream);
        call.key(&keys.settled).arg(names::GROUP);
        let mut count = 0;
        for found in page {
            let fields = found.fields.as_deref().unwrap_or_default();
            if selector.matches(fields) {
                call.arg(&found.id);
                count += 1;
                items.extend(click_id(fields));
            }
        }
        if count > 0 {
            self.lane.script::<u64>(&keys.stream, &call).await?;
        }
        Ok(())
    }
}
