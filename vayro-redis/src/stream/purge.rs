//! Removing entries that somebody asked to have removed, whatever became of them.

use redis::{RedisResult, Value};
use vayro_core::ids::ClickId;
use vayro_core::page::Page;
use vayro_core::purge::{ClickSelector, click_id};

use super::RedisClickStream;
use crate::entry::{self, EntryId};
use crate::names;
use crate::scripts::PURGE;

/// Entries fetched at a time, and most of one call of the script.
const PAGE_LEN: u16 = 1000;
/// Pages searched by one call; the cursor goes on from there.
const PAGES_MAX: usize = 20;

impl RedisClickStream {
    pub(super) async fn remove_matching(
        &self,
        selector: &ClickSelector,
        after: Option<EntryId>,
    ) -> RedisResult<Page<ClickId, String>> {
        let mut items = Vec::new();
        let mut from = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        for _ in 0..PAGES_MAX {
            let mut command = redis::cmd("XRANGE");
            command.arg(names::CLICKS).arg(&from).arg("+").arg("COUNT").arg(PAGE_LEN);
            let page: Value = self.lane.query(&command).await?;
            let page = entry::entries(page).map_err(std::io::Error::other)?;
            let Some(last) = page.last().map(|last| last.id.clone()) else {
                return Ok(Page { items, next: None });
            };
            let mut call = PURGE.key(names::CLICKS);
            call.key(names::SETTLED).arg(names::GROUP);
            let mut count = 0;
            for found in &page {
                let fields = found.fields.as_deref().unwrap_or_default();
                if selector.matches(fields) {
                    call.arg(&found.id);
                    count += 1;
                    items.extend(click_id(fields));
                }
            }
            if count > 0 {
                self.lane.script::<u64>(&call).await?;
            }
            from = format!("({last}");
            if page.len() < usize::from(PAGE_LEN) {
                return Ok(Page { items, next: None });
            }
        }
        Ok(Page { items, next: from.strip_prefix('(').map(str::to_owned) })
    }
}
