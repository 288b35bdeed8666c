//! Where visitors come from: countries, the address blocks of large providers there, languages.

use std::net::Ipv4Addr;

use rand::Rng;

/// A country and how its visitors look from outside.
pub(super) struct Country {
    /// How many of a thousand visitors come from here.
    pub(super) weight: u32,
    /// Address blocks: first octet, and the range of the second.
    blocks: &'static [(u8, u8, u8)],
    /// `Accept-Language` of browsers there.
    pub(super) language: &'static str,
    /// Hours that clocks there are ahead of UTC, roughly.
    pub(super) utc_offset_hours: i64,
}

/// The countries.
pub(super) const COUNTRIES: [Country; 19] = [
    country(240, &[(73, 0, 255), (71, 160, 191), (98, 192, 255)], "en-US,en;q=0.9", -6),
    country(170, &[(84, 128, 191), (91, 0, 63), (79, 192, 255)], "de-DE,de;q=0.9,en;q=0.7", 1),
    country(90, &[(86, 128, 191), (90, 192, 223), (81, 128, 159)], "en-GB,en;q=0.9", 0),
    country(70, &[(90, 0, 127), (86, 192, 255)], "fr-FR,fr;q=0.9,en;q=0.6", 1),
    country(60, &[(117, 192, 223), (49, 32, 63)], "en-IN,en;q=0.9,hi;q=0.8", 5),
    country(55, &[(177, 32, 63), (177, 96, 127)], "pt-BR,pt;q=0.9,en;q=0.6", -3),
    country(45, &[(126, 0, 255)], "ja,en-US;q=0.7", 9),
    country(40, &[(99, 224, 255), (70, 48, 55)], "en-CA,en;q=0.9,fr-CA;q=0.7", -5),
    country(35, &[(1, 128, 159), (101, 160, 191)], "en-AU,en;q=0.9", 10),
    country(30, &[(77, 160, 175)], "nl-NL,nl;q=0.9,en;q=0.8", 1),
    country(30, &[(88, 0, 31), (83, 32, 63)], "es-ES,es;q=0.9,en;q=0.6", 1),
    country(25, &[(79, 0, 31), (95, 224, 255)], "it-IT,it;q=0.9,en;q=0.6", 1),
    country(20, &[(78, 64, 79)], "sv-SE,sv;q=0.9,en;q=0.8", 1),
    country(20, &[(83, 0, 31)], "pl-PL,pl;q=0.9,en;q=0.7", 1),
    country(15, &[(201, 96, 127)], "es-MX,es;q=0.9,en;q=0.6", -6),
    country(15, &[(41, 144, 151)], "en-ZA,en;q=0.9,af;q=0.7", 2),
    country(15, &[(121, 128, 191)], "ko-KR,ko;q=0.9,en;q=0.6", 9),
    country(15, &[(36, 64, 95)], "id-ID,id;q=0.9,en;q=0.7", 7),
    country(10, &[(85, 0, 3)], "de-CH,de;q=0.9,fr;q=0.7,en;q=0.6", 1),
];

const fn country(
    weight: u32,
    blocks: &'static [(u8, u8, u8)],
    language: &'static str,
    utc_offset_hours: i64,
) -> Country {
    Country { weight, blocks, language, utc_offset_hours }
}

impl Country {
    /// Draws an address from one of its blocks.
    pub(super) fn address(&self, rng: &mut impl Rng) -> Ipv4Addr {
        let (first, from, to) = self.blocks[rng.random_range(0..self.blocks.len())];
        Ipv4Addr::new(first, rng.random_range(from..=to), rng.random(), rng.random_range(1..=254))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_of_a_thousand_and_addresses_public() {
        assert_eq!(COUNTRIES.iter().map(|country| country.weight).sum::<u32>(), 1000);
        let mut rng = rand::rng();
        for country in &COUNTRIES {
            let ip = country.address(&mut rng);
            assert!(!ip.is_private() && !ip.is_loopback() && !ip.is_multicast(), "{ip}");
            assert!(country.blocks.iter().all(|(_, from, to)| from <= to));
        }
    }
}
