//! One name per browser and operating system.
//!
//! uap-core tells `Chrome`, `Chrome Mobile` and `Chrome Mobile iOS` apart; a chart of browsers should
//! not. Whether it was a phone is said by the device type.

use vayro_core::click::clean;

/// Longest name kept, in bytes; the columns' length.
const NAME_LEN_MAX: usize = 50;

/// Returns the browser's name for a uap-core family; empty if it is unknown.
pub fn browser(family: &str) -> Box<str> {
    let name = match family {
        "Other" => "",
        "Chrome Mobile" | "Chrome Mobile iOS" | "Chrome Mobile WebView" => "Chrome",
        "Mobile Safari" | "Mobile Safari UI/WKWebView" => "Safari",
        "Firefox Mobile" | "Firefox iOS" | "Firefox Alpha" | "Firefox Beta" => "Firefox",
        "Edge Mobile" => "Edge",
        "Opera Mobile" | "Opera Tablet" => "Opera",
        "IE" | "IE Mobile" => "Internet Explorer",
        "Yandex Browser" => "Yandex",
        "QQ Browser Mobile" | "QQ Browser Mini" => "QQ Browser",
        "DuckDuckGo Mobile" => "DuckDuckGo",
        // Code names of pre-releases, such as `Firefox (Shiretoko)`.
        other if other.starts_with("Firefox (") => "Firefox",
        other => other,
    };
    clean(name.as_bytes(), NAME_LEN_MAX)
}

/// Returns the operating system's name for a uap-core family; empty if it is unknown.
pub fn os(family: &str) -> Box<str> {
    let name = match family {
        "Other" => "",
        "Mac OS X" | "Mac OS" => "macOS",
        "Symbian^3" | "Symbian^3 Anna" | "Symbian^3 Belle" => "Symbian OS",
        other => other,
    };
    clean(name.as_bytes(), NAME_LEN_MAX)
}
