//! Browsers, and robots among them, in the shares a public link sees.

/// A kind of visitor: weight and `User-Agent`.
pub(super) type Agent = (u32, &'static str);

/// Browsers of people.
pub(super) const BROWSERS: [Agent; 22] = [
    (
        170,
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Mobile Safari/537.36",
    ),
    (
        60,
        "Mozilla/5.0 (Linux; Android 14; SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36",
    ),
    (
        150,
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    ),
    (
        60,
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.7 Mobile/15E148 Safari/604.1",
    ),
    (
        25,
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/139.0.7258.76 Mobile/15E148 Safari/604.1",
    ),
    (
        15,
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 390.0.0.28.85 (iPhone15,3; iOS 18_6; en_US; en; scale=3.00; 1290x2796; 774220931)",
    ),
    (
        170,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36",
    ),
    (
        40,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    ),
    (
        60,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36 Edg/139.0.0.0",
    ),
    (40, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:141.0) Gecko/20100101 Firefox/141.0"),
    (
        15,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36 OPR/121.0.0.0",
    ),
    (
        60,
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
    ),
    (
        55,
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36",
    ),
    (12, "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:141.0) Gecko/20100101 Firefox/141.0"),
    (
        18,
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36",
    ),
    (14, "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0"),
    (
        8,
        "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    ),
    (
        30,
        "Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.7 Mobile/15E148 Safari/604.1",
    ),
    (
        12,
        "Mozilla/5.0 (Linux; Android 13; SM-X710) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    ),
    (
        30,
        "Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-A546B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
    ),
    (10, "Mozilla/5.0 (Android 14; Mobile; rv:141.0) Gecko/141.0 Firefox/141.0"),
    (
        8,
        "Mozilla/5.0 (Linux; U; Android 12; en-us; Redmi Note 11) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/112.0.5615.136 Mobile Safari/537.36 XiaoMi/MiuiBrowser/14.10.1",
    ),
];

/// Robots and previews.
pub(super) const ROBOTS: [Agent; 7] = [
    (30, "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"),
    (20, "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"),
    (15, "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)"),
    (15, "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"),
    (10, "Twitterbot/1.0"),
    (6, "WhatsApp/2.23.20.0"),
    (4, "curl/8.14.1"),
];

/// Where people come from: weight and `Referer`; empty for those who typed it, scanned it or hide it.
pub(super) const REFERRERS: [(u32, &str); 14] = [
    (400, ""),
    (130, "https://www.google.com/"),
    (80, "https://l.instagram.com/"),
    (70, "https://t.co/"),
    (65, "https://www.linkedin.com/"),
    (55, "https://l.facebook.com/"),
    (45, "https://news.ycombinator.com/"),
    (40, "https://www.youtube.com/"),
    (35, "https://www.reddit.com/"),
    (20, "https://github.com/"),
    (18, "https://duckduckgo.com/"),
    (16, "https://www.bing.com/"),
    (14, "https://mail.google.com/"),
    (12, "https://example.com/blog/launch"),
];

/// What stands behind the short address: weight and query.
pub(super) const QUERIES: [(u32, Option<&str>); 5] = [
    (800, None),
    (80, Some("qr=1")),
    (60, Some("utm_source=newsletter&utm_medium=email&utm_campaign=june")),
    (40, Some("utm_source=instagram&utm_medium=social")),
    (20, Some("utm_source=partner&utm_medium=referral&utm_campaign=launch")),
];
