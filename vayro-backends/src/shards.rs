//! The shards of the click stream, for operators.

use std::num::NonZeroU16;

use vayro_core::ports::{ClickStream as _, StreamError};
use vayro_core::stream::ShardStats;
use vayro_redis::RedisClickStream;

use crate::backends::Backends;
use crate::clock;
use crate::set::Set;

/// Why the number of shards was not changed.
#[derive(Debug, thiserror::Error)]
pub enum SetShardsError {
    /// There is nothing to divide.
    #[error("the embedded set has one stream")]
    OneStream,
    /// There would be too many.
    #[error("the click stream may have at most {max} shards")]
    TooMany {
        /// The most there may be.
        max: u16,
    },
    /// The stream is away.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

impl Backends {
    /// Measures the shards of the click stream; none in the embedded set, which has one stream.
    ///
    /// # Errors
    ///
    /// [`StreamError`] when the stream is away.
    pub async fn shards(&self) -> Result<Vec<ShardStats>, StreamError> {
        match &*self.set {
            // Shards that were changed a moment ago are seen at once, which the stream of a process need not do.
            Set::Clustered { redis, .. } => {
                redis.shards().await?;
                Ok(RedisClickStream::new(redis, &*self.name).stats(clock::now()).await?.shards)
            }
            Set::Embedded { .. } => Ok(Vec::new()),
        }
    }

    /// Changes how many shards clicks are written into; processes that run follow within about a second.
    ///
    /// # Errors
    ///
    /// [`SetShardsError`]; nothing was changed then, unless the stream went away before it answered.
    pub async fn set_shards(&self, count: NonZeroU16) -> Result<(), SetShardsError> {
        let Set::Clustered { redis, .. } = &*self.set else { return Err(SetShardsError::OneStream) };
        redis.set_shards(count).await.map_err(|error| match error {
            vayro_redis::SetShardsError::TooMany => {
                SetShardsError::TooMany { max: vayro_redis::names::SHARDS_MAX }
            }
            vayro_redis::SetShardsError::Stream(error) => SetShardsError::Stream(error),
        })
    }
}
