//! How links are named on the command line.

use std::str::FromStr;

use url::Url;
use vayro_core::host::Host;
use vayro_core::ids::LinkId;
use vayro_core::link::LinkState;
use vayro_core::short_code::ShortCode;

use crate::client::Api;
use crate::client::links::{Link, LinkQuery};
use crate::error::CommandError;

/// A link as somebody names it: by code, by short address, or by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkRef {
    /// Its identity.
    Id(LinkId),
    /// Its code, and its host if one was named.
    Code {
        /// The host, without port; `None` means any.
        host: Option<String>,
        /// The code.
        short_code: ShortCode,
    },
}

impl FromStr for LinkRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(id) = text.parse::<LinkId>() {
            return Ok(Self::Id(id));
        }
        let address = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        if !text.contains('/') {
            let short_code = text.parse::<ShortCode>().map_err(|error| error.to_string())?;
            return Ok(Self::Code { host: None, short_code });
        }
        let refused = || format!("`{text}` is neither a short code, nor a short address, nor a link's id");
        let url = Url::parse(&address).map_err(|_| refused())?;
        let host: Host = url.host_str().ok_or_else(refused)?.parse().map_err(|_| refused())?;
        let short_code =
            url.path().trim_start_matches('/').trim_end_matches('+').parse().map_err(|_| refused())?;
        Ok(Self::Code { host: Some(host.as_str().to_owned()), short_code })
    }
}

impl LinkRef {
    /// Returns the text it is spoken of by.
    pub fn label(&self) -> String {
        match self {
            Self::Id(id) => id.to_string(),
            Self::Code { host: None, short_code } => short_code.to_string(),
            Self::Code { host: Some(host), short_code } => format!("{host}/{short_code}"),
        }
    }

    /// Returns its id. One that is named by its id is not looked up: it may be gone for good.
    ///
    /// # Errors
    ///
    /// As [`Self::find`].
    pub async fn id(&self, api: &Api) -> Result<String, CommandError> {
        match self {
            Self::Id(id) => Ok(id.to_string()),
            Self::Code { .. } => Ok(self.find(api).await?.id.to_string()),
        }
    }

    /// Finds the link, in whatever state it is.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::NotFound`] if there is none, a usage error if several hosts have the code.
    pub async fn find(&self, api: &Api) -> Result<Link, CommandError> {
        let (host, short_code) = match self {
            Self::Id(id) => return api.find_link(*id).await.map_err(|error| self.explain(error.into())),
            Self::Code { host, short_code } => (host, short_code),
        };
        let query = LinkQuery {
            short_code: Some(short_code.to_string()),
            states: LinkState::ALL.iter().map(|state| state.as_str().to_owned()).collect(),
            ..LinkQuery::default()
        };
        let mut links = api.list_links(&query, None, MATCHES_MAX).await?.items;
        if let Some(host) = host {
            links.retain(|link| host_of(link).as_deref() == Some(host));
        }
        match links.len() {
            0 => Err(self.explain(CommandError::not_found(""))),
            1 => Ok(links.remove(0)),
            _ => {
                let addresses = links.iter().map(|link| link.short_url.clone());
                let error = CommandError::usage(format!("several links have the code `{short_code}`"));
                Err(addresses
                    .fold(error, CommandError::detail)
                    .hint("name one of them by its whole short address"))
            }
        }
    }

    /// Finds the link if it is not deleted.
    ///
    /// # Errors
    ///
    /// As [`LinkRef::find`], and a failure if it is deleted.
    pub async fn find_undeleted(&self, api: &Api) -> Result<Link, CommandError> {
        let link = self.find(api).await?;
        if link.deleted_at.is_none() {
            return Ok(link);
        }
        let label = self.label();
        Err(CommandError::failed(format!("`{label}` is deleted"))
            .hint(format!("take it back with `vayro link restore {label}`")))
    }

    /// Says in our words that the link is not there.
    fn explain(&self, error: CommandError) -> CommandError {
        if error.kind() != crate::error::ErrorKind::NotFound {
            return error;
        }
        CommandError::not_found(format!("there is no link `{}`", self.label()))
            .hint("`vayro link list` shows the links of your workspace")
    }
}

/// More hosts than this with the same code are not told apart.
const MATCHES_MAX: usize = 20;

/// Returns the host a link is reached at, without port.
fn host_of(link: &Link) -> Option<String> {
    let url = Url::parse(&link.short_url).ok()?;
    Some(url.host_str()?.trim_matches(['[', ']']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(host: Option<&str>, code: &str) -> LinkRef {
        LinkRef::Code { host: host.map(str::to_owned), short_code: code.parse().expect("valid") }
    }

    #[test]
    fn a_link_can_be_named_in_four_ways() {
        let parse = |text: &str| text.parse::<LinkRef>();
        assert_eq!(parse("launch"), Ok(code(None, "launch")));
        assert_eq!(parse("go.example.com/launch"), Ok(code(Some("go.example.com"), "launch")));
        assert_eq!(parse("http://127.0.0.1:8080/launch"), Ok(code(Some("127.0.0.1"), "launch")));
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(parse(id), Ok(LinkRef::Id(id.parse().expect("valid"))));
    }

    #[test]
    fn what_names_no_link_is_refused() {
        for bad in ["", "a b", "https://go.example.com/", "https://go.example.com/a/b", "/"] {
            assert!(bad.parse::<LinkRef>().is_err(), "{bad}");
        }
    }
}
