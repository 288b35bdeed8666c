//! `vayro stream lag`.

mod reading;
mod show;

use std::time::Duration;

use clap::Args;

use crate::client::Api;
use crate::client::operations::StreamState;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::when::parse_span;
use reading::Reading;

/// Shortest time between two readings; shorter ones measure noise.
const EVERY_MIN: Duration = Duration::from_millis(100);
/// Readings in a row that may fail while watching before the command gives up.
const FAILURES_MAX: u32 = 5;

/// Show how far counting is behind
///
/// Undelivered clicks have not been handed to a worker yet; pending ones have, and are not stored
/// yet. Rates come from two readings. What the stream cannot tell is shown as `unknown`.
#[derive(Debug, Args)]
pub struct LagArgs {
    /// Go on until Ctrl-C
    #[arg(long, short)]
    watch: bool,

    /// Time between two readings
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = parse_every)]
    every: Duration,
}

fn parse_every(text: &str) -> Result<Duration, String> {
    let every = parse_span(text)?;
    if every < EVERY_MIN {
        Err(format!("the shortest time is {} ms", EVERY_MIN.as_millis()))
    } else {
        Ok(every)
    }
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: LagArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let mut before = api.stream_state().await?;
    loop {
        tokio::time::sleep(args.every).await;
        let state = measure(ui, &api, args.every, args.watch).await?;
        let reading = Reading::between(&before, &state);
        ui.set_now(state.at);
        if !args.watch {
            return show::once(ui, &reading);
        }
        show::again(ui, &reading)?;
        before = state;
    }
}

/// Takes a reading; while watching, an outage is waited for instead of ending the watch.
async fn measure(
    ui: &mut Ui,
    api: &Api,
    pause: Duration,
    is_watching: bool,
) -> Result<StreamState, CommandError> {
    let mut failures = 0;
    loop {
        match api.stream_state().await {
            Ok(state) => return Ok(state),
            Err(error) if is_watching && error.is_transient() && failures < FAILURES_MAX => {
                failures += 1;
                ui.warn(&error.to_string());
                tokio::time::sleep(pause).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
