//! What the client does when the server misbehaves, against a scripted one.

use std::net::TcpListener;

use super::run::Home;
use super::script::{Asked, KEY, answer, home, problem, script, temp};

#[test]
fn nobody_listening_is_said_with_what_to_do() {
    let dir = temp();
    let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = free.local_addr().expect("it listens");
    drop(free);
    let run = home(&dir, &format!("http://{address}")).vayro(&["link", "list"]);
    assert_eq!((run.status, run.stdout.as_str()), (1, ""));
    assert!(run.stderr.starts_with(&format!("error: cannot reach the API at http://{address}\n")), "{run}");
    assert!(run.stderr.contains("\n\nhint: start it with `vayro up`"), "{run}");
}

#[test]
fn a_busy_server_is_asked_again() {
    let dir = temp();
    let empty = answer("200 OK", "", r#"{"items":[],"next":null}"#);
    let busy = answer("503 X", "retry-after: 0\r\n", "");
    let (url, server) = script(vec![busy.clone(), busy, empty]);
    let run = home(&dir, &url).vayro(&["link", "list"]);
    assert_eq!((run.status, run.stdout.as_str()), (0, ""), "{run}");
    let requests = server.join().expect("the server ends");
    assert_eq!(requests.len(), 3);
    assert!(requests[0].head.contains(&format!("authorization: Bearer {KEY}")), "{}", requests[0].head);
    assert!(requests[0].head.contains("user-agent: vayro-cli/"), "{}", requests[0].head);
}

#[test]
fn a_change_is_never_sent_twice() {
    let dir = temp();
    let (url, server) = script(vec![problem(503, "unavailable", "the database is away")]);
    let run = home(&dir, &url).vayro(&["domain", "add", "go.example.com"]);
    assert_eq!(run.status, 1, "{run}");
    assert_eq!(server.join().expect("the server ends").len(), 1);
    assert!(run.stderr.contains("error: the database is away"), "{run}");
    assert!(run.stderr.contains("request r-1"), "{run}");
}

/// The answer of the API about a link that was made.
fn made() -> String {
    let link = concat!(
        r#"{"id":"019e1234-5678-7abc-8def-0123456789ab","short_code":"x","short_url":"https://vay.test/x","#,
        r#""domain":"vay.test","target_url":"https://a.example/","title":"","state":"active","#,
        r#""redirect_status":302,"is_active":true,"expires_at":null,"archived_at":null,"deleted_at":null,"#,
        r#""created_at":"2026-05-10T12:00:00Z","updated_at":"2026-05-10T12:00:00Z","version":1,"clicks":0,"#,
        r#""last_click_at":null}"#
    );
    answer("201 Created", "content-type: application/json\r\n", link)
}

fn names(asked: &[Asked]) -> Vec<&str> {
    asked
        .iter()
        .filter_map(|asked| asked.head.lines().find_map(|line| line.strip_prefix("idempotency-key: ")))
        .collect()
}

#[test]
fn a_link_is_asked_for_again_under_the_same_name() {
    let dir = temp();
    let away = problem(503, "unavailable", "the database is away");
    let in_use = problem(409, "idempotency_key_in_use", "still running");
    // The connection ends within the answer; whether the link was made is unknown.
    let broken = "HTTP/1.1 201 Created\r\ncontent-length: 10\r\nconnection: close\r\n\r\n{".to_owned();
    for first in [[away, in_use.clone()], [broken, in_use]] {
        let (url, server) = script([first.to_vec(), vec![made()]].concat());
        let run = home(&dir, &url).vayro(&["link", "create", "https://a.example/"]);
        assert_eq!((run.status, run.stdout.as_str()), (0, "https://vay.test/x\n"), "{run}");
        let asked = server.join().expect("the server ends");
        let names = names(&asked);
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
        assert!(asked.iter().all(|again| again.body == asked[0].body), "the same body, byte for byte");
    }
}

#[test]
fn another_server_is_told_apart_from_ours() {
    let dir = temp();
    for body in
        [answer("200 OK", "content-type: text/html\r\n", "<html>hi</html>"), answer("404 X", "", "nope")]
    {
        let (url, server) = script(vec![body]);
        let run = home(&dir, &url).vayro(&["whoami"]);
        assert_eq!(run.status, 1, "{run}");
        assert!(run.stderr.contains("does not answer like a Vayro API"), "{run}");
        server.join().expect("the server ends");
    }
}

#[test]
fn redirects_are_not_followed_with_the_key() {
    let dir = temp();
    let (url, server) = script(vec![answer("302 Found", "location: http://127.0.0.1:1/\r\n", "")]);
    let run = home(&dir, &url).vayro(&["whoami"]);
    assert_eq!(run.status, 1, "{run}");
    assert!(run.stderr.contains("(status 302)"), "{run}");
    server.join().expect("the server ends");
}

#[test]
fn refusals_have_their_exit_statuses() {
    let dir = temp();
    for (status, code, expected) in [
        (401, "not_authenticated", 4),
        (403, "forbidden", 4),
        (404, "not_found", 3),
        (409, "domain_taken", 1),
    ] {
        let (url, server) = script(vec![problem(status, code, "what happened")]);
        let run = home(&dir, &url).vayro(&["domain", "add", "go.example.com"]);
        assert_eq!(run.status, expected, "{run}");
        assert!(run.stderr.starts_with("error: what happened\n"), "{run}");
        server.join().expect("the server ends");
    }
}

#[test]
fn nobody_signed_in_is_an_exit_status_of_its_own() {
    let dir = temp();
    let run = Home::new(dir.path()).vayro(&["link", "list"]);
    insta::assert_snapshot!("nobody_signed_in", run);
}

#[test]
fn what_the_server_sends_cannot_steer_the_terminal() {
    let dir = temp();
    let (url, server) = script(vec![problem(409, "x", r"bad \u001b[2J\u009b title")]);
    let run = home(&dir, &url).vayro(&["domain", "add", "go.example.com"]);
    assert!(!run.stderr.contains('\x1b') && !run.stderr.contains('\u{9b}'), "{run}");
    server.join().expect("the server ends");
}
