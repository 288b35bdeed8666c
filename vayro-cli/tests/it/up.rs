//! `vayro up`: starting, stopping, and being refused.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use super::run::Home;
use super::server::{BROWSER, Server};

#[test]
fn the_first_start_says_how_to_sign_in_and_the_next_command_just_works() {
    let mut server = Server::start();
    assert!(
        server.greeting.starts_with("First start: this is your account, shown only now.\n"),
        "{}",
        server.greeting
    );
    assert_eq!(server.greeted("e-mail"), "owner@localhost");
    assert_eq!(server.greeted("API key").len(), 55, "{}", server.greeting);
    let mode = std::fs::metadata(server.profile()).expect("a profile").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mode = std::fs::metadata(server.data_dir()).expect("data").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);

    let short_url = server.ok(&["link", "create", "https://example.com/", "--code", "hello"]);
    assert_eq!(short_url, format!("{}/hello\n", server.edge));
    let answer = server.visit("/hello", BROWSER);
    assert!(answer.starts_with("HTTP/1.1 302 Found\r\n"), "{answer}");
    server.wait_for(&["stats", "hello", "--json"], "/totals/clicks", 1);

    let (status, rest) = server.stop();
    assert_eq!((status.code(), rest.as_str()), (Some(0), ""), "one ready line and no more");
}

#[test]
fn a_second_start_goes_on_where_the_first_one_ended() {
    let mut server = Server::start();
    server.ok(&["link", "create", "https://example.com/", "--code", "kept"]);
    // Not counted before the stop, perhaps; it must be after it.
    server.visit("/kept", BROWSER);
    server.stop();
    let first_api = server.api.clone();
    server.up(&[]);
    assert_eq!(server.greeting, "", "secrets are shown once");
    assert_ne!(server.api, first_api, "the system chose another port");
    server.wait_for(&["stats", "kept", "--json"], "/totals/clicks", 1);
}

#[test]
fn a_data_directory_belongs_to_one_process() {
    let server = Server::start();
    let second = server.command(&[]).stdin(Stdio::null()).output().expect("it runs");
    let said = String::from_utf8(second.stderr).expect("it is UTF-8");
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert_eq!(second.stdout, b"");
    assert!(said.contains("error: another process uses"), "{said}");
    assert!(said.contains("hint: "), "{said}");
    server.ok(&["link", "list"]);
}

#[test]
fn a_port_in_use_is_said_with_its_option() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it listens").to_string();
    for flag in ["--edge", "--api", "--admin"] {
        let mut arguments =
            vec!["up", "--edge", "127.0.0.1:0", "--api", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let at = arguments.iter().position(|argument| *argument == flag).expect("it is there");
        arguments[at + 1] = &address;
        let run = Home::new(dir.path()).with("VAYRO_LOG__LEVEL", "error").vayro(&arguments);
        assert_eq!((run.status, run.stdout.as_str()), (1, ""), "{run}");
        assert!(run.stderr.starts_with(&format!("error: cannot listen on {address}\n")), "{run}");
        assert!(run.stderr.contains(&format!("choose another port with `{flag}`")), "{run}");
    }
}

#[test]
fn health_readiness_and_metrics_of_every_role_are_in_one_place() {
    let server = Server::start();
    let get = |path: &str| server.ask_admin(path);
    assert_eq!(get("/livez"), (200, "ok\n".to_owned()));
    assert_eq!(get("/readyz").0, 200);
    let ready = server.readiness();
    assert_eq!(ready["ready"], true, "{ready}");
    let (_, metrics) = get("/metrics");
    for name in ["vayro_edge_clicks_accepted_total", "vayro_api_", "vayro_worker_"] {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }
    assert_eq!(get("/other").0, 404);
}

#[test]
fn every_mistake_of_the_configuration_is_reported_before_anything_starts() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let home = Home::new(dir.path()).with("VAYRO_EDGE__LISTEM", "x").with("VAYRO_API__LISTEN", "nowhere");
    let run = home.vayro(&["up"]);
    assert_eq!((run.status, run.stdout.as_str()), (64, ""), "{run}");
    assert!(run.stderr.contains("edge.listem") && run.stderr.contains("api.listen"), "{run}");
    assert!(!dir.path().join("vayro-data").exists(), "nothing was made");
}

#[tokio::test]
async fn the_clustered_set_runs_in_one_process_too() {
    let (postgres, redis) =
        (vayro_testing::postgres::database().await, vayro_testing::redis::database().await);
    let clustered = ["--postgres", &postgres.url, "--redis", &redis.url];
    // The child processes are waited for on a thread of their own: the databases live on this one.
    let check = {
        let arguments = clustered.map(str::to_owned);
        move || {
            let arguments = arguments.each_ref().map(String::as_str);
            let mut server = Server::start_with(&arguments);
            server.ok(&["link", "create", "https://example.com/", "--code", "hello"]);
            assert!(server.visit("/hello", BROWSER).starts_with("HTTP/1.1 302 "));
            server.wait_for(&["stats", "hello", "--json"], "/totals/clicks", 1);
            let doctor = ["doctor", "--json", "--postgres", arguments[1], "--redis", arguments[3]];
            let found = server.vayro(&doctor);
            assert!(found.stdout.contains("append-only file"), "{found}");
            let (status, _) = server.stop();
            assert_eq!(status.code(), Some(0));
        }
    };
    tokio::task::spawn_blocking(check).await.expect("the checks hold");
}
