//! Salts of visitors' pseudonyms.

use std::time::Duration;

use vayro_core::click::{Click, ClickClass};

use super::doubles::{Scene, click_at, epoch};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test(start_paused = true)]
async fn pseudonyms_follow_the_day_of_the_click_and_end_with_its_salt() {
    let scene = Scene::new();
    let days_ago = |days: u32| epoch().minus(DAY * days);
    let all = [
        click_at(0, epoch()),
        click_at(1, epoch()),
        click_at(2, days_ago(1)),
        // The oldest day within 72 hours, and the one before it.
        click_at(3, days_ago(3)),
        click_at(4, days_ago(4)),
        // A clock ahead by a little, and one that is nonsense.
        click_at(5, epoch().plus(DAY)),
        click_at(6, epoch().plus(DAY * 3)),
    ];
    scene.stream.append(&all);
    let worker = scene.start().await;
    scene.until_settled().await;
    worker.stop().await;
    let rows = scene.clicks.rows.lock();
    let visitor = |n: usize| rows[&all[n].id].visitor_id;
    assert!(visitor(0).is_some());
    assert_eq!(visitor(0), visitor(1), "one visitor, one day");
    assert!(visitor(2).is_some() && visitor(2) != visitor(0), "another day, another pseudonym");
    assert!(visitor(3).is_some());
    assert_eq!(visitor(4), None);
    assert!(visitor(5).is_some());
    assert_eq!(visitor(6), None);
    assert_eq!(scene.clicks.salts.lock().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn all_workers_give_one_visitor_one_pseudonym() {
    let scene = Scene::new();
    for n in 0..2 {
        scene.stream.append(&[click_at(n, epoch())]);
        let worker = scene.start().await;
        scene.until_settled().await;
        worker.stop().await;
    }
    let rows = scene.clicks.rows.lock();
    let visitors: Vec<_> = rows.values().map(|row| row.visitor_id).collect();
    assert_eq!(visitors.len(), 2);
    assert!(visitors[0].is_some());
    assert_eq!(visitors[0], visitors[1]);
}

#[tokio::test(start_paused = true)]
async fn a_private_click_counts_and_says_nothing_about_its_visitor() {
    const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 \
                         (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
    let scene = Scene::new();
    let private = |n, user_agent: &str| Click {
        user_agent: user_agent.into(),
        referer: "https://news.example/story?reader=ann".into(),
        language: "de-CH".into(),
        query: "utm_source=news".into(),
        is_private: true,
        // An edge sends none with such a click; whoever does is not believed to have meant it.
        ip: Some([192, 0, 2, 7].into()),
        ..click_at(n, epoch())
    };
    let clicks = [private(0, PHONE), private(1, "Googlebot/2.1 (+http://www.google.com/bot.html)")];
    scene.stream.append(&clicks);
    let worker = scene.start().await;
    scene.until_settled().await;
    worker.stop().await;
    let rows = scene.clicks.rows.lock();
    let row = &rows[&clicks[0].id];
    assert_eq!((row.class, row.device_type.as_str()), (ClickClass::Counted, "mobile"));
    assert_eq!((row.referer_host.as_str(), row.utm_source.as_str()), ("news.example", "news"));
    assert_eq!((row.visitor_id, row.ip_address.as_str()), (None, ""));
    for text in [&row.browser, &row.os, &row.language, &row.referer, &row.country_code, &row.city] {
        assert_eq!(text, "");
    }
    assert_eq!(rows[&clicks[1].id].class, ClickClass::Bot, "robots are still told");
}
