//! Rollups of weeks and of busy days that somebody damaged.

use sqlx::Executor as _;
use vayro_core::contract::{parts, weeks};

use crate::fixture::fixture;
use crate::opening::raw;

#[tokio::test]
async fn a_week_that_is_wrong_is_found() {
    let fixture = fixture().await;
    let mut sql = raw(&fixture.path()).await;
    weeks::a_week_that_is_wrong_is_found(&fixture.stores, async |statement| {
        sql.execute(statement).await.expect("damaged");
    })
    .await;
}

#[tokio::test]
async fn parts_are_read_and_compared() {
    let fixture = fixture().await;
    let mut sql = raw(&fixture.path()).await;
    parts::parts_are_read_and_compared(&fixture.stores, async |statement| {
        sql.execute(statement).await.expect("damaged");
    })
    .await;
}
