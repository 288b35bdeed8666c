//! The command line: its commands and what runs them.

use clap::{Parser, Subcommand};

use crate::commands;
use crate::context::{Context, GlobalArgs};
use crate::error::CommandError;
use crate::ui::Ui;

const EXIT_STATUSES: &str = "\
Exit status:
  0   done
  1   failed
  2   wrong usage
  3   not found
  4   not signed in, or not allowed
  5   clicks do not add up
  64  bad configuration";

/// Run short links and see who clicks them
///
/// `vayro up` starts everything on this machine. The other commands talk to the API of a running
/// server, by default the one that `vayro up` started.
#[derive(Debug, Parser)]
#[command(
    name = "vayro", version, after_help = EXIT_STATUSES, max_term_width = 100,
    subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Options every command has.
    #[command(flatten)]
    pub globals: GlobalArgs,
}

/// The commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub enum Command {
    #[cfg(feature = "server")]
    Up(Box<commands::up::UpArgs>),
    #[command(subcommand)]
    Link(commands::link::LinkCommand),
    Explain(Box<commands::explain::ExplainArgs>),
    Stats(Box<commands::stats::StatsArgs>),
    Events(Box<commands::events::EventsArgs>),
    Export(Box<commands::export::ExportArgs>),
    #[command(subcommand)]
    Share(commands::share::ShareCommand),
    Demo(commands::demo::DemoArgs),
    #[command(subcommand)]
    Domain(commands::domain::DomainCommand),
    Login(commands::login::LoginArgs),
    Logout(commands::logout::LogoutArgs),
    Whoami(commands::whoami::WhoamiArgs),
    #[command(subcommand)]
    Key(commands::key::KeyCommand),
    #[command(subcommand)]
    User(Box<commands::user::UserCommand>),
    #[command(subcommand)]
    Stream(commands::stream::StreamCommand),
    #[command(subcommand)]
    Dlq(commands::dlq::DlqCommand),
    #[command(subcommand)]
    Purge(Box<commands::purge::PurgeCommand>),
    #[command(subcommand)]
    Audit(commands::audit::AuditCommand),
    #[cfg(feature = "server")]
    Migrate(commands::migrate::MigrateArgs),
    #[cfg(feature = "server")]
    #[command(subcommand)]
    Edge(commands::edge::EdgeCommand),
    #[cfg(feature = "server")]
    #[command(subcommand)]
    Rollup(commands::rollup::RollupCommand),
    #[cfg(feature = "server")]
    #[command(subcommand)]
    Retention(commands::retention::RetentionCommand),
    #[cfg(feature = "server")]
    Reclassify(commands::reclassify::ReclassifyArgs),
    #[cfg(feature = "server")]
    Reenrich(commands::reenrich::ReenrichArgs),
    #[cfg(feature = "server")]
    Doctor(commands::doctor::DoctorArgs),
    #[cfg(feature = "server")]
    #[command(subcommand)]
    Config(commands::config::ConfigCommand),
    #[cfg(feature = "server")]
    #[command(subcommand)]
    Geoip(commands::geoip::GeoipCommand),
    Completions(commands::completions::CompletionsArgs),
    Man(commands::man::ManArgs),
}

impl Command {
    /// Runs the command. Ctrl-C ends client commands at once; servers stop gracefully by themselves.
    pub async fn run(self, ui: &mut Ui, context: &Context) -> Result<(), CommandError> {
        #[cfg(feature = "server")]
        let command = match self {
            Self::Up(args) => return Box::pin(commands::up::run(ui, context, *args)).await,
            other => other,
        };
        #[cfg(not(feature = "server"))]
        let command = self;
        tokio::select! {
            result = Box::pin(command.run_client(ui, context)) => result,
            _ = tokio::signal::ctrl_c() => context.interrupted(),
        }
    }

    async fn run_client(self, ui: &mut Ui, context: &Context) -> Result<(), CommandError> {
        match self {
            #[cfg(feature = "server")]
            Self::Up(_) => Ok(()),
            Self::Link(command) => command.run(ui, context).await,
            Self::Explain(args) => commands::explain::run(ui, context, *args).await,
            Self::Stats(args) => commands::stats::run(ui, context, *args).await,
            Self::Events(args) => commands::events::run(ui, context, *args).await,
            Self::Export(args) => commands::export::run(ui, context, *args).await,
            Self::Share(command) => command.run(ui, context).await,
            Self::Demo(args) => commands::demo::run(ui, context, args).await,
            Self::Domain(command) => command.run(ui, context).await,
            Self::Login(args) => commands::login::run(ui, context, args).await,
            Self::Logout(args) => commands::logout::run(ui, context, args).await,
            Self::Whoami(args) => commands::whoami::run(ui, context, args).await,
            Self::Key(command) => command.run(ui, context).await,
            Self::User(command) => command.run(ui, context).await,
            Self::Stream(command) => command.run(ui, context).await,
            Self::Dlq(command) => command.run(ui, context).await,
            Self::Purge(command) => command.run(ui, context).await,
            Self::Audit(command) => command.run(ui, context).await,
            #[cfg(feature = "server")]
            Self::Migrate(args) => commands::migrate::run(ui, context, args).await,
            #[cfg(feature = "server")]
            Self::Edge(command) => command.run(ui, context).await,
            #[cfg(feature = "server")]
            Self::Rollup(command) => command.run(ui, context).await,
            #[cfg(feature = "server")]
            Self::Retention(command) => command.run(ui, context).await,
            #[cfg(feature = "server")]
            Self::Reclassify(args) => commands::reclassify::run(ui, context, &args).await,
            #[cfg(feature = "server")]
            Self::Reenrich(args) => commands::reenrich::run(ui, context, &args).await,
            #[cfg(feature = "server")]
            Self::Doctor(args) => commands::doctor::run(ui, context, args).await,
            #[cfg(feature = "server")]
            Self::Config(command) => command.run(ui, context),
            #[cfg(feature = "server")]
            Self::Geoip(command) => command.run(ui, context),
            Self::Completions(args) => commands::completions::run(ui, context, &args),
            Self::Man(args) => commands::man::run(ui, context, &args),
        }
    }
}
