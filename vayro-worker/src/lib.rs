//! The worker: click stream to enriched rows; partitions, retention

pub mod enrich;
