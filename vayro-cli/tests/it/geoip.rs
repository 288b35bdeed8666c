//! `vayro geoip`, from a file to a chart.

use std::fs::File;
use std::time::{Duration, Instant};

use maxminddb_writer::Database;
use maxminddb_writer::metadata::IpVersion;
use maxminddb_writer::paths::IpAddrWithMask;
use serde::Serialize;

use super::server::{BROWSER, Server};

#[derive(Serialize)]
struct Place {
    country: Country,
    city: City,
}

#[derive(Serialize)]
struct Country {
    iso_code: &'static str,
}

#[derive(Serialize)]
struct City {
    names: Names,
}

#[derive(Serialize)]
struct Names {
    en: &'static str,
}

/// Writes a database that knows one network.
pub(crate) fn write_database(path: &std::path::Path) {
    let mut database = Database::default();
    database.metadata.ip_version = IpVersion::V4;
    "Test-City".clone_into(&mut database.metadata.database_type);
    database.metadata.binary_format_major_version = 2;
    database.metadata.build_epoch = 1_700_000_000;
    let place = Place { country: Country { iso_code: "DE" }, city: City { names: Names { en: "Berlin" } } };
    let data = database.insert_value(place).expect("serializable");
    let network: IpAddrWithMask = "203.0.113.0/24".parse().expect("a network");
    database.insert_node(network, data);
    database.write_to(File::create(path).expect("created")).expect("written");
}

#[test]
fn a_database_handed_in_is_used_without_a_restart() {
    let server = Server::start();
    write_database(&server.data_dir().join("../city.mmdb"));
    insta::assert_snapshot!("geoip_set", server.vayro(&["geoip", "set", "city.mmdb"]));
    assert_eq!(server.vayro(&["geoip", "status"]).status, 0);
    let deadline = Instant::now() + Duration::from_secs(30);
    while server.readiness()["worker"]["geoip"]["state"] != "loaded" {
        assert!(Instant::now() < deadline, "never loaded: {}", server.readiness());
        std::thread::sleep(Duration::from_millis(50));
    }
    server.ok(&["link", "create", "https://example.com/", "--code", "launch"]);
    server.visit("/launch", &format!("{BROWSER}\r\nx-forwarded-for: 203.0.113.7"));
    server.wait_for(&["stats", "launch", "--json"], "/totals/clicks", 1);
    assert_eq!(server.ok(&["stats", "launch", "--by", "country"]), "DE\t1\n");
    assert_eq!(server.ok(&["stats", "launch", "--by", "city"]), "Berlin\t1\n");
}
