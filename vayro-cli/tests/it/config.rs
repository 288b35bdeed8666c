//! `vayro config`, `vayro migrate` and `vayro geoip`.

use std::fs;

use super::run::Home;

#[test]
fn settings_are_shown_with_their_source_and_without_their_secrets() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::write(dir.path().join("vayro.toml"), "[worker]\nbatch_max = 7\n").expect("the file is written");
    let home = Home::new(dir.path())
        .with("VAYRO_POSTGRES__URL", "postgres://vayro:hunter2@db/vayro")
        .with("VAYRO_CONFIG", "vayro.toml");
    let run = home.vayro(&["config", "show", "--changed", "--data-dir", "/data"]);
    assert!(!run.stdout.contains("hunter2"), "{run}");
    insta::assert_snapshot!("config_show", run);
    let all = home.vayro(&["config", "show"]);
    assert!(all.stdout.lines().count() > 50 && all.stdout.contains("edge.listen\t"), "{all}");
}

#[test]
fn every_mistake_is_found_at_once() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sound = Home::new(dir.path()).vayro(&["config", "check"]);
    assert_eq!(sound.status, 0, "{sound}");
    fs::write(dir.path().join("bad.toml"), "[edge]\nlistem = 1\n[worker]\nbatch_max = 0\n").expect("written");
    let home =
        Home::new(dir.path()).with("VAYRO_API__LOGIN_WINDOW", "soon").with("VAYRO_BACKEND__SET", "clustered");
    insta::assert_snapshot!("config_check", home.vayro(&["config", "check", "--config", "bad.toml"]));
    let missing = Home::new(dir.path()).vayro(&["config", "check", "--config", "missing.toml"]);
    assert_eq!(missing.status, 64, "{missing}");
}

#[test]
fn a_database_is_migrated_once() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let home = Home::new(dir.path());
    fs::create_dir(dir.path().join("data")).expect("a folder");
    insta::assert_snapshot!("migrate_check", home.vayro(&["migrate", "--check", "--data-dir", "data"]));
    insta::assert_snapshot!("migrate", home.vayro(&["migrate", "--data-dir", "data"]));
    insta::assert_snapshot!("migrate_again", home.vayro(&["migrate", "--data-dir", "data"]));
    assert_eq!(home.vayro(&["migrate", "--check", "--data-dir", "data"]).status, 0);
}

#[test]
fn only_a_geoip_database_is_taken_for_one() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let home = Home::new(dir.path());
    insta::assert_snapshot!("geoip_missing", home.vayro(&["geoip", "status"]));
    fs::write(dir.path().join("x.mmdb"), "nonsense").expect("the file is written");
    let run = home.vayro(&["geoip", "set", "x.mmdb"]);
    assert_eq!((run.status, run.stdout.as_str()), (1, ""), "{run}");
    assert!(!dir.path().join("vayro-data/geoip.mmdb").exists());
}

#[test]
fn the_embedded_set_has_one_stream() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let home = Home::new(dir.path());
    insta::assert_snapshot!("shards_embedded", home.vayro(&["stream", "shards", "--data-dir", "data"]));
    insta::assert_snapshot!(
        "shards_set_embedded",
        home.vayro(&["stream", "shards", "set", "3", "--data-dir", "data"])
    );
}

#[test]
fn an_address_of_redis_that_is_none_is_a_mistake() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let arguments =
        ["config", "check", "--postgres", "postgres://db/vayro", "--redis", "redis+sentinel://one"];
    let run = Home::new(dir.path()).vayro(&arguments);
    assert_eq!(run.status, 64, "{run}");
    assert!(run.stderr.contains("redis.url") && run.stderr.contains("redis+cluster://"), "{run}");
}
