//! A click as clients get it.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use vayro_core::click::ClickClass;
use vayro_core::event::ClickEvent;
use vayro_core::timestamp::Timestamp;

use crate::settings::ApiSettings;

/// A click. Texts are empty where nothing is known.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventView {
    /// Its identity.
    pub(crate) id: Uuid,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) timestamp: Timestamp,
    /// The link.
    pub(crate) link_id: Uuid,
    /// The link's address.
    #[schema(example = "https://vay.example/launch")]
    pub(crate) short_url: String,
    /// What it counts as.
    #[schema(schema_with = crate::schema::click_class)]
    pub(crate) class: ClickClass,
    /// The rule that saw a robot.
    pub(crate) bot: String,
    /// What the browser or robot says it is, as sent.
    pub(crate) user_agent: String,
    /// ISO 3166-1 alpha-2.
    #[schema(example = "DE")]
    pub(crate) country: String,
    /// Name of the region.
    pub(crate) region: String,
    /// Name of the city.
    pub(crate) city: String,
    /// `mobile`, `desktop` or `tablet`.
    pub(crate) device: String,
    /// Family of the browser.
    pub(crate) browser: String,
    /// Family of the operating system.
    pub(crate) os: String,
    /// First language asked for.
    pub(crate) language: String,
    /// Host of the referrer without `www.`.
    pub(crate) referrer: String,
    /// The referrer as sent.
    pub(crate) referrer_url: String,
    /// The address, truncated to its network (IPv4 /24, IPv6 /48).
    #[schema(example = "192.0.2.0")]
    pub(crate) ip_address: String,
    /// `link` or `qr`.
    pub(crate) trigger: String,
    /// `utm_source` of the short link's query.
    pub(crate) utm_source: String,
    /// `utm_medium` of the short link's query.
    pub(crate) utm_medium: String,
    /// `utm_campaign` of the short link's query.
    pub(crate) utm_campaign: String,
    /// `utm_term` of the short link's query.
    pub(crate) utm_term: String,
    /// `utm_content` of the short link's query.
    pub(crate) utm_content: String,
}

/// A member that may be empty: its name, and how to read it.
type Text = (&'static str, fn(&EventView) -> &str);

impl EventView {
    /// The members that are always known, in their order; the others are [`EventView::TEXTS`].
    pub(crate) const KNOWN: [&'static str; 5] = ["id", "timestamp", "link_id", "short_url", "class"];

    /// The members that may be empty, in their order.
    pub(crate) const TEXTS: [Text; 18] = [
        ("bot", |event| &event.bot),
        ("user_agent", |event| &event.user_agent),
        ("country", |event| &event.country),
        ("region", |event| &event.region),
        ("city", |event| &event.city),
        ("device", |event| &event.device),
        ("browser", |event| &event.browser),
        ("os", |event| &event.os),
        ("language", |event| &event.language),
        ("referrer", |event| &event.referrer),
        ("referrer_url", |event| &event.referrer_url),
        ("ip_address", |event| &event.ip_address),
        ("trigger", |event| &event.trigger),
        ("utm_source", |event| &event.utm_source),
        ("utm_medium", |event| &event.utm_medium),
        ("utm_campaign", |event| &event.utm_campaign),
        ("utm_term", |event| &event.utm_term),
        ("utm_content", |event| &event.utm_content),
    ];

    /// Shows a click of an instance with these settings.
    pub(crate) fn new(event: ClickEvent, settings: &ApiSettings) -> Self {
        Self {
            id: event.id.as_uuid(),
            timestamp: event.timestamp,
            link_id: event.link_id.as_uuid(),
            short_url: settings.link_address(event.domain.as_ref(), &event.short_code),
            class: event.class,
            bot: event.bot,
            user_agent: event.user_agent,
            country: event.country,
            region: event.region,
            city: event.city,
            device: event.device,
            browser: event.browser,
            os: event.os,
            language: event.language,
            referrer: event.referrer,
            referrer_url: event.referrer_url,
            ip_address: event.ip_address,
            trigger: event.trigger,
            utm_source: event.utm_source,
            utm_medium: event.utm_medium,
            utm_campaign: event.utm_campaign,
            utm_term: event.utm_term,
            utm_content: event.utm_content,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A click with this number inside.
    pub(crate) fn sample(number: u128) -> EventView {
        let text = String::new;
        EventView {
            id: Uuid::from_u128(number),
            timestamp: Timestamp::from_micros(1_778_414_400_000_000).expect("in range"),
            link_id: Uuid::from_u128(1),
            short_url: "https://vay.test/launch".to_owned(),
            class: ClickClass::Counted,
            bot: text(),
            user_agent: "Mozilla/5.0".to_owned(),
            country: "DE".to_owned(),
            region: text(),
            city: text(),
            device: "desktop".to_owned(),
            browser: "Firefox".to_owned(),
            os: "Linux".to_owned(),
            language: "de".to_owned(),
            referrer: "news.example".to_owned(),
            referrer_url: format!("https://news.example/{number}"),
            ip_address: "192.0.2.0".to_owned(),
            trigger: "link".to_owned(),
            utm_source: text(),
            utm_medium: text(),
            utm_campaign: text(),
            utm_term: text(),
            utm_content: text(),
        }
    }

    #[test]
    fn the_columns_are_the_members_in_their_order() {
        let json = serde_json::to_string(&sample(1)).expect("serializes");
        let names = EventView::KNOWN.into_iter().chain(EventView::TEXTS.map(|(name, _)| name));
        let places: Vec<_> = names.map(|name| json.find(&format!("\"{name}\":")).expect(name)).collect();
        assert!(places.is_sorted(), "{places:?}");
        let members = serde_json::to_value(sample(1)).expect("serializes");
        assert_eq!(members.as_object().map(serde_json::Map::len), Some(places.len()));
        for (name, read) in EventView::TEXTS {
            assert_eq!(members[name], read(&sample(1)), "{name}");
        }
    }
}
