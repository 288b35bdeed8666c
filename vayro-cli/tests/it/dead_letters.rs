//! `vayro dlq`, against a scripted server: a healthy one has no dead letters.

use super::script::{home, json, problem, script, temp};

fn letter(id: &str) -> String {
    format!(
        r#"{{"id":"{id}","stream_id":"1-1","reason":"unknown_link","error":"no such link","attempts":2,
        "dead_at":"2026-05-10T11:00:00Z","fields":[{{"name":"link_id","value":"01890a5d-ac96-774b-bcce-b302099a8057"}},
        {{"name":"user_agent","value":"Evil\u001b[2J"}}]}}"#
    )
}

fn page(ids: &[&str], next: Option<&str>) -> String {
    let letters: Vec<String> = ids.iter().map(|id| letter(id)).collect();
    let next = next.map_or("null".to_owned(), |next| format!("\"{next}\""));
    json(&format!(r#"{{"items":[{}],"next":{next}}}"#, letters.join(",")))
}

fn batch(done: u64) -> String {
    json(&format!(r#"{{"matched":{done},"done":{done},"has_more":false}}"#))
}

#[test]
fn a_list_follows_the_pages_and_keeps_the_filter() {
    let dir = temp();
    let (url, server) = script(vec![page(&["1-0", "2-0"], Some("c")), page(&["3-0"], None)]);
    let run = home(&dir, &url).vayro(&[
        "dlq",
        "list",
        "--reason",
        "unknown_link",
        "--since",
        "2026-05-10T10:00:00Z",
    ]);
    assert_eq!(run.status, 0, "{run}");
    insta::assert_snapshot!("dlq_list", run);
    let asked = server.join().expect("the server ends");
    let query = "/v1/ops/dead-letters?reason=unknown_link&since=2026-05-10T10%3A00%3A00Z";
    assert!(asked[0].head.contains(query), "{}", asked[0].head);
    assert!(asked[1].head.contains(query) && asked[1].head.contains("cursor=c"), "{}", asked[1].head);
}

#[test]
fn a_letter_is_shown_with_its_fields_made_safe() {
    let dir = temp();
    let (url, server) = script(vec![json(&letter("1-0"))]);
    insta::assert_snapshot!("dlq_show", home(&dir, &url).vayro(&["dlq", "show", "1-0"]));
    server.join().expect("the server ends");
    let (url, server) = script(vec![problem(404, "not_found", "there is no such dead letter")]);
    insta::assert_snapshot!("dlq_show_missing", home(&dir, &url).vayro(&["dlq", "show", "9-9"]));
    server.join().expect("the server ends");
}

#[test]
fn a_replay_takes_all_ids_before_it_acts() {
    let dir = temp();
    let (url, server) = script(vec![page(&["1-0"], Some("c")), page(&["2-0"], None), batch(2)]);
    let run = home(&dir, &url).vayro(&["dlq", "replay", "--all"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, "Replayed 2 of 2 dead letters\n"), "{run}");
    let asked = server.join().expect("the server ends");
    assert!(asked[2].head.starts_with("POST /v1/ops/dead-letters/replay "), "{}", asked[2].head);
    assert_eq!(asked[2].body, r#"{"ids":["1-0","2-0"]}"#);
}

#[test]
fn a_rate_makes_small_calls() {
    let dir = temp();
    let (url, server) = script(vec![page(&["1-0", "2-0", "3-0"], None), batch(2), batch(1)]);
    let run = home(&dir, &url).vayro(&["dlq", "replay", "--all", "--rate", "20", "--json"]);
    assert_eq!(run.status, 0, "{run}");
    let asked = server.join().expect("the server ends");
    assert_eq!(asked[2].body, r#"{"ids":["3-0"]}"#, "two at a time");
}

#[test]
fn a_dry_run_changes_nothing() {
    let dir = temp();
    for verb in ["replay", "purge"] {
        let (url, server) = script(vec![page(&["1-0", "2-0"], None)]);
        let run = home(&dir, &url).vayro(&["dlq", verb, "--reason", "rejected", "--dry-run"]);
        assert_eq!((run.status, run.stdout.as_str()), (0, ""), "{run}");
        assert!(run.stderr.starts_with("2 dead letters would be re"), "{run}");
        assert_eq!(server.join().expect("the server ends").len(), 1);
    }
}

#[test]
fn a_purge_is_confirmed_or_refused() {
    let dir = temp();
    let (url, server) = script(vec![page(&["1-0"], None)]);
    insta::assert_snapshot!("dlq_purge_unconfirmed", home(&dir, &url).vayro(&["dlq", "purge", "--all"]));
    server.join().expect("the server ends");
    let (url, server) = script(vec![page(&["1-0"], None), batch(1)]);
    let run = home(&dir, &url).vayro(&["dlq", "purge", "--all", "--yes"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, "Removed 1 of 1 dead letter\n"), "{run}");
    let asked = server.join().expect("the server ends");
    assert!(asked[1].head.starts_with("DELETE /v1/ops/dead-letters?ids=1-0 "), "{}", asked[1].head);
}

#[test]
fn nothing_is_replayed_or_purged_by_accident() {
    let dir = temp();
    insta::assert_snapshot!(
        "dlq_nothing_selected",
        home(&dir, "http://127.0.0.1:1").vayro(&["dlq", "purge", "--yes"])
    );
    let run = home(&dir, "http://127.0.0.1:1").vayro(&["dlq", "replay", "1-0", "--all"]);
    assert_eq!(run.status, 2, "{run}");
}
