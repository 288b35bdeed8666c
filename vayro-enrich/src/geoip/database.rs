//! One MaxMind database in memory.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader, WithinOptions, path};
use quick_cache::sync::Cache;
use serde::Serialize;
use vayro_core::click::clean;
use vayro_core::timestamp::Timestamp;

/// Networks looked at to see that a database yields places.
const PROBED_MAX: usize = 5_000;
/// Largest file read into memory, in bytes; the largest known city databases have 150 MB.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Longest name of a region or city kept, in bytes; the columns' length.
const NAME_LEN_MAX: usize = 100;

/// Where a visitor is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1 alpha-2 in capitals, empty if unknown.
    pub country_code: Box<str>,
    /// English name of the region, empty if unknown.
    pub region: Box<str>,
    /// English name of the city, empty if unknown.
    pub city: Box<str>,
}

/// How a database arranges its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GeoIpShape {
    /// As MaxMind's own: `{"country": {"iso_code": …}, "city": {"names": {"en": …}}, …}`.
    Nested,
    /// As most others: `{"country_code": …, "state1": …, "city": …}`.
    Flat,
}

/// What a database says about itself, and what was found in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GeoIpInfo {
    /// Its type, such as `GeoLite2-City`.
    pub database_type: String,
    /// When it was built.
    pub built_at: Timestamp,
    /// How it arranges its fields.
    pub shape: GeoIpShape,
    /// Whether it knows cities.
    pub has_cities: bool,
    /// Whether it knows IPv6 addresses.
    pub has_ipv6: bool,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GeoIpError {
    /// The file cannot be read.
    #[error("GeoIP database cannot be read: {0}")]
    Io(#[source] std::io::Error),
    /// The file is larger than anything known.
    #[error("GeoIP database has {0} bytes, the most allowed is {FILE_BYTES_MAX}")]
    TooLarge(u64),
    /// The file is not a MaxMind database or is damaged.
    #[error("GeoIP database is damaged or none at all: {0}")]
    Format(#[source] MaxMindDbError),
    /// None of the networks looked at has a country in a place where databases have it.
    #[error(
        "GeoIP database of type `{database_type}` yields no country for any of {probed} networks; a city or country database is needed"
    )]
    Useless {
        /// The type it claims.
        database_type: String,
        /// How many networks were looked at.
        probed: usize,
    },
}

type Found<'a> = LookupResult<'a, Vec<u8>>;

/// A database, read into memory: mapping a file that is then overwritten in place would be unsound.
pub(super) struct Database {
    reader: Reader<Vec<u8>>,
    info: GeoIpInfo,
    /// Decoded records by their offset; many networks share one.
    places: Cache<usize, Arc<Place>>,
}

impl Database {
    pub(super) fn read(file: &Path, places_max: usize) -> Result<Self, GeoIpError> {
        let bytes = std::fs::metadata(file).map_err(GeoIpError::Io)?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(GeoIpError::TooLarge(bytes));
        }
        let content = std::fs::read(file).map_err(GeoIpError::Io)?;
        let reader = Reader::from_source(content).map_err(GeoIpError::Format)?;
        let (shape, has_cities) = probe(&reader)?;
        let metadata = reader.metadata();
        let built_at = i64::try_from(metadata.build_epoch)
            .ok()
            .and_then(|seconds| Timestamp::from_millis(seconds.saturating_mul(1000)));
        let info = GeoIpInfo {
            database_type: metadata.database_type.clone(),
            built_at: built_at.unwrap_or(Timestamp::EPOCH),
            shape,
            has_cities,
            has_ipv6: metadata.ip_version == 6,
            bytes,
        };
        Ok(Self { reader, info, places: Cache::new(places_max) })
    }

    pub(super) fn info(&self) -> &GeoIpInfo {
        &self.info
    }

    pub(super) fn find(&self, ip: IpAddr) -> Option<Arc<Place>> {
        if ip.is_ipv6() && !self.info.has_ipv6 {
            return None;
        }
        // An error here is a damaged branch of the tree; the visitor's place is then unknown.
        let found = self.reader.lookup(ip).ok()?;
        let offset = found.offset()?;
        if let Some(place) = self.places.get(&offset) {
            return Some(place);
        }
        let place = Arc::new(self.info.shape.place(&found));
        self.places.insert(offset, Arc::clone(&place));
        Some(place)
    }
}

impl GeoIpShape {
    fn place(self, found: &Found<'_>) -> Place {
        match self {
            Self::Nested => Place {
                country_code: country_code(found, &NESTED_COUNTRY),
                region: name(found, &[&path!["subdivisions", 0, "names", "en"]]),
                city: name(found, &[&path!["city", "names", "en"]]),
            },
            Self::Flat => Place {
                country_code: country_code(found, &FLAT_COUNTRY),
                region: name(found, &[&path!["state1"], &path!["region"], &path!["subdivision"]]),
                city: name(found, &[&path!["city"]]),
            },
        }
    }
}

/// The visitor's country, or at least the one the network is registered in.
const NESTED_COUNTRY: [&[PathElement<'static>]; 2] = [
    &[PathElement::Key("country"), PathElement::Key("iso_code")],
    &[PathElement::Key("registered_country"), PathElement::Key("iso_code")],
];
const FLAT_COUNTRY: [&[PathElement<'static>]; 2] =
    [&[PathElement::Key("country_code")], &[PathElement::Key("country")]];

/// Returns the first text found under one of `paths`. A value of another type counts as not there.
fn text<'a>(found: &Found<'a>, paths: &[&[PathElement<'_>]]) -> Option<&'a str> {
    paths
        .iter()
        .find_map(|path| found.decode_path::<&str>(path).ok().flatten().filter(|text| !text.is_empty()))
}

fn country_code(found: &Found<'_>, paths: &[&[PathElement<'_>]]) -> Box<str> {
    let is_code = |text: &&str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic());
    text(found, paths).filter(is_code).map(str::to_ascii_uppercase).unwrap_or_default().into()
}

fn name(found: &Found<'_>, paths: &[&[PathElement<'_>]]) -> Box<str> {
    text(found, paths).map(|text| clean(text.as_bytes(), NAME_LEN_MAX)).unwrap_or_default()
}

/// Finds out how the fields are arranged and whether there are cities.
fn probe(reader: &Reader<Vec<u8>>) -> Result<(GeoIpShape, bool), GeoIpError> {
    let networks =
        reader.networks(WithinOptions::default().skip_empty_values()).map_err(GeoIpError::Format)?;
    let (mut shape, mut has_cities, mut probed) = (None, false, 0);
    for found in networks.take(PROBED_MAX) {
        let found = found.map_err(GeoIpError::Format)?;
        probed += 1;
        shape = shape.or_else(|| {
            [GeoIpShape::Nested, GeoIpShape::Flat]
                .into_iter()
                .find(|shape| !shape.place(&found).country_code.is_empty())
        });
        has_cities = shape.is_some_and(|shape| !shape.place(&found).city.is_empty());
        if has_cities {
            break;
        }
    }
    let useless = || GeoIpError::Useless { database_type: reader.metadata().database_type.clone(), probed };
    Ok((shape.ok_or_else(useless)?, has_cities))
}
