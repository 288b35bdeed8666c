//! `vayro link create`.

use clap::Args;
use vayro_core::host::Host;
use vayro_core::short_code::ShortCode;

use crate::client::links::NewLink;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::when::When;

/// Create a short link
///
/// Prints the short address. The code is chosen for you unless `--code` is given.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Where the link leads, such as `https://example.com/page`
    #[arg(value_name = "URL")]
    target_url: String,

    /// Path part of the link, such as `launch`
    #[arg(long, short)]
    code: Option<ShortCode>,

    /// Host the link lives on [default: the instance's own]
    #[arg(long, value_name = "HOST")]
    domain: Option<Host>,

    /// Name for people
    #[arg(long, short)]
    title: Option<String>,

    /// Status of the redirect: 301, 302, 303, 307 or 308 [default: 302]
    #[arg(long, value_name = "STATUS", value_parser = redirect_status)]
    status: Option<u16>,

    /// When the link stops redirecting: a time, a day, or a span such as 30d
    #[arg(long, value_name = "WHEN")]
    expires: Option<When>,

    /// Create it switched off
    #[arg(long)]
    disabled: bool,
}

/// Reads a redirect status.
///
/// # Errors
///
/// A sentence naming the five.
pub fn redirect_status(text: &str) -> Result<u16, String> {
    let code: u16 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    let status = vayro_core::link::RedirectStatus::try_from(code).map_err(|error| error.to_string())?;
    Ok(status.code())
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: CreateArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let new = NewLink {
        target_url: with_scheme(args.target_url),
        short_code: args.code.map(|code| code.to_string()),
        domain: args.domain.map(|host| host.as_str().to_owned()),
        title: args.title,
        redirect_status: args.status,
        is_active: args.disabled.then_some(false),
        expires_at: args.expires.map(|when| when.ahead_of(context.now())),
    };
    let link = api.create_link(&new).await.map_err(|error| {
        let is_taken = error.code() == "short_code_taken";
        let error = CommandError::from(error);
        if is_taken { error.hint("leave `--code` out to have one chosen for you") } else { error }
    })?;
    if ui.is_json() {
        ui.json(&link)?;
    } else {
        ui.line(&link.short_url)?;
    }
    ui.note(&format!("Created {} → {}", link.short_code, link.target_url));
    ui.suggest(&format!("vayro stats {}", link.short_code));
    Ok(())
}

/// Puts `https://` in front of an address that was typed without a scheme, such as `example.com/page`.
pub fn with_scheme(text: String) -> String {
    let head = text.split(['/', '?', '#']).next().unwrap_or_default();
    let is_bare_host = head.contains('.') && !head.contains([':', '@', ' ']);
    if is_bare_host { format!("https://{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_hosts_get_a_scheme() {
        let done = |text: &str| with_scheme(text.to_owned());
        assert_eq!(done("example.com/a?b"), "https://example.com/a?b");
        for same in ["https://example.com", "javascript:alert(1)", "word", "/path", "a@example.com"] {
            assert_eq!(done(same), same);
        }
    }
}
