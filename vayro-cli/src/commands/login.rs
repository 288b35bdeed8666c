//! `vayro login`.

use clap::Args;
use secrecy::ExposeSecret as _;
use vayro_core::access::Scope;
use vayro_core::account::{Email, EmailError, KEY_NAME_LEN_MAX};

use crate::client::Api;
use crate::client::accounts::NewKey;
use crate::context::Context;
use crate::error::CommandError;
use crate::profile::{DEFAULT_PROFILE, Profile, ProfileFile};
use crate::ui::Ui;

/// Sign in to a server
///
/// Signs in with e-mail and password, makes an API key for this machine and keeps it in the profile,
/// `$XDG_CONFIG_HOME/vayro/config.toml`, which only you can read. The password is asked for without
/// echo, or read from stdin. With `--with-key` an existing key is read the same way, or taken from
/// `VAYRO_API_KEY`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// E-mail address of the account
    #[arg(long, short)]
    email: Option<Email>,

    /// Address of the API to sign in to, like `--api-url`
    #[arg(long = "api", value_name = "URL")]
    api: Option<String>,

    /// Sign in with an API key instead of a password
    #[arg(long, conflicts_with = "email")]
    with_key: bool,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: LoginArgs) -> Result<(), CommandError> {
    let address = match args.api {
        Some(address) => address,
        None => context.api_address()?,
    };
    let profile = if args.with_key {
        with_key(ui, context, address).await?
    } else {
        with_password(ui, address, args.email).await?
    };
    let api = Api::new(&profile.api_url, Some(profile.api_key.clone()))?;
    let me = api.me(None).await?;
    let mut file = ProfileFile::load(&context.environment)?;
    let name = context.profile_name();
    file.set(name, profile)?;
    if ui.is_json() {
        ui.json(&serde_json::json!({ "profile": name, "api_url": api.url(), "email": me.user.email }))?;
    }
    let named = if name == DEFAULT_PROFILE { String::new() } else { format!(" as profile `{name}`") };
    ui.note(&format!("Signed in to {} with {}{named}", api.url(), me.user.email));
    ui.suggest("vayro link create https://example.com/");
    Ok(())
}

async fn with_key(ui: &mut Ui, context: &Context, address: String) -> Result<Profile, CommandError> {
    let key = match context.environment_key()? {
        Some(key) => key,
        None => ui.read_secret("API key: ").await?.unwrap_or_default().trim().to_owned().into(),
    };
    if key.expose_secret().is_empty() {
        return Err(CommandError::usage("there is no key on stdin")
            .hint("pipe it in, or set VAYRO_API_KEY; `vayro key create` makes one"));
    }
    Ok(Profile { api_url: address, api_key: key, key_id: None, data_dir: None })
}

/// Signs in as a browser would, makes a key, and ends the session.
async fn with_password(ui: &mut Ui, address: String, email: Option<Email>) -> Result<Profile, CommandError> {
    let email = if let Some(email) = email {
        email
    } else {
        let text = ui.ask("E-mail: ", "name the account with `--email`").await?;
        text.parse().map_err(|error: EmailError| CommandError::usage(error.to_string()))?
    };
    let password = ui.read_secret("Password: ").await?.unwrap_or_default();
    if password.is_empty() {
        return Err(CommandError::usage("there is no password on stdin"));
    }
    let api = Api::new(&address, None)?;
    let session = api.login(email.as_str(), &password).await.map_err(|error| {
        if error.code() == "wrong_credentials" {
            return CommandError::not_allowed(error.to_string())
                .hint("an operator can set a new password with `vayro user update`");
        }
        error.into()
    })?;
    let me = api.me(Some(&session)).await?;
    let is_operator = me.user.is_operator;
    let scopes = Scope::ALL.into_iter().filter(|scope| *scope != Scope::Ops || is_operator).collect();
    let new = NewKey { name: key_name(), scopes, expires_at: None };
    let created = api.create_key(&new, Some(&session)).await;
    // The key is what counts; a session that stays behind ends by itself.
    let ended = api.end_session(&session).await;
    let created = created?;
    if let Err(error) = ended {
        ui.warn(&format!("the session could not be ended ({error}); it ends by itself"));
    }
    Ok(Profile {
        api_url: address,
        api_key: created.key.into(),
        key_id: Some(created.details.id),
        data_dir: None,
    })
}

/// Names the key after this machine, so that its owner recognizes it in a list.
fn key_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut name = format!("vayro on {host}");
    while name.len() > KEY_NAME_LEN_MAX {
        name.pop();
    }
    name
}
