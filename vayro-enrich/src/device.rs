//! Phone, tablet or desktop.

use serde::{Deserialize, Serialize};

/// What kind of device a visitor uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceType {
    /// A phone or something as small.
    Mobile,
    /// A computer. Also an iPad that asks for desktop sites: it says it is a Mac.
    Desktop,
    /// A tablet or e-reader.
    Tablet,
    /// A television, console, watch, program, or nothing that can be told.
    #[default]
    Unknown,
}

impl DeviceType {
    /// Returns its name in the database, empty for [`Self::Unknown`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mobile => "mobile",
            Self::Desktop => "desktop",
            Self::Tablet => "tablet",
            Self::Unknown => "",
        }
    }
}

/// Marks of televisions, consoles, watches and boxes, whatever their system.
const NEITHER: [&str; 19] = [
    "SmartTV",
    "SMART-TV",
    "Smart TV",
    "GoogleTV",
    "Google TV",
    "Android TV",
    "AppleTV",
    "Apple TV",
    "HbbTV",
    "BRAVIA",
    "CrKey",
    "Roku",
    "AFTB",
    "AFTM",
    "AFTT",
    "AFTS",
    "PlayStation",
    "Nintendo",
    "Xbox",
];
/// Marks of phones on systems that are not known to be a phone's.
const PHONES: [&str; 12] = [
    "Mobi",
    "MIDP",
    "Opera Mini",
    "BlackBerry",
    "Symbian",
    "SymbOS",
    "KAIOS",
    "Nokia",
    "Windows CE",
    "Brew",
    "BREW",
    "J2ME",
];
/// Marks of tablets on systems that are not known to be a tablet's.
const TABLETS: [&str; 4] = ["Tablet", "iPad", "Kindle", "PlayBook"];

/// Tells the kind of device from the user agent and its uap-core operating system family.
///
/// uap-core names devices (`SM-T510`) but not their kind, so this goes by the conventions of browsers:
/// an Android browser without `Mobile` runs on a tablet.
pub fn device_type(user_agent: &str, os_family: &str) -> DeviceType {
    let has = |marks: &[&str]| marks.iter().any(|mark| user_agent.contains(mark));
    if user_agent.is_empty() || has(&NEITHER) {
        return DeviceType::Unknown;
    }
    match os_family {
        "iOS" if user_agent.contains("iPad") => DeviceType::Tablet,
        "iOS"
        | "Windows Phone"
        | "Windows Mobile"
        | "BlackBerry OS"
        | "Symbian OS"
        | "Symbian^3"
        | "Symbian^3 Anna"
        | "Symbian^3 Belle"
        | "Firefox OS"
        | "KaiOS"
        | "Nokia Series 40"
        | "Nokia Series 30 Plus"
        | "Bada"
        | "Brew MP"
        | "BREW"
        | "Sailfish"
        | "Maemo"
        | "MeeGo" => {
            if user_agent.contains("Tablet") {
                DeviceType::Tablet
            } else {
                DeviceType::Mobile
            }
        }
        "Android" => android(user_agent),
        "BlackBerry Tablet OS" | "Kindle" | "WeTab" => DeviceType::Tablet,
        // Old Windows says `Tablet PC` when it merely could be one.
        "Windows" => DeviceType::Desktop,
        "WatchOS" | "tvOS" | "ATV OS X" | "GoogleTV" | "Chromecast" | "Samsung" | "LG" | "Sony"
        | "Panasonic" | "Philips" | "FireHbbTV" | "Web0S" | "WebTV" | "VRE" => DeviceType::Unknown,
        _ if has(&TABLETS) => DeviceType::Tablet,
        _ if has(&PHONES) => DeviceType::Mobile,
        "Other" | "Tizen" | "webOS" => DeviceType::Unknown,
        // What is left are the desktops: macOS, Chrome OS, Linux and its distributions, the BSDs.
        _ => DeviceType::Desktop,
    }
}

fn android(user_agent: &str) -> DeviceType {
    let is_browser = user_agent.starts_with("Mozilla/") || user_agent.starts_with("Opera/");
    if user_agent.contains("Tablet") || user_agent.contains("iPad") {
        DeviceType::Tablet
    } else if user_agent.contains("Mobi") || !is_browser {
        // Apps follow no convention; most of them run on phones.
        DeviceType::Mobile
    } else {
        DeviceType::Tablet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conventions_of_browsers_are_followed() {
        for (user_agent, os, expected) in [
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) Mobile/15E148 Safari/604.1",
                "iOS",
                DeviceType::Mobile,
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 16_1 like Mac OS X) Mobile/15E148 Safari/604.1",
                "iOS",
                DeviceType::Tablet,
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/126.0 Mobile Safari/537.36",
                "Android",
                DeviceType::Mobile,
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; SM-X200) Chrome/126.0 Safari/537.36",
                "Android",
                DeviceType::Tablet,
            ),
            (
                "Mozilla/5.0 (Linux; Android 9; BRAVIA 4K) Chrome/90.0 Safari/537.36",
                "Android",
                DeviceType::Unknown,
            ),
            ("Mozilla/5.0 (Windows NT 6.1; Tablet PC 2.0) Trident/7.0", "Windows", DeviceType::Desktop),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605.1.15",
                "Mac OS X",
                DeviceType::Desktop,
            ),
            (
                "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:126.0) Firefox/126.0",
                "Ubuntu",
                DeviceType::Desktop,
            ),
            ("Nokia6120c/3.83; Profile/MIDP-2.0 Configuration/CLDC-1.1", "Other", DeviceType::Mobile),
            ("something", "Other", DeviceType::Unknown),
            ("", "Other", DeviceType::Unknown),
        ] {
            assert_eq!(device_type(user_agent, os), expected, "{user_agent}");
        }
    }
}
