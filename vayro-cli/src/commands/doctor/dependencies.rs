//! What others have: databases, Redis, ports, clocks.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use url::Url;
use vayro_backends::config::BackendConfig;
use vayro_backends::{Backends, Roles, SchemaState};
use vayro_core::timestamp::Timestamp;

use super::{Finding, Verdict, certificates, guessing};
use crate::context::Context;
use crate::server::settings::ServerSettings;
use crate::ui::text;

/// Longest wait for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Clocks that are further apart put clicks into the wrong hour.
const SKEW_MAX: Duration = Duration::from_secs(2);

/// Where sentinels listen unless the address says otherwise.
const SENTINEL_PORT: u16 = 26379;

/// Reaches the database and, in the clustered set, Redis, and looks at what is in them.
pub(super) async fn back_ends(settings: &ServerSettings, now: Timestamp) -> Vec<Finding> {
    let backend = &settings.common.backend;
    let mut findings = Vec::new();
    match backend {
        BackendConfig::Embedded(config) if !config.data_dir.exists() => {
            let detail = "embedded set; there is no database yet";
            return vec![Finding::new("database", Verdict::Note, detail)];
        }
        BackendConfig::Embedded(_) => {}
        BackendConfig::Clustered(config) => {
            // Each by itself first, so that one that is away does not hide the other.
            findings.extend(unreachable("PostgreSQL", &config.postgres.url, 5432).await);
            findings.extend(unreachable("Redis", &config.redis.url, 6379).await);
            if !findings.is_empty() {
                return findings;
            }
        }
    }
    let backends = match Backends::connect(backend, Roles::TOOLS).await {
        Ok(backends) => backends,
        Err(error) => {
            let mut detail = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                detail = format!("{detail}: {error}");
                cause = error.source();
            }
            return vec![Finding::new("back ends", Verdict::Failed, detail)];
        }
    };
    for ping in backends.ping().await {
        findings.push(match ping.error {
            None => Finding::new("back ends", Verdict::Ok, format!("{} answers", ping.part)),
            Some(error) => Finding::new("back ends", Verdict::Failed, format!("{}: {error}", ping.part)),
        });
    }
    findings.push(schema(&backends).await);
    match backends.server_reports().await {
        Ok(reports) => {
            for report in reports {
                findings.push(Finding::new(report.part, Verdict::Ok, report.summary));
                let warnings = report.warnings.into_iter();
                findings.extend(warnings.map(|warning| Finding::new(report.part, Verdict::Warning, warning)));
            }
        }
        Err(error) => findings.push(Finding::new("Redis", Verdict::Failed, error.to_string())),
    }
    findings.push(guessing::chance(&*backends.links, settings.edge.misses_per_minute).await);
    let listens = !settings.edge.tls_listen.is_empty();
    let acme = settings.worker.acme.as_deref();
    findings.push(certificates::look(&backends, acme, listens, now).await);
    backends.close().await;
    findings
}

async fn schema(backends: &Backends) -> Finding {
    const CHECK: &str = "schema";
    match backends.schema_state().await {
        Ok(SchemaState::Current) => Finding::new(CHECK, Verdict::Ok, "current"),
        Ok(SchemaState::Behind(count)) => {
            let detail = format!("{count} migrations are missing; run `vayro migrate`");
            Finding::new(CHECK, Verdict::Failed, detail)
        }
        Ok(SchemaState::Ahead) => {
            Finding::new(CHECK, Verdict::Failed, "the database was migrated by a newer release")
        }
        Err(error) => Finding::new(CHECK, Verdict::Failed, error.to_string()),
    }
}

/// Returns why nobody listens at the address; `None` if somebody does, or if it is no TCP address or several.
async fn unreachable(server: &'static str, url: &SecretString, default_port: u16) -> Option<Finding> {
    let url = Url::parse(url.expose_secret()).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?.trim_matches(['[', ']']).to_owned();
    let default_port = if url.scheme().ends_with("+sentinel") { SENTINEL_PORT } else { default_port };
    let port = url.port().unwrap_or(default_port);
    let problem = match timeout(ANSWER_MAX, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => return None,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {}", text::duration(ANSWER_MAX)),
    };
    Some(Finding::new(server, Verdict::Failed, format!("cannot reach {host}:{port}: {problem}")))
}

/// Tells for each address whether it is free, ours, or somebody else's.
pub(super) async fn ports(settings: &ServerSettings) -> Vec<Finding> {
    let is_up = match settings.edge.admin {
        Some(admin) => answers_like_us(admin).await,
        None => false,
    };
    let edge =
        settings.edge.listen.iter().chain(&settings.edge.tls_listen).map(|address| ("edge port", *address));
    let others =
        [Some(("API port", settings.api.listen)), settings.edge.admin.map(|admin| ("admin port", admin))];
    let mut findings = Vec::new();
    for (check, address) in edge.chain(others.into_iter().flatten()) {
        findings.push(match TcpListener::bind(address).await {
            Ok(_) => Finding::new(check, Verdict::Ok, format!("{address} is free")),
            Err(_) if is_up => {
                Finding::new(check, Verdict::Ok, format!("{address} is in use by a running Vayro"))
            }
            Err(error) => {
                Finding::new(check, Verdict::Warning, format!("{address} cannot be listened on: {error}"))
            }
        });
    }
    findings
}

/// Tells whether the admin listener of a Vayro is at the address.
async fn answers_like_us(admin: SocketAddr) -> bool {
    let url = format!("http://{}/readyz", crate::server::listen::reachable(admin));
    let Ok(http) = reqwest::Client::builder().timeout(ANSWER_MAX).no_proxy().build() else { return false };
    let Ok(answer) = http.get(url).send().await else { return false };
    let body: Option<serde_json::Value> = answer.json().await.ok();
    body.is_some_and(|body| body.get("ready").is_some_and(serde_json::Value::is_boolean))
}

/// Compares this machine's clock with that of the API's.
pub(super) async fn clock(context: &Context) -> Finding {
    const CHECK: &str = "clock";
    let now = context.now();
    let Some(theirs) = api_time(context).await else {
        return Finding::new(CHECK, Verdict::Note, format!("{now} here; no API answers to compare with"));
    };
    let ours = context.now();
    let skew = ours.since(theirs).max(theirs.since(ours));
    // The header has whole seconds.
    if skew > SKEW_MAX + Duration::from_secs(1) {
        let detail =
            format!("this machine and the API are {} apart; set both clocks by NTP", text::duration(skew));
        Finding::new(CHECK, Verdict::Warning, detail)
    } else {
        Finding::new(CHECK, Verdict::Ok, "this machine and the API agree")
    }
}

/// Returns the time in the `Date` header of the API.
async fn api_time(context: &Context) -> Option<vayro_core::timestamp::Timestamp> {
    let url = format!("{}/livez", context.api_address().ok()?.trim_end_matches('/'));
    let http = reqwest::Client::builder().timeout(ANSWER_MAX).build().ok()?;
    let answer = http.get(url).send().await.ok()?;
    let date = answer.headers().get(reqwest::header::DATE)?.to_str().ok()?;
    let date = jiff::fmt::rfc2822::parse(date).ok()?;
    Some(date.timestamp().into())
}
