//! `vayro up`.

use std::net::SocketAddr;

use clap::Args;
use vayro_backends::config::Layers;
use vayro_backends::process::ReadyLine;
use vayro_backends::service::ServiceManager;
use vayro_backends::{logging, signals};
use vayro_core::account::Email;

use super::geoip;
use crate::context::Context;
use crate::error::CommandError;
use crate::server::config::{ConfigArgs, checked};
use crate::server::first_start::{Instance, welcome};
use crate::server::listen::parse_address;
use crate::server::process::{self, Addresses, Defaulted};
use crate::server::settings::ServerSettings;
use crate::ui::Ui;

/// Run everything on this machine: edge, API and worker in one process
///
/// Keeps its data in one directory, by default `./vayro-data`. The first start makes an owner's account
/// and an API key, says once how to sign in, and writes a profile so that the other commands work in the
/// next terminal at once. When everything listens it prints one line that begins with `ready`. It stops
/// gracefully on Ctrl-C and SIGTERM; no accepted click is lost.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Where short links are served; may be repeated [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    edge: Vec<SocketAddr>,

    /// Where the API is served [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    api: Option<SocketAddr>,

    /// Where health, readiness and metrics are served [default: 127.0.0.1:8082]
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    admin: Option<SocketAddr>,

    /// E-mail address of the owner, for the first start
    #[arg(long, value_name = "EMAIL", default_value = "owner@localhost")]
    owner: Email,

    #[command(flatten)]
    config: ConfigArgs,
}

/// Settings that let `vayro demo` say where its visits come from, and when they were.
const DEMO_SETTINGS: [(&str, &str); 2] =
    [("edge.trusted_proxies", "127.0.0.0/8,::1/128"), ("edge.demo_import", "true")];

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: UpArgs) -> Result<(), CommandError> {
    let mut flags = flags(&args);
    let layers = args.config.layers(context, &flags)?;
    let settings = checked(&layers, ServerSettings::read)?;
    let defaulted = Defaulted {
        short_url: is_default(&layers, "instance.short_url"),
        api_url: is_default(&layers, "instance.api_url"),
    };
    let settings = {
        let file = geoip::default_file(&settings.common.backend).display().to_string();
        let mut more = vec![("geoip.file", file)];
        // Behind a public address a proxy may hand through what strangers send, so there it must be asked for.
        if is_own_machine(&settings) {
            more.extend(DEMO_SETTINGS.map(|(key, value)| (key, value.to_owned())));
        }
        flags.extend(more.into_iter().filter(|(key, _)| is_default(&layers, key)));
        checked(&args.config.layers(context, &flags)?, ServerSettings::read)?
    };
    logging::init(&settings.common.log)
        .map_err(|error| CommandError::failed("cannot begin to log").caused_by(error))?;
    // Heard from the first moment on, so that a stop during the start is graceful too.
    let told = signals::shutdown()
        .map_err(|error| CommandError::failed("cannot listen for signals").caused_by(error))?;
    let service = ServiceManager::from_env();

    let is_public = settings.edge.listen.iter().any(|address| !address.ip().is_loopback());
    let bound = process::bind(settings, defaulted).await?;
    let instance = Instance {
        // What clients use, which is not where we listen if a proxy stands in between.
        api_url: bound.api.settings.api_url.as_str().trim_end_matches('/').to_owned(),
        data_dir: bound.data_dir.clone(),
    };
    let addresses = bound.addresses.clone();
    if defaulted.short_url && is_public {
        ui.warn(&format!(
            "others can reach the edge, but short links lead to {}; set `instance.short_url` to the address \
             they use",
            bound.api.settings.short_url.as_str().trim_end_matches('/')
        ));
    }
    let api = std::sync::Arc::clone(&bound.api);
    let running = bound.start();
    let begun = async {
        welcome(ui, context, &api, args.owner, &instance).await?;
        if running.until_ready(&told).await? {
            let line = ready_line(&addresses).to_string();
            ui.line(&line)?;
            service.ready(&line);
        }
        Ok(())
    };
    let begun = begun.await;
    let stop = match &begun {
        Ok(()) => told,
        // Nobody told us to stop, but there is no use in going on.
        Err(_) => tokio::sync::watch::channel(true).1,
    };
    let ended = running.run(stop).await;
    service.stopping();
    begun.and(ended)
}

fn flags(args: &UpArgs) -> Vec<(&'static str, String)> {
    let mut flags = Vec::new();
    if !args.edge.is_empty() {
        let all: Vec<String> = args.edge.iter().map(ToString::to_string).collect();
        flags.push(("edge.listen", all.join(",")));
    }
    flags.extend(args.api.map(|address| ("api.listen", address.to_string())));
    flags.extend(args.admin.map(|address| ("edge.admin", address.to_string())));
    flags
}

fn is_default(layers: &Layers, key: &str) -> bool {
    layers.show().iter().any(|setting| setting.key == key && setting.is_default)
}

/// Tells whether the short address is one of this machine alone.
fn is_own_machine(settings: &ServerSettings) -> bool {
    let host = settings.common.instance.default_host();
    let host = host.as_str();
    host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn ready_line(addresses: &Addresses) -> ReadyLine {
    ReadyLine::default()
        .with("edge", &addresses.edge)
        .with("api", [&addresses.api])
        .with("admin", &addresses.admin)
}
