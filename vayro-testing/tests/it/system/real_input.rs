//! Real user agents and a real city database through the whole pipeline, checked against their sources.

use std::collections::BTreeMap;
use std::net::IpAddr;

use maxminddb::PathElement::Key;
use sqlx::{Connection as _, Row as _};
use vayro_testing::fixture::{self, UserAgent};
use vayro_testing::system::System;
use vayro_testing::{postgres, redis, wait};

use super::{SHOWN_LIMIT, id};

/// Most user agents sent; one visit each.
const AGENTS_MAX: usize = 952;
/// Share of user agents whose device must be the one their source names. The rest are agents that present
/// themselves as something else, such as iPads asking for desktop pages.
const DEVICE_AGREEMENT_MIN: f64 = 0.97;

#[tokio::test]
async fn real_visits_are_enriched_as_their_sources_say() {
    let city_file = fixture::data("GeoLite2-City.mmdb");
    let city_path = city_file.to_str().expect("a plain path").to_owned();
    let (database, cache) = (postgres::database().await, redis::database().await);
    let settings =
        [("VAYRO_GEOIP__FILE", city_path.as_str()), ("VAYRO_EDGE__TRUSTED_PROXIES", "127.0.0.1/32")];
    let system = System::clustered_with(&database.url, &cache.url, &settings).await;
    let link = system.create_link("real", "https://example.com/").await;

    let agents = distinct_agents();
    let addresses = addresses();
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let url = format!("{}/real", system.edge_url);
    for (number, agent) in agents.iter().enumerate() {
        let address = addresses[number % addresses.len()];
        let answer = client
            .get(&url)
            .header("user-agent", &agent.text)
            .header("x-forwarded-for", address.to_string())
            .header("referer", format!("https://www.site-{}.example/article-{number}", number % 7))
            .send()
            .await
            .expect("the edge answers");
        assert_eq!(answer.status(), 302);
    }

    let mut connection = sqlx::PgConnection::connect(&database.url).await.expect("PostgreSQL answers");
    let expected = i64::try_from(agents.len()).expect("few agents");
    let rows = wait::until("every visit as a row", SHOWN_LIMIT, async || {
        let rows = sqlx::query(
            "SELECT device_type, country_code, city, ip_address, referer_host, browser, os, referer FROM click_events
             WHERE link_id = $1::uuid",
        )
        .bind(id(&link))
        .fetch_all(&mut connection)
        .await
        .ok()?;
        (i64::try_from(rows.len()) == Ok(expected)).then_some(rows)
    })
    .await;

    let reader = maxminddb::Reader::open_readfile(&city_file).expect("the city database opens");
    let mut agreed = 0.0;
    let mut differing: BTreeMap<(String, String), usize> = BTreeMap::new();
    for row in &rows {
        let text = |index: usize| row.get::<Option<String>, _>(index).unwrap_or_default();
        let referer = text(7);
        let number = referer.rsplit('-').next().and_then(|number| number.parse::<usize>().ok());
        let number = number.unwrap_or_else(|| panic!("`{referer}` is not one of ours"));
        let agent = &agents[number];
        let address = addresses[number % addresses.len()];
        let (country, city) = place(&reader, address);
        assert_eq!(text(1), country, "country of {address}");
        assert_eq!(text(2), city, "city of {address}");
        assert_eq!(text(3), truncated(address));
        assert_eq!(text(4), format!("site-{}.example", number % 7));
        assert!(!text(5).is_empty() && !text(6).is_empty(), "browser and system of {}", agent.text);
        if text(0) == agent.device {
            agreed += 1.0;
        } else {
            *differing.entry((agent.device.clone(), text(0))).or_default() += 1;
        }
    }
    let share = agreed / f64::from(u32::try_from(rows.len()).expect("few rows"));
    assert!(share >= DEVICE_AGREEMENT_MIN, "{share:.3} of devices agree; others: {differing:?}");
}

fn distinct_agents() -> Vec<UserAgent> {
    let mut seen = std::collections::BTreeSet::new();
    let mut agents = fixture::user_agents();
    agents.retain(|agent| seen.insert(agent.text.clone()));
    agents.truncate(AGENTS_MAX);
    assert!(agents.len() > 500, "the package holds hundreds of distinct agents");
    agents
}

/// Addresses all over the world, IPv6 and private ones included.
fn addresses() -> Vec<IpAddr> {
    [
        "81.2.69.142",
        "128.101.101.101",
        "8.8.8.8",
        "1.1.1.1",
        "200.7.84.1",
        "133.11.0.1",
        "196.25.1.1",
        "217.110.3.5",
        "90.84.144.10",
        "203.2.218.214",
        "49.44.78.10",
        "2001:200::1",
        "2a02:8071:1::5",
        "10.1.2.3",
        "192.168.7.9",
    ]
    .map(|text| text.parse().expect("an address"))
    .to_vec()
}

fn place(reader: &maxminddb::Reader<Vec<u8>>, address: IpAddr) -> (String, String) {
    let found = reader.lookup(address).expect("the database answers");
    let text = |path: &[maxminddb::PathElement<'_>]| -> String {
        found.decode_path::<String>(path).ok().flatten().unwrap_or_default()
    };
    (text(&[Key("country"), Key("iso_code")]), text(&[Key("city"), Key("names"), Key("en")]))
}

fn truncated(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_string()
        }
    }
}
