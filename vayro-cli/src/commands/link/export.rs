//! `vayro link export`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::import::Format;
use crate::client::Api;
use crate::client::links::{Link, LinkQuery, PAGE_LEN_MAX};
use crate::context::Context;
use crate::error::CommandError;
use crate::new_file::NewFile;
use crate::ui::{Ui, text};

/// Columns of a CSV export, in order.
pub const COLUMNS: [&str; 14] = [
    "short_code",
    "domain",
    "target_url",
    "title",
    "redirect_status",
    "is_active",
    "expires_at",
    "state",
    "clicks",
    "last_click_at",
    "created_at",
    "updated_at",
    "short_url",
    "id",
];

/// States that are exported; deleted links are not.
const STATES: [&str; 4] = ["active", "disabled", "expired", "archived"];

/// Write all links as CSV or JSON
///
/// `vayro link import` reads what this writes. Deleted links are left out.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// File to write [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Format [default: by the file's name, otherwise csv]
    #[arg(long, value_enum)]
    format: Option<Format>,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: ExportArgs) -> Result<(), CommandError> {
    let api = context.api()?;
    let extension = args.output.as_deref().and_then(Path::extension).and_then(|extension| extension.to_str());
    let format = args.format.unwrap_or(match extension {
        Some("json") => Format::Json,
        Some("jsonl" | "ndjson") => Format::Jsonl,
        _ if ui.is_json() => Format::Json,
        _ => Format::Csv,
    });
    let query = LinkQuery {
        states: STATES.map(str::to_owned).to_vec(),
        sort: Some("created_at".to_owned()),
        order: Some("asc".to_owned()),
        ..LinkQuery::default()
    };
    let default_host = default_host(&api).await?;
    let progress = ui.progress("Exporting", None);
    let mut file = args.output.as_deref().map(NewFile::begin).transpose()?;
    let (mut count, mut cursor): (usize, Option<String>) = (0, None);
    loop {
        let mut page = api.list_links(&query, cursor.as_deref(), PAGE_LEN_MAX).await?;
        for link in &mut page.items {
            link.domain = link.domain.take().filter(|host| Some(host) != default_host.as_ref());
        }
        let is_last = page.next.is_none();
        let bytes = encode(format, &page.items, count, is_last)?;
        match &mut file {
            Some(file) => file.write(&bytes)?,
            None => ui.write_bytes(&bytes)?,
        }
        count += page.items.len();
        progress.set(count as u64);
        cursor = page.next;
        if is_last {
            break;
        }
    }
    drop(progress);
    let written = text::plural(count, "link");
    if let Some(file) = file {
        let path = file.finish()?;
        ui.note(&format!("Wrote {written} to {}", path.display()));
    }
    Ok(())
}

/// Returns the instance's own host. Links on it are written without a domain, so that the file fits an
/// instance with another one.
async fn default_host(api: &Api) -> Result<Option<String>, CommandError> {
    match api.list_domains().await {
        Ok(domains) => Ok(domains.into_iter().find(|domain| domain.is_default).map(|domain| domain.host)),
        // A key for links alone may not see domains; the file then names every host.
        Err(error) if error.code() == "scope_missing" => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes one page; `before` links have been written already.
fn encode(format: Format, links: &[Link], before: usize, is_last: bool) -> Result<Vec<u8>, CommandError> {
    let broken = |error: serde_json::Error| CommandError::failed("a link cannot be written").caused_by(error);
    let mut bytes = Vec::new();
    match format {
        Format::Csv => {
            let mut writer = csv::Writer::from_writer(&mut bytes);
            let failed =
                |error: csv::Error| CommandError::failed("a link cannot be written").caused_by(error);
            if before == 0 {
                writer.write_record(COLUMNS).map_err(failed)?;
            }
            for link in links {
                writer.write_record(record(link)).map_err(failed)?;
            }
            drop(writer);
        }
        Format::Jsonl => {
            for link in links {
                serde_json::to_writer(&mut bytes, link).map_err(broken)?;
                bytes.push(b'\n');
            }
        }
        Format::Json => {
            if before == 0 {
                bytes.extend_from_slice(b"[");
            }
            for (index, link) in links.iter().enumerate() {
                bytes.extend_from_slice(if before + index == 0 { b"\n" } else { b",\n" });
                serde_json::to_writer(&mut bytes, link).map_err(broken)?;
            }
            if is_last {
                bytes.extend_from_slice(b"\n]\n");
            }
        }
    }
    Ok(bytes)
}

fn record(link: &Link) -> [String; 14] {
    let time = |at: Option<vayro_core::timestamp::Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    [
        link.short_code.clone(),
        link.domain.clone().unwrap_or_default(),
        link.target_url.clone(),
        link.title.clone(),
        link.redirect_status.to_string(),
        link.is_active.to_string(),
        time(link.expires_at),
        link.state.clone(),
        link.clicks.to_string(),
        time(link.last_click_at),
        link.created_at.to_string(),
        link.updated_at.to_string(),
        link.short_url.clone(),
        link.id.to_string(),
    ]
}
