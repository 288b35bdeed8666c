//! The first start of an instance: an owner, a key, and a profile so that the next command just works.

use std::path::PathBuf;

use vayro_api::{ApiState, FirstAccount};
use vayro_core::account::Email;

use crate::context::Context;
use crate::error::CommandError;
use crate::profile::{DEFAULT_PROFILE, Profile, ProfileFile};
use crate::ui::Ui;

/// Profile that is written when the default one belongs to another server.
const OTHER_PROFILE: &str = "local";

/// Makes the owner's account if the instance has none, and says once how to sign in. On later starts
/// makes sure that the profile of this instance still leads here.
pub async fn welcome(
    ui: &mut Ui,
    context: &Context,
    state: &ApiState,
    owner: Email,
    instance: &Instance,
) -> Result<(), CommandError> {
    let first = vayro_api::bootstrap(state, owner)
        .await
        .map_err(|error| CommandError::failed("the owner's account cannot be made").caused_by(error))?;
    match first {
        None => {
            if let Err(error) = follow_address(context, instance) {
                ui.warn(&format!("the profile of this instance was not updated: {error}"));
            }
            Ok(())
        }
        Some(first) => {
            let profile = write_profile(context, instance, &first.api_key);
            tell(ui, &first, instance, profile)
        }
    }
}

/// Where an instance is.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Address of its API.
    pub api_url: String,
    /// Directory of its data, whole; tells instances apart whose ports change.
    pub data_dir: PathBuf,
}

impl Instance {
    fn profile(&self, key: &str) -> Profile {
        Profile {
            api_url: self.api_url.clone(),
            api_key: key.to_owned().into(),
            key_id: None,
            data_dir: Some(self.data_dir.clone()),
        }
    }

    fn is_of(&self, profile: &Profile) -> bool {
        profile.data_dir.as_deref() == Some(&*self.data_dir)
    }
}

/// Writes the profile and returns its name. The default profile is left alone if it leads elsewhere.
fn write_profile(context: &Context, instance: &Instance, key: &str) -> Result<Written, CommandError> {
    let mut file = ProfileFile::load(&context.environment)?;
    let is_elsewhere = file
        .find(DEFAULT_PROFILE)
        .is_some_and(|profile| profile.api_url != instance.api_url && !instance.is_of(profile));
    let name = match &context.globals.profile {
        Some(name) => name.clone(),
        None if is_elsewhere => OTHER_PROFILE.to_owned(),
        None => DEFAULT_PROFILE.to_owned(),
    };
    file.set(&name, instance.profile(key))?;
    Ok(Written { name, path: file.path().to_owned() })
}

struct Written {
    name: String,
    path: PathBuf,
}

/// Lets the profiles of this instance lead to where its API is now.
fn follow_address(context: &Context, instance: &Instance) -> Result<(), CommandError> {
    let mut file = ProfileFile::load(&context.environment)?;
    file.update(|profile| {
        let has_moved = instance.is_of(profile) && profile.api_url != instance.api_url;
        if has_moved {
            profile.api_url.clone_from(&instance.api_url);
        }
        has_moved
    })
}

/// Says how to sign in. This is data, not a note: nobody can ask for it again.
fn tell(
    ui: &mut Ui,
    first: &FirstAccount,
    instance: &Instance,
    profile: Result<Written, CommandError>,
) -> Result<(), CommandError> {
    let mut text = format!(
        "First start: this is your account, shown only now.\n\n  API       {}\n  e-mail    {}\n  password  {}\n  API key   {}\n\n",
        instance.api_url, first.user.email, first.password, first.api_key
    );
    match profile {
        Ok(Written { name, path }) => {
            let option = if name == DEFAULT_PROFILE { String::new() } else { format!(" --profile {name}") };
            text = format!(
                "{text}The key is also in {}, so this works in another terminal at once:\n\n  \
                 vayro link create https://example.com{option}\n\n",
                path.display()
            );
        }
        Err(error) => ui.warn(&format!("no profile was written ({error}); sign in with `vayro login`")),
    }
    ui.write(&text)
}
