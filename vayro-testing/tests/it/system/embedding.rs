//! The example of a proxy that embeds the edge, on the data of a system.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use vayro_testing::Process;
use vayro_testing::system::{Role, System, executable};
use vayro_testing::{port, wait};

use super::shown;

/// How long the proxy may take to start, and to stop.
const LIMIT: Duration = Duration::from_secs(30);

/// Answers every request with `other`, and returns its address.
fn other_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            let mut bytes = [0; 1024];
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read(&mut bytes) {
                    Ok(count) if count > 0 => head.extend_from_slice(&bytes[..count]),
                    _ => break,
                }
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nother";
            drop(stream.write_all(answer));
        }
    });
    address
}

#[tokio::test]
async fn a_proxy_answers_short_links_beside_its_own_routes_and_loses_no_click() {
    let mut system = System::embedded().await;
    let link = system.create_link("embedded", "https://example.com/page").await;
    system.stop(Role::Edge);

    let (listen, folder) = (format!("127.0.0.1:{}", port::free()), system.data_dir());
    let mut command = Command::new(executable("examples/beside_other_routes"));
    command
        .args([&listen, &other_server()])
        .env("VAYRO_BACKEND__SET", "embedded")
        .env("VAYRO_BACKEND__DATA_DIR", &folder)
        .env("VAYRO_INSTANCE__SHORT_URL", format!("http://{listen}"))
        .env("VAYRO_EDGE__UNKNOWN_HOST", "reject");
    let mut proxy = Process::start(&mut command);
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0")
        .build()
        .expect("a client");
    let get = async |path: &str, host: Option<&str>| {
        let request = client.get(format!("http://{listen}{path}"));
        let request = host.into_iter().fold(request, |request, host| request.header("host", host));
        let answer = request.send().await.ok()?;
        let location = answer.headers().get("location").map(|to| to.to_str().expect("text").to_owned());
        Some((answer.status().as_u16(), location, answer.text().await.expect("a body")))
    };
    wait::until("the proxy listens", LIMIT, async || get("/hello", None).await).await;

    assert_eq!(get("/hello", None).await, Some((200, None, "hello\n".to_owned())));
    let to = Some("https://example.com/page".to_owned());
    assert_eq!(get("/embedded", None).await, Some((302, to.clone(), String::new())));
    assert_eq!(get("/embedded", None).await, Some((302, to, String::new())));
    assert_eq!(get("/unknown", None).await.map(|(status, ..)| status), Some(404));
    assert_eq!(get("/embedded", Some("other.example")).await, Some((200, None, "other".to_owned())));
    let status = proxy.stop(Signal::SIGTERM, LIMIT);
    assert!(status.success(), "the proxy ended with {status}");

    // What it flushed is in the stream, and counts when there is a worker again.
    system.start_up(&[]).await;
    shown(&system, &link, 2).await;
}
