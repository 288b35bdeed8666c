//! `vayro demo`.

use super::server::Server;

#[test]
fn a_newcomer_sees_full_charts() {
    let server = Server::start();
    let run = server.vayro(&["demo", "--links", "3", "--visits", "300", "--seed", "1"]);
    assert_eq!(run.status, 0, "{run}");
    assert_eq!(run.stdout.lines().count(), 3, "{run}");
    assert!(run.stderr.starts_with("Sent 300 visits; "), "{run}");
    let json: serde_json::Value =
        serde_json::from_str(&server.ok(&["stats", "--all", "--json"])).expect("it is JSON");
    let clicks = json["totals"]["clicks"].as_i64().expect("a number");
    let left_out = json["left_out"]["clicks"].as_i64().expect("a number");
    assert!(clicks > 240, "{json:#}");
    assert!(left_out > 0, "robots are among them: {json:#}");
    let days = json["series"].as_array().expect("a list").iter().filter(|day| day["clicks"] != 0).count();
    assert!(days > 20, "spread over the last month: {json:#}");
    let browsers = json["breakdowns"]["browser"]["rows"].as_array().map_or(0, Vec::len);
    assert!(browsers >= 4, "{json:#}");

    // The same links are used again.
    let again = server.vayro(&["demo", "--links", "3", "--visits", "0"]);
    assert_eq!(again.status, 0, "{again}");
    assert_eq!(server.ok(&["link", "list"]).lines().count(), 3);
}

#[test]
fn visits_go_to_this_machine_only() {
    let mut server = Server::start();
    server.stop();
    // Also on a public address, where strangers could send the headers, the edge takes no demo visits.
    server.up(&["--config", &config(&server)]);
    let run = server.vayro(&["demo", "--links", "1", "--visits", "5"]);
    assert_eq!(run.status, 1, "{run}");
    assert!(run.stderr.contains("which is not this machine"), "{run}");
}

fn config(server: &Server) -> String {
    let path = server.data_dir().join("../public.toml");
    std::fs::write(&path, "[instance]\nshort_url = \"https://vay.example\"\n").expect("the file is written");
    path.display().to_string()
}
