//! The ledger file of a process that keeps none.

use async_trait::async_trait;
use vayro_core::ledger::EdgeLedger;
use vayro_core::ports::{LedgerError, LedgerFile};

/// Keeps nothing: the process accepts no clicks, or its disk does not let it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoLedgerFile;

#[async_trait]
impl LedgerFile for NoLedgerFile {
    async fn save(&self, _: &EdgeLedger) -> Result<(), LedgerError> {
        Ok(())
    }

    fn earlier(&self) -> Vec<EdgeLedger> {
        Vec::new()
    }

    async fn forget(&self, _: &[String]) {}
}
