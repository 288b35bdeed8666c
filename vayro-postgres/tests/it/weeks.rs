//! Rollups of weeks that somebody damaged.

use std::time::Duration;

use sqlx::Executor as _;
use vayro_core::click::ClickRow;
use vayro_core::contract::stores::{at, click};
use vayro_core::day::Day;

use crate::fixture::fixture;

/// A day in seconds.
const DAY: i64 = 86_400;

/// A week that says something else than its days, that has no days, or that cannot be read, is found on the
/// last day of it that has clicks, and a repair removes it.
#[tokio::test]
async fn a_week_that_is_wrong_is_found() {
    let fixture = fixture().await;
    let stores = &fixture.stores;
    let owner = stores.owner("ada").await;
    stores.prepare_months().await;
    let link = stores.link(&owner, "launch").await;
    let from_germany = |seconds| ClickRow { country_code: "DE".to_owned(), ..click(&link, at(seconds)) };
    stores.clicks.write(&[from_germany(-DAY), from_germany(0)]).await.expect("stored");
    let sql = fixture.sql().await;
    for damage in [
        "UPDATE click_rollups SET quarters = day.quarters FROM click_rollups AS day
         WHERE click_rollups.span = 'week' AND day.span = 'day' AND day.subject_id = click_rollups.subject_id",
        "UPDATE click_rollups SET country = language WHERE span = 'week'",
        "UPDATE click_rollups SET day_visitors = country WHERE span = 'week'",
        "UPDATE click_rollups SET day_visitors = country, quarters = country WHERE span = 'week'",
    ] {
        let week = Duration::from_secs(30 * 86_400);
        let made = stores.rollups.roll_up_weeks(at(0).minus(week), at(0).plus(week), 9).await;
        assert_eq!(made.expect("it answers"), 2);
        let check = async |seconds, is_repair| {
            let check = stores.rollups.recount(owner.workspace_id, Day::of(at(seconds)), is_repair).await;
            check.expect("it answers").different
        };
        assert_eq!((check(-DAY, false).await, check(0, false).await), (0, 0));
        sql.execute(damage).await.expect("damaged");
        assert_eq!((check(-DAY, false).await, check(0, false).await), (0, 2), "{damage}");
        check(-DAY, true).await;
        assert_eq!(check(0, false).await, 0);
    }
}
