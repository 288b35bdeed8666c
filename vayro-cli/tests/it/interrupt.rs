//! Ctrl-C and readers that go away.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use super::script::{home, json, script, temp};

/// A bulk answer that made `count` links.
fn made(count: usize) -> String {
    let link = r#"{"id":"01890a5d-ac96-774b-bcce-b302099a8057","short_code":"x","short_url":"http://s.example/x",
        "domain":"s.example","target_url":"https://a.example/","title":"","state":"active","redirect_status":302,
        "is_active":true,"expires_at":null,"archived_at":null,"deleted_at":null,"created_at":"2026-05-01T00:00:00Z",
        "updated_at":"2026-05-01T00:00:00Z","version":1,"clicks":0,"last_click_at":null}"#;
    let results: Vec<String> =
        (0..count).map(|index| format!(r#"{{"index":{index},"status":201,"link":{link}}}"#)).collect();
    json(&format!(r#"{{"done":{count},"failed":0,"results":[{}]}}"#, results.join(",")))
}

#[test]
fn an_interrupted_import_says_where_to_go_on() {
    let dir = temp();
    let rows: Vec<String> = (0..150).map(|row| format!("https://a.example/{row}")).collect();
    std::fs::write(dir.path().join("links.csv"), format!("target_url\n{}\n", rows.join("\n")))
        .expect("written");
    // The second part of the file is never answered.
    let (url, server) = script(vec![made(100), String::new()]);
    let mut command = home(&dir, &url).command();
    command.args(["link", "import", "links.csv"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("`vayro` starts");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines();
    for row in 1..=100 {
        let line = lines.next().expect("a result per row").expect("it is UTF-8");
        assert!(line.starts_with(&format!("{row}\tcreated\thttp://s.example/x\t")), "{line}");
    }
    // It has been asked for the second part once the script is over.
    assert_eq!(server.join().expect("the server ends").len(), 2);
    let told = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("`kill` runs");
    assert!(told.success());
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(130));
    let mut said = String::new();
    child.stderr.take().expect("stderr is a pipe").read_to_string(&mut said).expect("it is UTF-8");
    assert_eq!(said, "hint: go on with the same command and `--from-row 101`\n");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let dir = temp();
    let mut command = home(&dir, "http://127.0.0.1:1").command();
    command.args(["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("`vayro` starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
