use sqlx::{Connection as _, Row as _};

#[tokio::test]
async fn databases_are_fresh_and_apart() {
    let (one, two) = (vayro_testing::postgres::database().await, vayro_testing::postgres::database().await);
    assert_ne!(one.url, two.url);
    let mut connection = sqlx::PgConnection::connect(&one.url).await.expect("the database answers");
    let row = sqlx::query("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        .fetch_one(&mut connection)
        .await
        .expect("the catalog answers");
    assert_eq!(row.get::<i64, _>(0), 0);
}

#[tokio::test]
async fn redis_data_survives_a_stop_and_start() {
    let mut server = vayro_testing::redis::server().await;
    let get = async |url: &str, command: &str| -> Option<String> {
        let client = redis::Client::open(url).ok()?;
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        let mut words = command.split(' ');
        let mut command = redis::cmd(words.next()?);
        command.arg(words.collect::<Vec<_>>());
        command.query_async(&mut connection).await.ok()
    };
    assert_eq!(get(&server.url, "SET color blue").await.as_deref(), Some("OK"));
    server.stop();
    assert_eq!(get(&server.url, "GET color").await, None);
    server.restart().await;
    assert_eq!(get(&server.url, "GET color").await.as_deref(), Some("blue"));
}

#[tokio::test]
async fn postgres_comes_back_after_a_crash() {
    let mut server = vayro_testing::postgres::server().await;
    let mut connection = sqlx::PgConnection::connect(&server.url).await.expect("the server answers");
    sqlx::raw_sql("CREATE TABLE kept (id int); INSERT INTO kept VALUES (1)")
        .execute(&mut connection)
        .await
        .expect("a table can be made");
    server.kill();
    assert!(sqlx::PgConnection::connect(&server.url).await.is_err());
    server.restart().await;
    let mut connection = sqlx::PgConnection::connect(&server.url).await.expect("the server answers again");
    let row = sqlx::query("SELECT count(*) FROM kept")
        .fetch_one(&mut connection)
        .await
        .expect("the table is there");
    assert_eq!(row.get::<i64, _>(0), 1);
}
