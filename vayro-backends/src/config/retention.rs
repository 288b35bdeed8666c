//! How long clicks and rollups are kept, as configured.

use serde::{Deserialize, Deserializer};
use vayro_core::retention::{CLICKS_KEEP_MIN, Detached, Keep, Retention};

use super::{ConfigErrors, Layers, Span};

/// How to write that something is kept for ever.
pub const FOREVER: &str = "forever";

/// `[retention]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RetentionSection {
    #[serde(deserialize_with = "keep")]
    clicks_free: Keep,
    #[serde(deserialize_with = "keep")]
    clicks_pro: Keep,
    #[serde(deserialize_with = "keep")]
    clicks_enterprise: Keep,
    #[serde(deserialize_with = "keep")]
    rollups: Keep,
    detached: DetachedChoice,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DetachedChoice {
    Drop,
    Keep,
}

fn keep<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Keep, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == FOREVER {
        return Ok(Keep::Forever);
    }
    let message = || format!("`{text}` is neither `{FOREVER}` nor a duration such as `90d`");
    let span: Span = text.parse().map_err(|_| serde::de::Error::custom(message()))?;
    Ok(Keep::For(span.get()))
}

/// Returns what [`retention`] would read as this.
pub fn keep_text(keep: Keep) -> String {
    match keep {
        Keep::Forever => FOREVER.to_owned(),
        Keep::For(span) => Span::new(span).to_string(),
    }
}

/// Reads and checks the section `[retention]`; mistakes go to `errors`.
pub fn retention(layers: &Layers, errors: &mut ConfigErrors) -> Option<Retention> {
    let section: RetentionSection = layers.section("retention", errors)?;
    let clicks = [
        ("retention.clicks_free", section.clicks_free),
        ("retention.clicks_pro", section.clicks_pro),
        ("retention.clicks_enterprise", section.clicks_enterprise),
    ];
    let mut is_sound = true;
    let mut reject = |key: &str, message: &str| {
        layers.reject(key, message, errors);
        is_sound = false;
    };
    for (key, keep) in clicks {
        if !keep.covers(Keep::For(CLICKS_KEEP_MIN)) {
            reject(key, "must be at least 7d: a click that comes twice is told by the one that is kept");
        }
    }
    if !clicks.iter().all(|(_, keep)| section.rollups.covers(*keep)) {
        reject("retention.rollups", "must be at least as long as clicks are kept on any plan");
    }
    is_sound.then_some(Retention {
        free: section.clicks_free,
        pro: section.clicks_pro,
        enterprise: section.clicks_enterprise,
        rollups: section.rollups,
        detached: match section.detached {
            DetachedChoice::Drop => Detached::Drop,
            DetachedChoice::Keep => Detached::Keep,
        },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(flags: &[(&str, &str)]) -> Result<Retention, Vec<String>> {
        let flags: Vec<(&str, String)> =
            flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        let layers = Layers::load(None, std::iter::empty(), &flags).expect("no file");
        let mut errors = layers.errors();
        let read = retention(&layers, &mut errors);
        let keys = |errors: ConfigErrors| -> Vec<String> {
            errors.mistakes().iter().map(|mistake| mistake.key.clone()).collect()
        };
        errors.finish().map_err(keys)?;
        Ok(read.expect("no mistakes"))
    }

    #[test]
    fn everything_is_kept_unless_somebody_says_otherwise() {
        assert_eq!(read(&[]), Ok(Retention::default()));
    }

    #[test]
    fn plans_are_told_apart() {
        let read = read(&[("retention.clicks_free", "90d"), ("retention.detached", "keep")]).expect("valid");
        let free = Keep::For(Duration::from_secs(90 * 86_400));
        assert_eq!(read, Retention { free, detached: Detached::Keep, ..Retention::default() });
        assert_eq!((keep_text(free).as_str(), keep_text(Keep::Forever).as_str()), ("90d", "forever"));
    }

    #[test]
    fn sums_outlive_clicks_and_clicks_outlive_their_way() {
        assert_eq!(read(&[("retention.rollups", "90d")]), Err(vec!["retention.rollups".to_owned()]));
        let bad = read(&[("retention.clicks_pro", "6d"), ("retention.clicks_free", "for ever")]);
        assert!(bad.is_err_and(|keys| keys.contains(&"retention.clicks_free".to_owned())));
        assert_eq!(read(&[("retention.clicks_pro", "6d")]), Err(vec!["retention.clicks_pro".to_owned()]));
    }
}
