//! Clicks: as the edge accepts them, as the stream carries them, as the database keeps them.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::host::Host;
use crate::ids::{ClickId, LinkId, WorkspaceId};
use crate::timestamp::{TEXT_LEN_MAX, Timestamp};

/// Longest user agent kept, in bytes; attackers send longer ones.
pub const USER_AGENT_LEN_MAX: usize = 512;
/// Longest referrer kept, in bytes.
pub const REFERER_LEN_MAX: usize = 1024;
/// Longest query string of the short link kept, in bytes.
pub const QUERY_LEN_MAX: usize = 512;
/// Longest `Accept-Language` kept, in bytes.
pub const LANGUAGE_LEN_MAX: usize = 64;

/// The request's method; only these two are answered by a redirect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClickMethod {
    /// A visit.
    #[default]
    Get,
    /// A look from a robot or a preview.
    Head,
}

/// One accepted visit, exactly as the edge saw it. Texts that are mostly short have no memory of their own then: edges
/// make a click per visit, and another thread takes it apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Click {
    /// Minted once at the edge; carries the time.
    pub id: ClickId,
    /// Which link was visited.
    pub link_id: LinkId,
    /// Who owns it.
    pub workspace_id: WorkspaceId,
    /// Host of the link's domain, that of the default domain too; empty if an edge did not say.
    pub domain: SmolStr,
    /// The visitor's address as far as known.
    pub ip: Option<IpAddr>,
    /// `User-Agent`, empty if none.
    pub user_agent: Box<str>,
    /// `Referer`, empty if none.
    pub referer: Box<str>,
    /// `Accept-Language`, empty if none.
    pub language: SmolStr,
    /// The short link's own query string without `?`, empty if none; carries `utm_…` and `qr=1`.
    pub query: SmolStr,
    /// The method.
    pub method: ClickMethod,
    /// Whether the browser said it only prefetches (`Sec-Purpose` or `Purpose`).
    pub is_prefetch: bool,
    /// Whether the visitor asked for privacy and the edge respects it. Such a click counts, has no address, and
    /// what is stored of it says nothing about the visitor but the class of device.
    pub is_private: bool,
}

/// The name of a field of a stream entry, see [`field::name`].
pub type FieldName = Cow<'static, str>;

/// A stream entry's fields in order, undecoded.
pub type Fields = Vec<(FieldName, Vec<u8>)>;

/// Why a stream entry is no click.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ClickDecodeError {
    /// A field that every click has is not there.
    #[error("field `{0}` is missing")]
    Missing(&'static str),
    /// A field cannot be read.
    #[error("field `{0}` is malformed")]
    Malformed(&'static str),
}

/// Names of the stream fields. The first five are the specification's.
pub mod field {
    /// The link's id.
    pub const LINK_ID: &str = "link_id";
    /// When, as ISO 8601 in UTC; always the time inside `id` when `id` is there.
    pub const TIMESTAMP: &str = "timestamp";
    /// The visitor's address.
    pub const IP: &str = "ip";
    /// `User-Agent`.
    pub const USER_AGENT: &str = "user_agent";
    /// `Referer`.
    pub const REFERER: &str = "referer";
    /// The click's id.
    pub const ID: &str = "id";
    /// The owner's id.
    pub const WORKSPACE_ID: &str = "workspace_id";
    /// Host of the link's domain; left out when empty.
    pub const DOMAIN: &str = "domain";
    /// `Accept-Language`; left out when empty.
    pub const LANGUAGE: &str = "language";
    /// The short link's query string; left out when empty.
    pub const QUERY: &str = "query";
    /// `HEAD`; left out for GET.
    pub const METHOD: &str = "method";
    /// `prefetch`; left out otherwise.
    pub const PURPOSE: &str = "purpose";
    /// `private`; left out otherwise.
    pub const PRIVACY: &str = "privacy";

    const ALL: [&str; 13] = [
        ID,
        LINK_ID,
        TIMESTAMP,
        IP,
        USER_AGENT,
        REFERER,
        WORKSPACE_ID,
        DOMAIN,
        LANGUAGE,
        QUERY,
        METHOD,
        PURPOSE,
        PRIVACY,
    ];

    /// Returns a name as read from an entry, without a copy if it is one of a click's. Bytes that are no text
    /// are replaced: such a name is nobody's, and must not make the entry unreadable.
    pub fn name(bytes: &[u8]) -> super::FieldName {
        match ALL.into_iter().find(|known| known.as_bytes() == bytes) {
            Some(known) => known.into(),
            None => String::from_utf8_lossy(bytes).into_owned().into(),
        }
    }
}

impl Click {
    /// Returns when the click was accepted.
    pub fn timestamp(&self) -> Timestamp {
        self.id.timestamp().unwrap_or(Timestamp::EPOCH)
    }

    /// Hands the fields of the stream entry to `put`, in a fixed order, the specification's five always.
    pub fn encode(&self, mut put: impl FnMut(&'static str, &str)) {
        let mut buffer = uuid::Uuid::encode_buffer();
        put(field::ID, self.id.as_uuid().as_hyphenated().encode_lower(&mut buffer));
        put(field::LINK_ID, self.link_id.as_uuid().as_hyphenated().encode_lower(&mut buffer));
        put(field::TIMESTAMP, self.timestamp().write(&mut [0; TEXT_LEN_MAX]));
        match self.ip {
            Some(IpAddr::V4(ip)) => put(field::IP, write_ipv4(ip, &mut [0; 15])),
            Some(IpAddr::V6(ip)) => put(field::IP, &ip.to_string()),
            None => put(field::IP, ""),
        }
        put(field::USER_AGENT, &self.user_agent);
        put(field::REFERER, &self.referer);
        put(field::WORKSPACE_ID, self.workspace_id.as_uuid().as_hyphenated().encode_lower(&mut buffer));
        if !self.domain.is_empty() {
            put(field::DOMAIN, &self.domain);
        }
        if !self.language.is_empty() {
            put(field::LANGUAGE, &self.language);
        }
        if !self.query.is_empty() {
            put(field::QUERY, &self.query);
        }
        if self.method == ClickMethod::Head {
            put(field::METHOD, "HEAD");
        }
        if self.is_prefetch {
            put(field::PURPOSE, "prefetch");
        }
        if self.is_private {
            put(field::PRIVACY, "private");
        }
    }

    /// Returns the fields of the stream entry.
    pub fn to_fields(&self) -> Fields {
        let mut fields = Fields::with_capacity(12);
        self.encode(|name, value| fields.push((name.into(), value.as_bytes().to_vec())));
        fields
    }

    /// Reads a stream entry. Text is made clean on the way in: invalid UTF-8 is replaced, control
    /// characters (NUL above all, which PostgreSQL refuses) are dropped, lengths are capped. Unknown
    /// fields are ignored.
    ///
    /// # Errors
    ///
    /// [`ClickDecodeError`] when an id is missing or unreadable; such an entry is a dead letter.
    pub fn decode(fields: &Fields) -> Result<Self, ClickDecodeError> {
        let find = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_slice());
        let text = |name: &str| find(name).unwrap_or_default();
        let id_of = |name: &'static str| -> Result<uuid::Uuid, ClickDecodeError> {
            let value = find(name).ok_or(ClickDecodeError::Missing(name))?;
            uuid::Uuid::try_parse_ascii(value).map_err(|_| ClickDecodeError::Malformed(name))
        };

        let id = ClickId::from_uuid(id_of(field::ID)?);
        id.timestamp().ok_or(ClickDecodeError::Malformed(field::ID))?;
        let ip = match find(field::IP).unwrap_or_default() {
            b"" => None,
            ip => Some(
                std::str::from_utf8(ip)
                    .ok()
                    .and_then(|text| text.parse().ok())
                    .ok_or(ClickDecodeError::Malformed(field::IP))?,
            ),
        };
        let method = match find(field::METHOD) {
            None | Some(b"" | b"GET") => ClickMethod::Get,
            Some(b"HEAD") => ClickMethod::Head,
            Some(_) => return Err(ClickDecodeError::Malformed(field::METHOD)),
        };
        Ok(Self {
            id,
            link_id: LinkId::from_uuid(id_of(field::LINK_ID)?),
            workspace_id: WorkspaceId::from_uuid(id_of(field::WORKSPACE_ID)?),
            domain: clean(text(field::DOMAIN), Host::LEN_MAX),
            ip,
            user_agent: clean(text(field::USER_AGENT), USER_AGENT_LEN_MAX),
            referer: clean(text(field::REFERER), REFERER_LEN_MAX),
            language: clean(text(field::LANGUAGE), LANGUAGE_LEN_MAX),
            query: clean(text(field::QUERY), QUERY_LEN_MAX),
            method,
            is_prefetch: find(field::PURPOSE).is_some_and(|purpose| purpose == b"prefetch"),
            // Any value: a newer edge may have more to say, and less is stored rather than more.
            is_private: find(field::PRIVACY).is_some_and(|privacy| !privacy.is_empty()),
        })
    }
}

/// Writes an address without the machinery of `Display`, which costs as much as the rest of a click's encoding.
fn write_ipv4(ip: Ipv4Addr, buffer: &mut [u8; 15]) -> &str {
    let mut end = 0;
    let mut push = |byte: u8| {
        buffer[end] = byte;
        end += 1;
    };
    for (place, octet) in ip.octets().into_iter().enumerate() {
        if place > 0 {
            push(b'.');
        }
        if octet >= 100 {
            push(b'0' + octet / 100);
        }
        if octet >= 10 {
            push(b'0' + octet / 10 % 10);
        }
        push(b'0' + octet % 10);
    }
    std::str::from_utf8(&buffer[..end]).unwrap_or_default()
}

/// Makes header bytes into clean text of at most `len_max` bytes.
pub fn clean<T: for<'a> From<&'a str>>(bytes: &[u8], len_max: usize) -> T {
    let bytes = &bytes[..bytes.len().min(len_max.saturating_mul(2))];
    // Nearly every header. Without a way out in between, so that many bytes are looked at at once.
    let is_plain = bytes.iter().fold(true, |is_plain, b| is_plain & matches!(b, b' '..=b'~'));
    if let (true, Ok(text)) = (is_plain && bytes.len() <= len_max, std::str::from_utf8(bytes)) {
        return text.into();
    }
    let mut text = String::with_capacity(bytes.len().min(len_max));
    for c in String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()) {
        if text.len() + c.len_utf8() > len_max {
            break;
        }
        text.push(c);
    }
    text.as_str().into()
}

/// What a click counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClickClass {
    /// A person's visit: the headline number.
    Counted,
    /// A HEAD request.
    Head,
    /// A browser fetching ahead.
    Prefetch,
    /// A robot.
    Bot,
    /// A visitor who was counted on the same link a moment before.
    Repeat,
    /// A visit from an address that is not to be counted.
    Excluded,
}

impl ClickClass {
    /// Every class.
    pub const ALL: [Self; 6] =
        [Self::Counted, Self::Head, Self::Prefetch, Self::Bot, Self::Repeat, Self::Excluded];

    /// Reads a class's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }

    /// Returns its name in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Head => "head",
            Self::Prefetch => "prefetch",
            Self::Bot => "bot",
            Self::Repeat => "repeat",
            Self::Excluded => "excluded",
        }
    }
}

/// A click with everything that was found out about it: one row of `click_events`.
///
/// Empty texts are stored as NULL. Lengths are those of the columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClickRow {
    /// The click's id; with `timestamp` the primary key.
    pub id: ClickId,
    /// Derived from `id`.
    pub timestamp: Timestamp,
    /// Which link.
    pub link_id: LinkId,
    /// Whose.
    pub workspace_id: WorkspaceId,
    /// Host of the link's domain, at most 253 bytes.
    pub domain: String,
    /// What it counts as.
    pub class: ClickClass,
    /// The rule that saw a robot; empty if none. At most 100 bytes.
    pub bot: String,
    /// `User-Agent` as sent, at most [`USER_AGENT_LEN_MAX`] bytes; kept so that a later list of robots can be
    /// applied.
    pub user_agent: String,
    /// ISO 3166-1 alpha-2, empty if unknown.
    pub country_code: String,
    /// Name of the region, at most 100 bytes.
    pub region: String,
    /// Name of the city, at most 100 bytes.
    pub city: String,
    /// `mobile`, `desktop`, `tablet` or empty.
    pub device_type: String,
    /// Family of the browser, at most 50 bytes.
    pub browser: String,
    /// Family of the operating system, at most 50 bytes.
    pub os: String,
    /// First language asked for, such as `de` or `pt-BR`; at most 16 bytes.
    pub language: String,
    /// The referrer as sent.
    pub referer: String,
    /// Its host without `www.`, at most 253 bytes.
    pub referer_host: String,
    /// The truncated address (IPv4 /24, IPv6 /48) or empty.
    pub ip_address: String,
    /// `link` or `qr`.
    pub trigger: String,
    /// `utm_source`; this and the next four at most 100 bytes.
    pub utm_source: String,
    /// `utm_medium`.
    pub utm_medium: String,
    /// `utm_campaign`.
    pub utm_campaign: String,
    /// `utm_term`.
    pub utm_term: String,
    /// `utm_content`.
    pub utm_content: String,
    /// Keyed hash of address, user agent and workspace under the day's salt; `None` if it cannot be known.
    pub visitor_id: Option<i64>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn click(user_agent: &str, referer: &str, millis: i64, random: [u8; 10]) -> Click {
        let at = Timestamp::from_millis(millis).expect("in range");
        Click {
            id: ClickId::from_parts(at, random),
            link_id: LinkId::from_uuid(uuid::Uuid::from_u128(7)),
            workspace_id: WorkspaceId::from_uuid(uuid::Uuid::from_u128(8)),
            domain: "go.example".into(),
            ip: Some(IpAddr::from([192, 0, 2, 7])),
            user_agent: clean(user_agent.as_bytes(), USER_AGENT_LEN_MAX),
            referer: clean(referer.as_bytes(), REFERER_LEN_MAX),
            language: "de".into(),
            query: "".into(),
            method: ClickMethod::Head,
            is_prefetch: true,
            is_private: random[0].is_multiple_of(2),
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same_click_and_partition_key(
            user_agent in ".{0,40}", referer in ".{0,40}",
            millis in 0_i64..4_000_000_000_000, random: [u8; 10],
        ) {
            let click = click(&user_agent, &referer, millis, random);
            let back = Click::decode(&click.to_fields());
            prop_assert_eq!(back.as_ref().map(Click::timestamp), Ok(click.timestamp()));
            prop_assert_eq!(back, Ok(click));
        }

        #[test]
        fn both_ways_to_write_an_address_agree(octets: [u8; 4]) {
            let ip = Ipv4Addr::from(octets);
            let mut buffer = [0; 15];
            prop_assert_eq!(write_ipv4(ip, &mut buffer), ip.to_string());
        }

        #[test]
        fn rubbish_never_panics(fields in prop::collection::vec((".{0,12}", prop::collection::vec(any::<u8>(), 0..40)), 0..12)) {
            let fields = fields.into_iter().map(|(name, value): (String, Vec<u8>)| (name.into(), value)).collect();
            drop(Click::decode(&fields));
        }

        #[test]
        fn clean_text_is_clean(bytes in prop::collection::vec(any::<u8>(), 0..80), len_max in 0_usize..60) {
            let text: String = clean(&bytes, len_max);
            prop_assert!(text.len() <= len_max);
            prop_assert!(!text.chars().any(char::is_control));
        }
    }

    #[test]
    fn the_specifications_five_fields_are_always_there() {
        let mut bare = click("", "", 1, [0; 10]);
        bare.ip = None;
        let fields = bare.to_fields();
        for name in ["link_id", "timestamp", "ip", "user_agent", "referer"] {
            assert!(fields.iter().any(|(n, _)| n == name), "{name}");
        }
    }

    #[test]
    fn missing_and_malformed_fields_are_named() {
        let mut fields = click("", "", 1, [0; 10]).to_fields();
        fields.retain(|(name, _)| name != field::LINK_ID);
        assert_eq!(Click::decode(&fields), Err(ClickDecodeError::Missing("link_id")));
        fields.push((field::LINK_ID.into(), b"nope".to_vec()));
        assert_eq!(Click::decode(&fields), Err(ClickDecodeError::Malformed("link_id")));
    }
}
