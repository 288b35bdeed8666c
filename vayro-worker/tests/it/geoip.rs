//! GeoIP databases of both shapes, made for these tests.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use maxminddb_writer::Database;
use maxminddb_writer::metadata::IpVersion;
use maxminddb_writer::paths::IpAddrWithMask;
use serde::Serialize;
use serde_json::{Value, json};
use vayro_worker::enrich::{GeoIp, GeoIpError, GeoIpShape, GeoIpStatus, Refresh};

/// Places kept decoded in these tests; small, so that some are dropped.
const PLACES_MAX: usize = 4;

fn berlin_nested() -> Value {
    json!({
        "city": {"geoname_id": 1, "names": {"de": "Berlin (de)", "en": "Berlin"}},
        "country": {"iso_code": "DE", "names": {"en": "Germany"}},
        "subdivisions": [{"iso_code": "BE", "names": {"en": "Land Berlin"}}, {"iso_code": "X"}],
    })
}

fn write(path: &Path, version: IpVersion, kind: &str, networks: &[(&str, Value)]) {
    let mut database = Database::default();
    database.metadata.ip_version = version;
    kind.clone_into(&mut database.metadata.database_type);
    database.metadata.binary_format_major_version = 2;
    database.metadata.build_epoch = 1_700_000_000;
    for (network, record) in networks {
        let data = database.insert_value(Record(record)).expect("serializable");
        database.insert_node(network.parse::<IpAddrWithMask>().expect("a network"), data);
    }
    let file = std::fs::File::create(path).expect("created");
    database.write_to(file).expect("written");
}

/// The writer cannot take JSON numbers, whose kind is only known at run time, so none are used but `u32`.
struct Record<'a>(&'a Value);

impl Serialize for Record<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Number(number) => {
                serializer.serialize_u32(number.as_u64().and_then(|n| n.try_into().ok()).unwrap_or(0))
            }
            Value::String(text) => serializer.serialize_str(text),
            Value::Array(items) => serializer.collect_seq(items.iter().map(Record)),
            Value::Object(fields) => {
                serializer.collect_map(fields.iter().map(|(key, value)| (key, Record(value))))
            }
            Value::Null | Value::Bool(_) => serializer.serialize_bool(true),
        }
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Returns country, region and city of an address; `None` if the database does not have it.
fn place(geoip: &GeoIp, address: &str) -> Option<[String; 3]> {
    let place = geoip.find(ip(address))?;
    Some([place.country_code.to_string(), place.region.to_string(), place.city.to_string()])
}

#[expect(clippy::unnecessary_wraps, reason = "compared with what may be none")]
fn place_of(parts: [&str; 3]) -> Option<[String; 3]> {
    Some(parts.map(str::to_owned))
}

#[test]
fn nested_databases_yield_country_region_and_city() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("city.mmdb");
    let registered = json!({"registered_country": {"iso_code": "FR"}});
    write(
        &file,
        IpVersion::V6,
        "GeoIP2-City",
        &[
            ("2001:db8::/32", berlin_nested()),
            ("::192.0.2.0/120", berlin_nested()),
            ("2001:db9::/32", registered),
        ],
    );
    let geoip = GeoIp::open(Some(&file), PLACES_MAX).expect("usable");
    for address in ["2001:db8::1", "192.0.2.9"] {
        assert_eq!(place(&geoip, address), place_of(["DE", "Land Berlin", "Berlin"]), "{address}");
        assert_eq!(place(&geoip, address), place_of(["DE", "Land Berlin", "Berlin"]), "{address} again");
    }
    assert_eq!(place(&geoip, "2001:db9::1"), place_of(["FR", "", ""]));
    assert_eq!(place(&geoip, "198.51.100.1"), None);
    let GeoIpStatus::Loaded { info, problem, .. } = geoip.status() else { panic!("{:?}", geoip.status()) };
    assert_eq!((info.shape, info.has_cities, info.has_ipv6), (GeoIpShape::Nested, true, true));
    assert_eq!(info.built_at.to_string(), "2023-11-14T22:13:20Z");
    assert_eq!(problem, None);
}

#[test]
fn flat_databases_yield_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("flat.mmdb");
    write(
        &file,
        IpVersion::V4,
        "DBIP-City-Lite",
        &[
            ("192.0.2.0/24", json!({"country_code": "de", "state1": "Land Berlin", "city": "Berlin"})),
            ("198.51.100.0/24", json!({"country": "NZ", "region": "Otago", "city": "Dunedin"})),
        ],
    );
    let geoip = GeoIp::open(Some(&file), PLACES_MAX).expect("usable");
    assert_eq!(place(&geoip, "192.0.2.1"), place_of(["DE", "Land Berlin", "Berlin"]));
    assert_eq!(place(&geoip, "198.51.100.1"), place_of(["NZ", "Otago", "Dunedin"]));
    let info = GeoIp::inspect(&file).expect("usable");
    assert_eq!((info.shape, info.has_cities, info.has_ipv6), (GeoIpShape::Flat, true, false));
}

#[test]
fn an_ipv4_database_does_not_fail_on_ipv6_visitors() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("v4.mmdb");
    write(&file, IpVersion::V4, "country", &[("192.0.2.0/24", json!({"country_code": "DE"}))]);
    let geoip = GeoIp::open(Some(&file), PLACES_MAX).expect("usable");
    assert_eq!(place(&geoip, "2001:db8::1"), None);
    assert_eq!(place(&geoip, "192.0.2.1"), place_of(["DE", "", ""]));
    let info = GeoIp::inspect(&file).expect("usable");
    assert!(!info.has_cities);
}

#[test]
fn a_database_that_yields_nothing_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("asn.mmdb");
    write(
        &file,
        IpVersion::V6,
        "GeoLite2-ASN",
        &[("2001:db8::/32", json!({"autonomous_system_number": 64496}))],
    );
    match GeoIp::open(Some(&file), PLACES_MAX).err() {
        Some(GeoIpError::Useless { database_type, probed }) => {
            assert_eq!((database_type.as_str(), probed), ("GeoLite2-ASN", 1));
        }
        other => panic!("{other:?}"),
    }
    std::fs::write(&file, b"not a database").expect("written");
    assert!(matches!(GeoIp::open(Some(&file), PLACES_MAX).err(), Some(GeoIpError::Format(_))));
}

#[test]
fn without_a_file_places_are_unknown_and_the_status_says_so() {
    let geoip = GeoIp::open(None, PLACES_MAX).expect("no file is fine");
    assert_eq!(place(&geoip, "192.0.2.1"), None);
    assert_eq!(geoip.status(), GeoIpStatus::Off);
    assert_eq!(serde_json::to_value(geoip.status()).expect("serializable"), json!({"state": "off"}));
}

/// Writes and moves into place, as updates should; the time of change is set so that it always differs.
fn replace(file: &Path, seconds: u64, networks: &[(&str, Value)]) {
    let fresh = file.with_extension("new");
    write(&fresh, IpVersion::V6, "city", networks);
    touch(&fresh, seconds);
    std::fs::rename(&fresh, file).expect("renamed");
}

fn touch(file: &Path, seconds: u64) {
    let handle = std::fs::File::options().write(true).open(file).expect("opened");
    handle.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).expect("set");
}

#[test]
fn a_changed_file_is_taken_into_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("city.mmdb");
    let geoip = GeoIp::open(Some(&file), PLACES_MAX).expect("a missing file is fine");
    assert_eq!(geoip.status(), GeoIpStatus::Missing { file: file.clone() });
    assert!(matches!(geoip.refresh(), Refresh::Unchanged));

    replace(&file, 1, &[("2001:db8::/32", berlin_nested())]);
    assert!(matches!(geoip.refresh(), Refresh::Loaded(_)));
    assert!(matches!(geoip.refresh(), Refresh::Unchanged));
    assert_eq!(place(&geoip, "2001:db8::1"), place_of(["DE", "Land Berlin", "Berlin"]));

    replace(&file, 2, &[("2001:db8::/32", json!({"country_code": "NZ"}))]);
    assert!(matches!(geoip.refresh(), Refresh::Loaded(_)));
    assert_eq!(place(&geoip, "2001:db8::1"), place_of(["NZ", "", ""]));

    // Overwritten in place with something damaged: what was read stays.
    std::fs::write(&file, b"damaged").expect("written");
    touch(&file, 3);
    assert!(matches!(geoip.refresh(), Refresh::Failed(GeoIpError::Format(_))));
    assert!(matches!(geoip.refresh(), Refresh::Unchanged), "a damaged file is told once");
    assert_eq!(place(&geoip, "2001:db8::1"), place_of(["NZ", "", ""]));
    assert!(matches!(geoip.status(), GeoIpStatus::Loaded { problem: Some(_), .. }));

    std::fs::remove_file(&file).expect("removed");
    assert!(matches!(geoip.refresh(), Refresh::Gone));
    assert!(matches!(geoip.refresh(), Refresh::Unchanged));
    assert_eq!(place(&geoip, "2001:db8::1"), place_of(["NZ", "", ""]));

    replace(&file, 4, &[("2001:db8::/32", berlin_nested())]);
    assert!(matches!(geoip.refresh(), Refresh::Loaded(_)));
    assert!(matches!(geoip.status(), GeoIpStatus::Loaded { problem: None, .. }));
    assert_eq!(place(&geoip, "2001:db8::1"), place_of(["DE", "Land Berlin", "Berlin"]));
}

#[test]
fn more_places_than_are_kept_are_still_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("city.mmdb");
    let networks: Vec<(String, Value)> = (0..50)
        .map(|number| {
            (format!("10.{number}.0.0/16"), json!({"country_code": "DE", "city": format!("City {number}")}))
        })
        .collect();
    let networks: Vec<(&str, Value)> =
        networks.iter().map(|(network, v)| (network.as_str(), v.clone())).collect();
    write(&file, IpVersion::V4, "city", &networks);
    let geoip = GeoIp::open(Some(&file), PLACES_MAX).expect("usable");
    for round in 0..2 {
        for number in 0..50 {
            let address = format!("10.{number}.3.{round}");
            assert_eq!(place(&geoip, &address), place_of(["DE", "", &format!("City {number}")]), "{address}");
        }
    }
}
