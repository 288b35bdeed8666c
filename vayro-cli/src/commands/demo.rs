//! `vayro demo`.

mod agents;
mod catalog;
mod visits;
mod world;

use std::net::IpAddr;
use std::time::Duration;

use clap::Args;
use futures::StreamExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use reqwest::header::{ACCEPT_LANGUAGE, HeaderValue, REFERER, USER_AGENT};
use serde::Serialize;
use url::Url;

use crate::client::Api;
use crate::client::links::{Link, NewLink};
use crate::commands::link::reference::LinkRef;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::table::{Column, Table, Value};
use crate::ui::{Ui, text};
use visits::Visit;

/// Most links one run makes.
const LINKS_MAX: u32 = 1000;
/// Most visits one run sends.
const VISITS_MAX: u32 = 1_000_000;
/// Visits on their way at the same time.
const CONCURRENCY: usize = 16;
/// Longest wait for one answer of the edge.
const VISIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for the worker to count the visits.
const COUNTING_MAX: Duration = Duration::from_mins(1);
/// Time between two looks at how far it is.
const COUNTING_PAUSE: Duration = Duration::from_millis(500);
/// Looks in a row without a new click after which counting is taken to be over.
const QUIET_LOOKS: u32 = 4;

/// Make example links and send visits to them, so that there is something to look at
///
/// The visits are real HTTP requests to the edge, with the browsers, referrers and addresses of many
/// countries, spread over the last 30 days. The edge believes their addresses and times only from this
/// machine and only while demo visits are allowed (`edge.demo_import`, on under `vayro up` as long as
/// the short address is this machine's own).
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Links to make
    #[arg(long, value_name = "COUNT", default_value_t = 12,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(LINKS_MAX)))]
    links: u32,

    /// Visits to send
    #[arg(long, value_name = "COUNT", default_value_t = 5000,
          value_parser = clap::value_parser!(u32).range(0..=i64::from(VISITS_MAX)))]
    visits: u32,

    /// Address of the edge [default: that of the links]
    #[arg(long, value_name = "URL")]
    edge: Option<Url>,

    /// Number that the visits are drawn from; the same one gives the same visits
    #[arg(long, value_name = "NUMBER", hide = true)]
    seed: Option<u64>,
}

/// What was done.
#[derive(Debug, Serialize)]
struct Outcome {
    links: Vec<Link>,
    visits: usize,
    failed: usize,
    clicks: i64,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: DemoArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let mut rng = args.seed.map_or_else(StdRng::from_os_rng, StdRng::seed_from_u64);
    let links = make_links(ui, &api, args.links).await?;
    let edge = match (args.edge, links.first()) {
        (Some(edge), _) => edge,
        (None, Some(link)) => edge_of(link)?,
        (None, None) => return Err(CommandError::failed("no link was made")),
    };
    let before: i64 = links.iter().map(|link| link.clicks).sum();
    let count = usize::try_from(args.visits).unwrap_or(usize::MAX);
    let visits = visits::draw(count, links.len(), context.now(), &mut rng);
    let failed = send(ui, &edge, &links, visits).await?;
    let sent = count - failed;
    let links = wait_until_counted(ui, &api, links, before, sent).await?;
    let clicks = links.iter().map(|link| link.clicks).sum::<i64>() - before;
    let outcome = Outcome { links, visits: sent, failed, clicks };
    ui.show(&outcome, table)?;
    let robots = "the rest are robots, previews, prefetches and repeats, which are kept apart";
    ui.note(&format!("Sent {}; {} counted, {robots}", text::plural(sent, "visit"), text::number(clicks)));
    ui.suggest("vayro stats --all");
    if let Some(link) = outcome.links.first() {
        ui.suggest(&format!("vayro stats {} --by country", link.short_code));
    }
    if failed > 0 {
        return Err(CommandError::failed(format!("{} failed", text::plural(failed, "visit"))));
    }
    Ok(())
}

/// Makes the links, taking those that an earlier run made.
async fn make_links(ui: &Ui, api: &Api, count: u32) -> Result<Vec<Link>, CommandError> {
    let progress = ui.progress("Making links", Some(u64::from(count)));
    let mut links = Vec::new();
    for new in (0..count).map(catalog::link) {
        let link = match api.create_link(&new).await {
            Ok(link) => link,
            Err(error) if error.code() == "short_code_taken" => own_or_other(api, &new).await?,
            Err(error) => return Err(error.into()),
        };
        links.push(link);
        progress.advance(1);
    }
    Ok(links)
}

/// Returns our link of an earlier run, or makes one with a code of the server's choice.
async fn own_or_other(api: &Api, new: &NewLink) -> Result<Link, CommandError> {
    let code = new.short_code.as_deref().and_then(|code| code.parse::<LinkRef>().ok());
    if let Some(reference) = code
        && let Ok(link) = reference.find(api).await
        && link.target_url == new.target_url
        && link.state == "active"
    {
        return Ok(link);
    }
    Ok(api.create_link(&NewLink { short_code: None, ..new.clone() }).await?)
}

/// Returns the address of the edge that serves the link.
fn edge_of(link: &Link) -> Result<Url, CommandError> {
    let url: Url = link.short_url.parse().map_err(|_| not_local(&link.short_url))?;
    if is_local(&url) { Ok(url) } else { Err(not_local(&link.short_url)) }
}

fn is_local(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let host = host.trim_matches(['[', ']']);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

fn not_local(short_url: &str) -> CommandError {
    CommandError::failed(format!("the links live at {short_url}, which is not this machine")).hint(
        "demo visits are for a server on this machine; name its edge with `--edge http://127.0.0.1:8080`",
    )
}

/// Sends the visits and returns how many failed.
async fn send(ui: &Ui, edge: &Url, links: &[Link], visits: Vec<Visit>) -> Result<usize, CommandError> {
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(VISIT_TIMEOUT)
        .no_proxy()
        .pool_max_idle_per_host(CONCURRENCY)
        .build()
        .map_err(|error| CommandError::failed("cannot set up the visits").caused_by(error))?;
    let progress = ui.progress("Sending visits", Some(visits.len() as u64));
    let requests = visits.into_iter().map(|visit| {
        let request = request(&http, edge, &links[visit.link], &visit);
        async move { request.send().await.map(|response| response.status().is_redirection()) }
    });
    let mut answers = futures::stream::iter(requests).buffer_unordered(CONCURRENCY);
    let (mut failed, mut done) = (0, 0_u32);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(true) => done += 1,
            // If not even one visit gets through, the others will not either.
            Err(error) if done == 0 => {
                let address = edge.origin().ascii_serialization();
                return Err(CommandError::failed(format!("cannot reach the edge at {address}"))
                    .caused_by(error.without_url())
                    .hint("start it with `vayro up`, or name another one with `--edge`"));
            }
            Ok(false) | Err(_) => failed += 1,
        }
        progress.advance(1);
    }
    Ok(failed)
}

fn request(http: &reqwest::Client, edge: &Url, link: &Link, visit: &Visit) -> reqwest::RequestBuilder {
    let mut url = edge.clone();
    url.set_path(&link.short_code);
    url.set_query(visit.query);
    let method = if visit.is_head { reqwest::Method::HEAD } else { reqwest::Method::GET };
    let mut request = http
        .request(method, url)
        .header("x-forwarded-for", visit.ip.to_string())
        .header("x-vayro-demo-at", visit.at.as_millis().to_string())
        .header(USER_AGENT, HeaderValue::from_static(visit.user_agent));
    // The edge tells domains apart by the host it was asked for.
    if let Some(host) = Url::parse(&link.short_url).ok().as_ref().and_then(host_header) {
        request = request.header(reqwest::header::HOST, host);
    }
    if !visit.language.is_empty() {
        request = request.header(ACCEPT_LANGUAGE, HeaderValue::from_static(visit.language));
    }
    if !visit.referer.is_empty() {
        request = request.header(REFERER, HeaderValue::from_static(visit.referer));
    }
    if visit.is_prefetch {
        request = request.header("sec-purpose", "prefetch");
    }
    request
}

fn host_header(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// Waits until the links' counters have stopped growing, and returns the links as they are then.
async fn wait_until_counted(
    ui: &Ui,
    api: &Api,
    mut links: Vec<Link>,
    before: i64,
    sent: usize,
) -> Result<Vec<Link>, CommandError> {
    let progress = ui.progress("Counting", Some(sent as u64));
    let deadline = tokio::time::Instant::now() + COUNTING_MAX;
    let (mut last, mut quiet_looks) = (0, 0);
    while sent > 0 && quiet_looks < QUIET_LOOKS && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(COUNTING_PAUSE).await;
        for link in &mut links {
            *link = api.find_link(link.id).await?;
        }
        let counted = links.iter().map(|link| link.clicks).sum::<i64>() - before;
        quiet_looks = if counted == last && counted > 0 { quiet_looks + 1 } else { 0 };
        last = counted;
        progress.set(u64::try_from(counted).unwrap_or(0));
    }
    Ok(links)
}

fn table(outcome: &Outcome) -> Table {
    let mut table = Table::new([
        Column::left("SHORT URL").whole(),
        Column::left("TITLE"),
        Column::right("CLICKS"),
        Column::left("").terminal_only(),
    ]);
    let max = outcome.links.iter().map(|link| link.clicks).max().unwrap_or(0);
    for link in &outcome.links {
        table.push([
            Value::text(&link.short_url),
            Value::text(&link.title),
            Value::Count(link.clicks),
            Value::Bar { value: link.clicks, max },
        ]);
    }
    table
}
