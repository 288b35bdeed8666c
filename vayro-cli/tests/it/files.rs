//! `vayro link import` and `vayro link export`.

use std::fs;

use super::server::Server;

const FILE: &str = "\
target_url,short_code,title,is_active
https://a.example/,alpha,First,true
https://b.example/,,,
https://b.example/,,,
https://c.example/,login,,
ftp://d.example/,delta,,
https://e.example/,echo,,no
";

#[test]
fn every_row_has_a_result_and_running_again_changes_nothing() {
    let server = Server::start();
    let path = server.data_dir().join("../links.csv");
    fs::write(&path, FILE).expect("the file is written");
    let dry = server.vayro(&["link", "import", "links.csv", "--dry-run"]);
    assert_eq!(dry.status, 1, "two rows are bad: {dry}");
    assert_eq!(server.ok(&["link", "list"]), "", "a dry run creates nothing");

    let first = server.vayro(&["link", "import", "links.csv"]);
    insta::assert_snapshot!("import_first", server.redact(&first));
    let second = server.vayro(&["link", "import", "links.csv"]);
    insta::assert_snapshot!("import_again", server.redact(&second));
    assert_eq!(server.ok(&["link", "list"]).lines().count(), 4);

    let part = server.vayro(&["link", "import", "links.csv", "--from-row", "6"]);
    assert_eq!((part.status, part.stdout.lines().count()), (0, 1), "{part}");
}

#[test]
fn a_code_that_leads_elsewhere_is_a_failure() {
    let server = Server::start();
    server.ok(&["link", "create", "https://other.example/", "--code", "alpha"]);
    let rows = "target_url,short_code\nhttps://a.example/,alpha\n";
    let run = server.home().vayro_with_input(&["link", "import", "-", "--format", "csv", "--json"], rows);
    assert_eq!(run.status, 1, "{run}");
    let answer: serde_json::Value = serde_json::from_str(&run.stdout).expect("it is JSON");
    assert_eq!((&answer["failed"], &answer["created"]), (&1.into(), &0.into()), "{run}");
    assert_eq!(answer["results"][0]["status"], "failed");
    assert!(answer["results"][0]["error"].as_str().is_some_and(|error| error.contains("taken")), "{run}");
}

#[test]
fn what_is_exported_can_be_imported_in_every_format() {
    let server = Server::start();
    // More than a page of a list and more than a part of an import.
    let rows: Vec<String> = (0..250)
        .map(|row| format!(r#"{{"url":"https://a.example/{row}","title":"Row \"{row}\", ü"}}"#))
        .collect();
    let run = server.home().vayro_with_input(&["link", "import", "-", "--format", "jsonl"], &rows.join("\n"));
    assert_eq!(run.status, 0, "{}", run.stderr);
    for name in ["links.csv", "links.json", "links.jsonl"] {
        let run = server.vayro(&["link", "export", "--output", name]);
        assert_eq!((run.status, run.stderr), (0, format!("Wrote 250 links to {name}\n")));
        let again = server.vayro(&["link", "import", name]);
        assert_eq!((again.status, again.stderr.as_str()), (0, "0 links created, 250 unchanged\n"), "{name}");
    }
    let csv = server.ok(&["link", "export"]);
    assert_eq!(csv, fs::read_to_string(server.data_dir().join("../links.csv")).expect("it was written"));
    assert!(csv.starts_with("short_code,domain,target_url,title,"), "{csv}");
    let json: Vec<serde_json::Value> =
        serde_json::from_str(&server.ok(&["link", "export", "--json"])).expect("a list");
    assert_eq!((json.len(), &json[0]["domain"]), (250, &serde_json::Value::Null));
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let server = Server::start();
    for (name, text) in [("a.csv", "name,notes\nx,y\n"), ("b.json", "{}"), ("c.txt", "x")] {
        fs::write(server.data_dir().join("..").join(name), text).expect("the file is written");
        insta::assert_snapshot!(format!("import_{name}"), server.vayro(&["link", "import", name]));
    }
    assert_eq!(server.vayro(&["link", "import", "missing.csv"]).status, 1);
}
