//! How links look in tables.

use crate::client::links::Link;
use crate::ui::table::{Column, Table, Tone, Value};

/// Returns a table of links.
pub fn table(links: &[Link]) -> Table {
    let mut table = Table::new([
        Column::left("SHORT URL").whole(),
        Column::left("TARGET"),
        Column::left("STATE"),
        Column::right("CLICKS"),
        Column::left("CREATED"),
        Column::left("TITLE"),
        Column::left("ID").pipe_only(),
    ]);
    for link in links {
        table.push([
            Value::text(&link.short_url),
            Value::text(&link.target_url),
            state(&link.state),
            Value::Count(link.clicks),
            Value::Time(link.created_at),
            Value::text(&link.title),
            Value::text(link.id.to_string()),
        ]);
    }
    table
}

/// Returns everything about one link.
pub fn properties(link: &Link) -> Table {
    Table::properties([
        ("short_url", Value::text(&link.short_url)),
        ("target_url", Value::text(&link.target_url)),
        ("title", Value::text(&link.title)),
        ("state", state(&link.state)),
        ("redirect_status", Value::Text(link.redirect_status.to_string())),
        ("clicks", Value::Count(link.clicks)),
        ("last_click_at", Value::time(link.last_click_at)),
        ("expires_at", Value::time(link.expires_at)),
        ("archived_at", Value::time(link.archived_at)),
        ("deleted_at", Value::time(link.deleted_at)),
        ("created_at", Value::Time(link.created_at)),
        ("updated_at", Value::Time(link.updated_at)),
        ("version", Value::Text(link.version.to_string())),
        ("id", Value::text(link.id.to_string())),
    ])
}

/// Returns a state with the tone it deserves.
fn state(state: &str) -> Value {
    let tone = match state {
        "active" => Tone::Good,
        "disabled" | "expired" => Tone::Warn,
        "deleted" => Tone::Bad,
        _ => Tone::Dim,
    };
    Value::Toned(state.to_owned(), tone)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ui::testing::terminal;

    fn sample(state: &str, target: &str) -> Link {
        serde_json::from_value(json!({
            "id": "01890a5d-ac96-774b-bcce-b302099a8057",
            "short_code": "launch",
            "short_url": "https://vay.ro/launch",
            "domain": "vay.ro",
            "target_url": target,
            "title": "",
            "state": state,
            "redirect_status": 302,
            "is_active": true,
            "expires_at": "2026-06-01T00:00:00Z",
            "archived_at": null,
            "deleted_at": null,
            "created_at": "2026-05-10T11:00:00Z",
            "updated_at": "2026-05-10T11:00:00Z",
            "version": 1,
            "clicks": 12_345,
            "last_click_at": "2026-05-10T11:59:30Z",
        }))
        .expect("it is the API's form")
    }

    #[test]
    fn a_terminal_gets_relative_times_and_whole_columns() {
        let long = format!("https://example.com/{}", "x".repeat(100));
        let links = [sample("active", "https://example.com/"), sample("expired", &long)];
        insta::assert_snapshot!("link_table", terminal(90).render(&table(&links)));
        insta::assert_snapshot!("link_properties", terminal(60).render(&properties(&links[1])));
    }
}
