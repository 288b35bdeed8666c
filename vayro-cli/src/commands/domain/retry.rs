//! `vayro domain retry`.

use clap::Args;
use vayro_core::host::Host;

use super::{list, own_domain};
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;

/// Try again to get the certificate of a domain, as after a change of its DNS
///
/// After a failure the next try comes by itself too, but later each time. `vayro domain list` says why the last one
/// failed.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// Host, such as go.example.com
    host: Host,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: RetryArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let host = args.host.as_str();
    let domain = own_domain(&api, host).await?;
    let domain = api.retry_certificate(&domain.id).await?;
    ui.show(&domain, |domain| list::table(std::slice::from_ref(domain)))?;
    match domain.certificate.state.as_str() {
        "none" => ui.note("This instance gets no certificates by itself"),
        "failed" => ui.note(&format!("{host} is tried again within a minute")),
        _ => ui.note(&format!("The last try for {host} did not fail")),
    }
    Ok(())
}
