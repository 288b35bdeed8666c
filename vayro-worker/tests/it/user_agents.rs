//! User agents, checked against uap-core's own fixtures: what its authors expect, not what we made up.
//!
//! Browsers and systems are compared after our names for families (`family`); versions are not kept.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use vayro_worker::enrich::{DeviceType, EMPTY_USER_AGENT, UserAgents, family};

use super::fixtures::{Case, uap_core};

static USER_AGENTS: LazyLock<UserAgents> =
    LazyLock::new(|| UserAgents::new(None, None, 100_000).expect("built-in rules"));

/// Returns the cases where `actual` is not what the fixture expects.
fn differing(cases: &[Case], differs: impl Fn(&Case) -> bool) -> Vec<&str> {
    cases.iter().filter(|case| differs(case)).map(|case| case.user_agent_string.as_str()).collect()
}

#[test]
fn every_browser_of_the_fixtures_is_told() {
    let cases = uap_core("test_ua.yaml");
    assert!(cases.len() > 1000, "{} cases", cases.len());
    let wrong = differing(&cases, |case| {
        USER_AGENTS.get(&case.user_agent_string).browser != family::browser(&case.family)
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_operating_system_of_the_fixtures_is_told() {
    let cases = uap_core("test_os.yaml");
    assert!(cases.len() > 400, "{} cases", cases.len());
    let wrong =
        differing(&cases, |case| USER_AGENTS.get(&case.user_agent_string).os != family::os(&case.family));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn families_are_renamed_so_that_a_browser_has_one_name() {
    for (family, name) in [
        ("Chrome Mobile iOS", "Chrome"),
        ("Mobile Safari UI/WKWebView", "Safari"),
        ("Firefox (Shiretoko)", "Firefox"),
        ("IE Mobile", "Internet Explorer"),
        ("Opera Mini", "Opera Mini"),
        ("Other", ""),
    ] {
        assert_eq!(&*family::browser(family), name);
    }
    assert_eq!(&*family::os("Mac OS X"), "macOS");
    assert_eq!(&*family::os("Windows"), "Windows");
    assert_eq!(family::browser(&"x".repeat(80)).len(), 50);
}

/// uap-core names devices, not their kinds; these names leave no doubt about the kind.
#[test]
fn devices_of_the_fixtures_get_their_kind() {
    let expected = |family: &str| match family {
        "iPhone" | "iPod" => Some(DeviceType::Mobile),
        "iPad" => Some(DeviceType::Tablet),
        "Mac" => Some(DeviceType::Desktop),
        _ => None,
    };
    let mut cases = uap_core("test_device.yaml");
    // The Puffin browser says it runs on Linux; uap-core knows better from its version number.
    cases.retain(|case| expected(&case.family).is_some() && !case.user_agent_string.contains("Puffin/"));
    assert!(cases.len() > 50, "{} cases", cases.len());
    let wrong = differing(&cases, |case| {
        Some(USER_AGENTS.get(&case.user_agent_string).device) != expected(&case.family)
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The robots of uap-core were not collected by the authors of our list, so this is no tautology. Those
/// it misses were last seen two decades ago.
#[test]
fn most_robots_of_another_list_are_seen() {
    let mut cases = uap_core("test_device.yaml");
    cases.retain(|case| case.family == "Spider");
    let missed = differing(&cases, |case| USER_AGENTS.get(&case.user_agent_string).bot.is_none());
    assert!(missed.len() * 4 < cases.len(), "{} of {}: {missed:#?}", missed.len(), cases.len());
}

#[test]
fn phones_and_browsers_are_no_robots() {
    let mut cases = uap_core("test_device.yaml");
    cases.retain(|case| {
        case.family != "Spider"
            && case.user_agent_string.starts_with("Mozilla/5.0 (Linux; ")
            && case.user_agent_string.contains("Safari/")
    });
    // Every third one; all of them take long without optimization.
    let cases: Vec<Case> = cases.into_iter().step_by(3).collect();
    assert!(cases.len() > 1000, "{} cases", cases.len());
    let flagged = differing(&cases, |case| USER_AGENTS.get(&case.user_agent_string).bot.is_some());
    assert!(flagged.is_empty(), "{flagged:#?}");
}

#[test]
fn no_user_agent_is_a_robot_of_its_own() {
    let agent = USER_AGENTS.get("");
    assert_eq!(agent.bot.as_deref(), Some(EMPTY_USER_AGENT));
    assert_eq!((&*agent.browser, &*agent.os, agent.device), ("", "", DeviceType::Unknown));
}

#[test]
fn answers_are_remembered_up_to_a_bound() {
    let agents = UserAgents::new(None, None, 16).expect("built-in rules");
    for _ in 0..3 {
        agents.get("Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0");
    }
    assert_eq!(agents.misses(), 1);
    let mut browsers = BTreeMap::new();
    for number in 0..100 {
        let agent = agents.get(&format!("Mozilla/5.0 (X11; Linux x86_64; rv:{number}.0) Firefox/{number}.0"));
        *browsers.entry(agent.browser.clone()).or_insert(0) += 1;
    }
    assert_eq!(browsers, BTreeMap::from([("Firefox".into(), 100)]));
    assert!(agents.remembered() <= 16, "{} remembered", agents.remembered());
}

#[test]
fn rules_can_come_from_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("regexes.yaml");
    std::fs::write(
        &rules,
        "user_agent_parsers:\n  - regex: '(Own)/(\\d+)'\nos_parsers:\n  - regex: '(OwnOS)'\ndevice_parsers: []\n",
    )
    .expect("written");
    let bots = folder.path().join("bots.json");
    std::fs::write(&bots, r#"[{"pattern":"OwnRobot"}]"#).expect("written");
    let agents = UserAgents::new(Some(&rules), Some(&bots), 10).expect("usable");
    let agent = agents.get("Own/1 OwnOS OwnRobot");
    assert_eq!((&*agent.browser, &*agent.os, agent.bot.as_deref()), ("Own", "OwnOS", Some("OwnRobot")));

    std::fs::write(&rules, "user_agent_parsers: 1").expect("written");
    assert!(UserAgents::new(Some(&rules), None, 10).is_err());
    assert!(UserAgents::new(None, Some(&folder.path().join("missing.json")), 10).is_err());
}
