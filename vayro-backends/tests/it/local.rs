//! The parts that stay in one process keep the contracts of messages.

use std::sync::Arc;

use async_trait::async_trait;
use vayro_backends::clock;
use vayro_backends::local::{LocalBroadcast, LocalLimits, LocalReports, LocalVisits};
use vayro_core::contract::messages::{BoardFixture, InvalidationFixture};
use vayro_core::contract::visits::VisitsFixture;
use vayro_core::ports::{EdgeReports, InvalidationFeed, LinkPublisher, RateLimiter, RecentVisits};
use vayro_core::timestamp::Timestamp;

#[derive(Default)]
struct Messages(Arc<LocalBroadcast>);

#[async_trait]
impl InvalidationFixture for Messages {
    fn publisher(&self) -> Arc<dyn LinkPublisher> {
        self.0.clone()
    }

    async fn feed(&self) -> Box<dyn InvalidationFeed> {
        self.0.feed()
    }
}

#[derive(Default)]
struct Board {
    reports: Arc<LocalReports>,
    limits: Arc<LocalLimits>,
}

impl BoardFixture for Board {
    fn reports(&self) -> Arc<dyn EdgeReports> {
        self.reports.clone()
    }

    fn limits(&self) -> Arc<dyn RateLimiter> {
        self.limits.clone()
    }

    fn now(&self) -> Timestamp {
        clock::now()
    }
}

#[derive(Default)]
struct Visits(Arc<LocalVisits>);

impl VisitsFixture for Visits {
    fn visits(&self) -> Arc<dyn RecentVisits> {
        self.0.clone()
    }

    fn now(&self) -> Timestamp {
        clock::now()
    }
}

mod recent_visits {
    use super::Visits;

    vayro_core::recent_visits_contract!(std::future::ready(Visits::default()));
}

mod invalidations {
    use super::Messages;

    vayro_core::invalidation_contract!(std::future::ready(Messages::default()));
}

mod boards {
    use super::Board;

    vayro_core::board_contract!(std::future::ready(Board::default()));
}
