//! `vayro edge upgrade`.

use clap::Args;
use vayro_backends::config::BackendConfig;
use vayro_backends::handover::{AskError, ask_for_upgrade, socket_path};

use crate::context::Context;
use crate::error::CommandError;
use crate::server::config::{CommonSettings, ConfigArgs, checked};
use crate::ui::Ui;

/// Hand the edge over to the executable and the configuration that are there now
///
/// The running edge starts its executable anew, with the arguments and variables it was started with, and gives it its
/// sockets. Only when the new process has read the configuration, reached its back ends and listens does the old one
/// stop taking connections; it answers what is under way and hands in its clicks. No visitor waits and no click is
/// lost. Should anything be wrong with the new one, the old one goes on as it was, and this command says why.
///
/// `vayro up`, and an edge that is the first process of a container, cannot hand over: restart those.
#[derive(Debug, Args)]
pub struct UpgradeArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: UpgradeArgs) -> Result<(), CommandError> {
    let settings = checked(&args.config.layers(context, &[])?, CommonSettings::read)?;
    if let BackendConfig::Embedded(_) = settings.backend {
        return Err(CommandError::failed("the embedded set belongs to one process, which cannot hand over")
            .hint("stop it and start it again; links redirect as soon as it listens")
            .hint("for an edge on PostgreSQL and Redis, name its configuration with `--config`"));
    }
    let data_dir = settings.backend.data_dir();
    let successor = ask_for_upgrade(&socket_path(data_dir)).await.map_err(|error| match error {
        AskError::NotRunning(source) => {
            CommandError::failed(format!("no edge runs with the data directory `{}`", data_dir.display()))
                .hint("name the edge's configuration with `--config`, or its directory with `--data-dir`")
                .hint("run this as the user whose process the edge is")
                .caused_by(source)
        }
        AskError::Failed(why) => CommandError::failed("the edge goes on as it was")
            .detail(why)
            .hint("the log of the edge tells more"),
        error @ AskError::Broken(_) => CommandError::failed("it is not known how the upgrade went")
            .hint("the log of the edge tells")
            .caused_by(error),
    })?;
    ui.note(&format!("Process {successor} has taken over"));
    if ui.is_json() {
        ui.json(&serde_json::json!({ "process": successor }))?;
    }
    Ok(())
}
