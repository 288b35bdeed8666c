//! The contracts of the ports.

use std::sync::Arc;

use async_trait::async_trait;
use vayro_core::contract::messages::{BoardFixture, InvalidationFixture};
use vayro_core::contract::stream::StreamFixture;
use vayro_core::contract::visits::VisitsFixture;
use vayro_core::ports::{
    ClickSink, ClickStream, DeadLetterStore, EdgeReports, InvalidationFeed, LinkPublisher, RateLimiter,
    RecentVisits,
};
use vayro_core::timestamp::Timestamp;
use vayro_redis::{
    RedisClickSink, RedisClickStream, RedisClient, RedisDeadLetters, RedisEdgeReports, RedisInvalidationFeed,
    RedisPublisher, RedisRateLimiter, RedisRecentVisits,
};

use crate::support;

struct Fixture(RedisClient);

async fn fixture() -> Fixture {
    let redis = vayro_testing::redis::database().await;
    Fixture(support::connect(&redis.url).await)
}

#[async_trait]
impl StreamFixture for Fixture {
    fn sink(&self) -> Arc<dyn ClickSink> {
        Arc::new(RedisClickSink::new(&self.0))
    }

    async fn consumer(&self, name: &str) -> Arc<dyn ClickStream> {
        Arc::new(RedisClickStream::new(&self.0, name))
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetterStore> {
        Arc::new(RedisDeadLetters::new(&self.0))
    }

    fn now(&self) -> Timestamp {
        support::now()
    }
}

#[async_trait]
impl InvalidationFixture for Fixture {
    fn publisher(&self) -> Arc<dyn LinkPublisher> {
        Arc::new(RedisPublisher::new(&self.0))
    }

    async fn feed(&self) -> Box<dyn InvalidationFeed> {
        Box::new(RedisInvalidationFeed::new(&self.0))
    }
}

impl BoardFixture for Fixture {
    fn reports(&self) -> Arc<dyn EdgeReports> {
        Arc::new(RedisEdgeReports::new(&self.0))
    }

    fn limits(&self) -> Arc<dyn RateLimiter> {
        Arc::new(RedisRateLimiter::new(&self.0))
    }

    fn now(&self) -> Timestamp {
        support::now()
    }
}

impl VisitsFixture for Fixture {
    fn visits(&self) -> Arc<dyn RecentVisits> {
        Arc::new(RedisRecentVisits::new(&self.0))
    }

    fn now(&self) -> Timestamp {
        support::now()
    }
}

mod click_stream {
    use super::fixture;

    vayro_core::click_stream_contract!(fixture());
    vayro_core::shared_click_stream_contract!(fixture());
}

mod invalidations {
    use super::fixture;

    vayro_core::invalidation_contract!(fixture());
}

mod board {
    use super::fixture;

    vayro_core::board_contract!(fixture());
}

mod recent_visits {
    use super::fixture;

    vayro_core::recent_visits_contract!(fixture());
}
