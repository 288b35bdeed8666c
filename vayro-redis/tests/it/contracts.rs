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
use vayro_testing::redis::RedisServer;
use vayro_testing::versions::Version;

use crate::support;

struct Fixture {
    client: RedisClient,
    /// Lives as long as the fixture; `None` on the shared server.
    _server: Option<RedisServer>,
}

async fn fixture() -> Fixture {
    let redis = vayro_testing::redis::database().await;
    Fixture { client: support::connect(&redis.url).await, _server: None }
}

async fn fixture_on(version: Version) -> Fixture {
    let server = vayro_testing::versions::server(version).await;
    Fixture { client: support::connect(&server.url).await, _server: Some(server) }
}

#[async_trait]
impl StreamFixture for Fixture {
    fn sink(&self) -> Arc<dyn ClickSink> {
        Arc::new(RedisClickSink::new(&self.client))
    }

    async fn consumer(&self, name: &str) -> Arc<dyn ClickStream> {
        Arc::new(RedisClickStream::new(&self.client, name))
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetterStore> {
        Arc::new(RedisDeadLetters::new(&self.client))
    }

    fn now(&self) -> Timestamp {
        support::now()
    }
}

#[async_trait]
impl InvalidationFixture for Fixture {
    fn publisher(&self) -> Arc<dyn LinkPublisher> {
        Arc::new(RedisPublisher::new(&self.client))
    }

    async fn feed(&self) -> Box<dyn InvalidationFeed> {
        Box::new(RedisInvalidationFeed::new(&self.client))
    }
}

impl BoardFixture for Fixture {
    fn reports(&self) -> Arc<dyn EdgeReports> {
        Arc::new(RedisEdgeReports::new(&self.client))
    }

    fn limits(&self) -> Arc<dyn RateLimiter> {
        Arc::new(RedisRateLimiter::new(&self.client))
    }

    fn now(&self) -> Timestamp {
        support::now()
    }
}

impl VisitsFixture for Fixture {
    fn visits(&self) -> Arc<dyn RecentVisits> {
        Arc::new(RedisRecentVisits::new(&self.client))
    }

    fn now(&self) -> Timestamp {
        support::now()
    }
}

/// Every contract on one kind of server.
macro_rules! contracts {
    ($name:ident, $fixture:expr) => {
        mod $name {
            mod click_stream {
                use super::super::*;

                vayro_core::click_stream_contract!($fixture);
                vayro_core::shared_click_stream_contract!($fixture);
            }

            mod invalidations {
                use super::super::*;

                vayro_core::invalidation_contract!($fixture);
            }

            mod board {
                use super::super::*;

                vayro_core::board_contract!($fixture);
            }

            mod recent_visits {
                use super::super::*;

                vayro_core::recent_visits_contract!($fixture);
            }
        }
    };
}

contracts!(installed, fixture());
contracts!(redis_8, fixture_on(Version::Redis8));
contracts!(valkey_9, fixture_on(Version::Valkey9));
