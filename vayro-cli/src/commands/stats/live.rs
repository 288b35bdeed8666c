//! `vayro stats --live`: one line per click, until Ctrl-C.

mod sse;

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use futures::StreamExt as _;
use vayro_core::analytics::time_zone;
use vayro_core::click::ClickClass;
use vayro_core::ids::LinkId;

use crate::client::events::Event;
use crate::client::{Api, ApiError};
use crate::commands::events::bare;
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::{Ui, text};
use sse::{Frame, Reader};

/// Pause before the first try to come back; doubled up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// Clicks remembered, so that none is shown twice; more than the server sends again.
const SHOWN_MAX: usize = 25_000;

/// What is followed, and what was shown of it.
pub(super) struct Follower {
    link: Option<LinkId>,
    /// The zone of the times shown.
    zone: jiff::tz::TimeZone,
    last: Option<String>,
    shown: HashSet<String>,
    order: VecDeque<String>,
}

/// Why an answer ended.
enum End {
    /// The server wants the client to come again.
    Proper,
    /// The connection broke after it had begun well.
    Broken(ApiError),
    /// There was none.
    Away(ApiError),
}

impl Follower {
    /// Follows a link, or all; times are shown in the zone of this name.
    pub(super) fn new(link: Option<LinkId>, zone: &str) -> Self {
        let zone = time_zone(zone).unwrap_or(jiff::tz::TimeZone::UTC);
        Self { link, zone, last: None, shown: HashSet::new(), order: VecDeque::new() }
    }

    /// Shows clicks as they come and comes back when the connection breaks. Ends only with an error that
    /// another try will not mend.
    pub(super) async fn run(
        &mut self,
        ui: &mut Ui,
        context: &Context,
        api: &Api,
    ) -> Result<(), CommandError> {
        context.ends_by_interrupt();
        let mut pause = PAUSE;
        loop {
            let end = self.follow(ui, api).await?;
            if let End::Broken(error) | End::Away(error) = &end {
                ui.note(&format!("{error}; trying again"));
            }
            pause = if matches!(end, End::Away(_)) { (pause * 2).min(PAUSE_MAX) } else { PAUSE };
            tokio::time::sleep(pause).await;
        }
    }

    /// Reads one answer to its end.
    async fn follow(&mut self, ui: &mut Ui, api: &Api) -> Result<End, CommandError> {
        let answer = match api.follow_events(self.link, self.last.as_deref()).await {
            Ok(answer) => answer,
            Err(error) if is_passing(&error) => return Ok(End::Away(error)),
            Err(error) => return Err(error.into()),
        };
        let mut reader = Reader::default();
        let mut chunks = answer.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            match chunk {
                Ok(chunk) => reader.push(&chunk),
                Err(error) => return Ok(End::Broken(api.broken(error))),
            }
            while let Some(frame) = reader.frame() {
                self.take(ui, &frame)?;
            }
        }
        Ok(End::Proper)
    }

    fn take(&mut self, ui: &mut Ui, frame: &Frame) -> Result<(), CommandError> {
        match frame.name.as_str() {
            "gap" => {
                ui.warn("some clicks are missing here; `vayro events` has them");
                return Ok(());
            }
            "click" => {}
            // Whatever a newer server sends besides.
            _ => return Ok(()),
        }
        let event: Event = serde_json::from_str(&frame.data).map_err(|error| {
            CommandError::failed("the API sent a click that cannot be read").caused_by(error)
        })?;
        self.last = Some(event.id.clone());
        if !self.remember(&event.id) {
            return Ok(());
        }
        if ui.is_json() {
            ui.json_line(&event)
        } else {
            ui.line_of_columns(&self.columns(&event, ui.is_human()))
        }
    }

    /// Tells whether a click is shown for the first time.
    fn remember(&mut self, id: &str) -> bool {
        if !self.shown.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > SHOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.shown.remove(&oldest);
        }
        true
    }

    /// Returns what is shown of a click: for a program a fixed number of columns, for a person what is known.
    fn columns(&self, event: &Event, is_human: bool) -> Vec<String> {
        if !is_human {
            let plain = [
                &event.short_url,
                &event.class,
                &event.country,
                &event.city,
                &event.device,
                &event.browser,
                &event.os,
                &event.referrer,
                &event.id,
            ];
            let plain = plain.into_iter().map(|text| text::clean(text).into_owned());
            return std::iter::once(event.timestamp.to_string()).chain(plain).collect();
        }
        let time = event.timestamp.to_jiff().to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string();
        let place = [event.city.as_str(), event.country.as_str()];
        let place: Vec<&str> = place.into_iter().filter(|part| !part.is_empty()).collect();
        let class = if event.class == ClickClass::Counted.as_str() { "" } else { &event.class };
        let columns = [
            time,
            bare(&event.short_url).to_owned(),
            class.to_owned(),
            place.join(", "),
            event.browser.clone(),
            event.os.clone(),
            event.referrer.clone(),
        ];
        columns
            .into_iter()
            .filter(|column| !column.is_empty())
            .map(|c| text::clean(&c).into_owned())
            .collect()
    }
}

/// Tells whether another try may succeed.
fn is_passing(error: &ApiError) -> bool {
    match error {
        ApiError::Unreachable { .. } | ApiError::TimedOut { .. } | ApiError::Broken { .. } => true,
        ApiError::Problem(problem) => matches!(problem.status, 429 | 502 | 503 | 504),
        ApiError::NotOurs { status, .. } => matches!(status, 502..=504),
        ApiError::TooLong { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::Manner;
    use crate::ui::Surroundings;
    use crate::ui::testing::{PIPE, TERMINAL, ui};

    fn click(id: &str) -> Frame {
        let data = format!(
            r#"{{"id":"{id}","timestamp":"2026-05-10T12:00:00Z","link_id":"x","short_url":"https://vay.test/launch",
                "class":"counted","bot":"","user_agent":"","country":"DE","region":"","city":"Berlin","device":"desktop",
                "browser":"Firefox","os":"Linux","language":"de","referrer":"","referrer_url":"","ip_address":"",
                "trigger":"link","utm_source":"","utm_medium":"","utm_campaign":"","utm_term":"","utm_content":""}}"#
        );
        Frame { name: "click".to_owned(), data }
    }

    #[test]
    fn each_click_is_one_line_and_shown_once() {
        for (surroundings, is_json, expected) in [
            (
                Surroundings { columns: 80, ..TERMINAL },
                false,
                "14:00:00  vay.test/launch  Berlin, DE  Firefox  Linux\n",
            ),
            (
                PIPE,
                false,
                "2026-05-10T12:00:00Z\thttps://vay.test/launch\tcounted\tDE\tBerlin\tdesktop\tFirefox\tLinux\t\ta\n",
            ),
            (PIPE, true, r#"{"id":"a","timestamp":"2026-05-10T12:00:00Z","link_id":"x","#),
        ] {
            let (mut ui, out, _) = ui(surroundings, Manner { is_json, ..Manner::default() }, "");
            let mut follower = Follower::new(None, "Europe/Berlin");
            for id in ["a", "a"] {
                follower.take(&mut ui, &click(id)).expect("it is shown");
            }
            assert!(out.text().starts_with(expected), "{}", out.text());
            assert_eq!(out.text().lines().count(), 1, "{}", out.text());
            assert_eq!(follower.last.as_deref(), Some("a"));
        }
    }

    #[test]
    fn a_gap_is_said_and_the_unknown_is_ignored() {
        let (mut ui, out, err) = ui(PIPE, Manner::default(), "");
        let mut follower = Follower::new(None, "UTC");
        for name in ["gap", "weather"] {
            let frame = Frame { name: name.to_owned(), data: "{}".to_owned() };
            follower.take(&mut ui, &frame).expect("it is no failure");
        }
        assert_eq!(out.text(), "");
        assert_eq!(err.text(), "warning: some clicks are missing here; `vayro events` has them\n");
    }
}
