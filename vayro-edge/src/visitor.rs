//! When a visit was, if its demo data says so, and how its click is made.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use vayro_core::click::Click;
use vayro_core::ids::ClickId;
use vayro_core::resolve::CachedLink;
use vayro_core::timestamp::Timestamp;
use vayro_core::visit::Visit;

use crate::settings::EdgeSettings;

/// `X-Forwarded-Proto`.
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Says when a demo visit was, in Unix milliseconds.
const X_VAYRO_DEMO_AT: HeaderName = HeaderName::from_static("x-vayro-demo-at");

/// How far back a demo visit may lie.
const DEMO_WINDOW: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// Returns when a demo visit says it was. The caller has checked that demo visits are allowed and that a
/// trusted proxy on this machine sent it.
pub(crate) fn demo_instant(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let millis = headers.get(&X_VAYRO_DEMO_AT)?.to_str().ok()?.parse().ok()?;
    let at = Timestamp::from_millis(millis)?;
    (at <= now && now.since(at) <= DEMO_WINDOW).then_some(at)
}

/// Makes the click of a visit at `at`.
pub(crate) fn click(link: &CachedLink, at: Timestamp, visit: &Visit<'_>, settings: &EdgeSettings) -> Click {
    let id = ClickId::generate(at, &mut rand::rng());
    vayro_core::visit::mint_click(id, link, visit, settings.click_policy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), value.parse().expect("valid"));
        }
        headers
    }

    #[test]
    fn demo_visits_lie_within_the_last_sixty_days() {
        let now = Timestamp::from_millis(1_790_000_000_000).expect("in range");
        let at = |millis: i64| demo_instant(&headers(&[("x-vayro-demo-at", &millis.to_string())]), now);
        let day = 24 * 60 * 60 * 1000;
        assert_eq!(at(1_790_000_000_000 - day), Timestamp::from_millis(1_790_000_000_000 - day));
        assert_eq!(at(1_790_000_000_000 - 61 * day), None);
        assert_eq!(at(1_790_000_000_001), None);
        assert_eq!(demo_instant(&headers(&[("x-vayro-demo-at", "soon")]), now), None);
        assert_eq!(demo_instant(&HeaderMap::new(), now), None);
    }
}
