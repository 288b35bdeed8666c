//! Links that a small company might have.

use crate::client::links::NewLink;

/// Code, title, target.
const LINKS: [(&str, &str, &str); 24] = [
    ("spring-sale", "Spring sale", "https://example.com/shop/spring-sale?utm_campaign=spring"),
    ("newsletter", "Newsletter sign-up", "https://example.com/newsletter"),
    ("podcast-42", "Podcast, episode 42", "https://example.org/podcast/episodes/42"),
    ("app-ios", "App for iOS", "https://example.com/app/ios"),
    ("app-android", "App for Android", "https://example.com/app/android"),
    ("meetup-berlin", "Meetup in Berlin", "https://example.net/events/berlin-meetup"),
    ("menu", "Menu on the tables", "https://example.net/menu"),
    ("hiring", "We are hiring", "https://example.com/careers"),
    ("talk-slides", "Slides of the talk", "https://example.org/talks/short-links.pdf"),
    ("launch", "Launch post", "https://example.com/blog/launch"),
    ("survey", "Customer survey", "https://example.com/survey/2026"),
    ("guide", "Getting started guide", "https://example.com/guide/start"),
    ("black-friday", "Black Friday", "https://example.com/shop/black-friday"),
    ("webinar", "Webinar recording", "https://example.org/webinar/recording"),
    ("press-kit", "Press kit", "https://example.com/press/kit.zip"),
    ("tickets", "Concert tickets", "https://example.net/tickets"),
    ("warranty", "Warranty card", "https://example.com/warranty"),
    ("recipe", "Recipe of the week", "https://example.net/recipes/week"),
    ("changelog", "Release notes", "https://example.com/changelog"),
    ("community", "Community chat", "https://example.org/chat"),
    ("donate", "Donations", "https://example.org/donate"),
    ("map", "How to find us", "https://example.net/map"),
    ("case-study", "Case study", "https://example.com/customers/case-study"),
    ("beta", "Beta programme", "https://example.com/beta"),
];

/// Returns the link number `index`; past the end of the list they are numbered.
pub(super) fn link(index: u32) -> NewLink {
    let len = u32::try_from(LINKS.len()).unwrap_or(u32::MAX);
    let round = index / len;
    let (code, title, target) = LINKS[usize::try_from(index % len).unwrap_or(0)];
    let numbered = |text: &str, mark: &str| match round {
        0 => text.to_owned(),
        _ => format!("{text}{mark}{}", round + 1),
    };
    NewLink {
        target_url: target.to_owned(),
        short_code: Some(numbered(code, "-")),
        title: Some(numbered(title, " ")),
        ..NewLink::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use vayro_core::short_code::ShortCode;
    use vayro_core::target::TargetUrl;

    use super::*;

    #[test]
    fn every_link_can_be_made() {
        let mut codes = HashSet::new();
        for new in (0..100).map(link) {
            let code: ShortCode = new.short_code.expect("given").parse().expect("valid");
            assert!(!code.is_reserved(), "{code}");
            let normal = TargetUrl::parse(&new.target_url, &[]).expect("valid");
            assert_eq!(normal.as_str(), new.target_url, "found again by an equal target");
            assert!(codes.insert(code));
        }
    }
}
