//! `vayro link import`.

mod code;
mod file;
mod row;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::client::Api;
use crate::client::links::{BULK_LEN_MAX, BulkResult, Link, NewLink};
use crate::context::Context;
use crate::error::{CommandError, ErrorKind};
use crate::ui::progress::Progress;
use crate::ui::table::{Column, Table, Tone, Value};
use crate::ui::{Ui, text};
use row::Row;

/// On a terminal, results of longer imports are shown only where something needs attention.
const SHOWN_ROWS_MAX: usize = 50;

/// Create links from a CSV or JSON file
///
/// Reads the columns `target_url` (needed), `short_code`, `domain`, `title`, `redirect_status`,
/// `is_active` and `expires_at`, in any order, and what `vayro link export` writes. JSON is an array
/// of objects or one object per line.
///
/// Prints a result per row. Running it again is safe: a row whose code already leads to the same
/// target is reported as `unchanged`. A row without a code gets one made from its content, so that it
/// is not made twice either.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// File to read; `-` is stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Format of the file [default: by its name]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Check every row and create nothing
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Leave out rows before this one, as the last run said
    #[arg(long, value_name = "ROW", default_value_t = 1)]
    from_row: usize,
}

/// Formats of files of links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Comma-separated with a header
    Csv,
    /// An array of objects
    Json,
    /// One object per line
    Jsonl,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Created,
    Unchanged,
    Valid,
    Failed,
}

impl Status {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Unchanged => "unchanged",
            Self::Valid => "valid",
            Self::Failed => "failed",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Created | Self::Valid => Tone::Good,
            Self::Unchanged => Tone::Dim,
            Self::Failed => Tone::Bad,
        }
    }
}

/// The result of one row.
#[derive(Clone, Debug, Serialize)]
struct RowResult {
    row: usize,
    status: Status,
    short_url: Option<String>,
    target_url: String,
    error: Option<String>,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: ImportArgs) -> Result<(), CommandError> {
    let input = file::read(&args.file, args.format)?;
    if !input.ignored.is_empty() {
        ui.warn(&format!("columns that no link has are left out: {}", input.ignored.join(", ")));
    }
    let rows: Vec<Row> = input.rows.into_iter().filter(|row| row.number >= args.from_row).collect();
    if args.dry_run {
        let results: Vec<RowResult> = rows.iter().map(check).collect();
        stream(ui, &results)?;
        return conclude(ui, &results, "would be created");
    }
    let api = context.api()?;
    let progress = ui.progress("Importing", u64::try_from(rows.len()).ok());
    let mut results: Vec<RowResult> = Vec::with_capacity(rows.len());
    let mut failure = None;
    for chunk in rows.chunks(BULK_LEN_MAX) {
        let next_row = chunk[0].number;
        context.if_interrupted(resume_hint(next_row));
        match send(&api, chunk, &progress).await {
            Ok(done) => {
                stream(ui, &done)?;
                results.extend(done);
            }
            Err(error) => {
                failure = Some((next_row, error));
                break;
            }
        }
    }
    drop(progress);
    match failure {
        None => conclude(ui, &results, "created"),
        Some((next_row, error)) => {
            let made = results.iter().filter(|result| result.status == Status::Created).count();
            ui.note(&format!("Stopped after {} created.", text::plural(made, "link")));
            print_all(ui, &results)?;
            Err(error.hint(resume_hint(next_row)))
        }
    }
}

fn resume_hint(row: usize) -> String {
    format!("go on with the same command and `--from-row {row}`")
}

/// Creates the links of a chunk and returns a result per row.
async fn send(api: &Api, chunk: &[Row], progress: &Progress) -> Result<Vec<RowResult>, CommandError> {
    let good: Vec<NewLink> =
        chunk.iter().filter_map(|row| Some(row.with_code(row.link.as_ref().ok()?, 0))).collect();
    let answers = if good.is_empty() { Vec::new() } else { api.create_links(&good).await? };
    let mut answers = answers.into_iter();
    let mut results = Vec::with_capacity(chunk.len());
    for row in chunk {
        results.push(match &row.link {
            Err(reason) => failed(row.number, String::new(), reason.clone()),
            Ok(new) => match answers.next() {
                Some(answer) => judge(api, row, new, answer).await?,
                None => failed(row.number, new.target_url.clone(), "the API gave no result".to_owned()),
            },
        });
        progress.advance(1);
    }
    Ok(results)
}

/// Turns the answer about one link into a result, trying other codes if ours was taken by something else.
async fn judge(api: &Api, row: &Row, new: &NewLink, first: BulkResult) -> Result<RowResult, CommandError> {
    let mut answer = first;
    for attempt in 1.. {
        let problem = match (answer.link, answer.problem) {
            (Some(link), _) => return Ok(done(row.number, Status::Created, link)),
            (None, Some(problem)) => problem,
            (None, None) => break,
        };
        if problem.status == 409
            && let Some(link) = unchanged(api, &row.with_code(new, attempt - 1)).await?
        {
            return Ok(done(row.number, Status::Unchanged, link));
        }
        if problem.code != "short_code_taken" || row.nth.is_none() || attempt >= code::TRIES_MAX {
            return Ok(failed(row.number, new.target_url.clone(), problem.sentence()));
        }
        answer = match api.create_link(&row.with_code(new, attempt)).await {
            Ok(link) => BulkResult { link: Some(link), problem: None },
            Err(error) => match error.problem() {
                Some(problem) if !error.is_fatal() => {
                    BulkResult { link: None, problem: Some(problem.clone()) }
                }
                _ => return Err(error.into()),
            },
        };
    }
    Ok(failed(row.number, new.target_url.clone(), "the API gave no result".to_owned()))
}

fn done(row: usize, status: Status, link: Link) -> RowResult {
    RowResult { row, status, short_url: Some(link.short_url), target_url: link.target_url, error: None }
}

/// Returns our own link that already has the code and leads to the same target.
async fn unchanged(api: &Api, new: &NewLink) -> Result<Option<Link>, CommandError> {
    let Some(code) = &new.short_code else { return Ok(None) };
    let reference = match &new.domain {
        Some(domain) => format!("{domain}/{code}"),
        None => code.clone(),
    };
    let Ok(reference) = reference.parse::<super::reference::LinkRef>() else { return Ok(None) };
    match reference.find(api).await {
        Ok(link) if link.deleted_at.is_none() && is_same_target(&link.target_url, &new.target_url) => {
            Ok(Some(link))
        }
        Ok(_) => Ok(None),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Usage) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_same_target(stored: &str, asked: &str) -> bool {
    vayro_core::target::TargetUrl::parse(asked, &[]).is_ok_and(|target| target.as_str() == stored)
}

fn failed(row: usize, target_url: String, error: String) -> RowResult {
    RowResult { row, status: Status::Failed, short_url: None, target_url, error: Some(error) }
}

/// Judges a row without asking the server.
fn check(row: &Row) -> RowResult {
    match &row.link {
        Ok(new) => RowResult {
            row: row.number,
            status: Status::Valid,
            short_url: new.short_code.clone(),
            target_url: new.target_url.clone(),
            error: None,
        },
        Err(reason) => failed(row.number, String::new(), reason.clone()),
    }
}

/// Prints results as they come where a program reads them; a broken pipe does not stop the import.
fn stream(ui: &mut Ui, results: &[RowResult]) -> Result<(), CommandError> {
    if ui.is_human() || ui.is_json() {
        return Ok(());
    }
    let text = ui.render(&table(results));
    match ui.write(&text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Prints what [`stream`] has not.
fn print_all(ui: &mut Ui, results: &[RowResult]) -> Result<(), CommandError> {
    if ui.is_json() {
        let count = |status| results.iter().filter(|result| result.status == status).count();
        return ui.json(&serde_json::json!({
            "created": count(Status::Created),
            "unchanged": count(Status::Unchanged),
            "valid": count(Status::Valid),
            "failed": count(Status::Failed),
            "results": results,
        }));
    }
    if !ui.is_human() {
        return Ok(());
    }
    let shown: Vec<RowResult> = if results.len() <= SHOWN_ROWS_MAX {
        results.to_vec()
    } else {
        let bad = results.iter().filter(|result| result.status == Status::Failed);
        bad.take(SHOWN_ROWS_MAX).cloned().collect()
    };
    if shown.is_empty() {
        return Ok(());
    }
    let text = ui.render(&table(&shown));
    ui.write(&text)
}

/// Prints what was not printed yet, and ends with a failure if a row failed.
fn conclude(ui: &mut Ui, results: &[RowResult], verb: &str) -> Result<(), CommandError> {
    print_all(ui, results)?;
    let count = |status| results.iter().filter(|result| result.status == status).count();
    let good = count(Status::Created) + count(Status::Valid);
    let (unchanged, bad) = (count(Status::Unchanged), count(Status::Failed));
    let mut summary = format!("{} {verb}", text::plural(good, "link"));
    if unchanged > 0 {
        write!(summary, ", {unchanged} unchanged").expect("a string grows");
    }
    ui.note(&summary);
    if bad == 0 {
        return Ok(());
    }
    Err(CommandError::failed(format!("{bad} of {} failed", text::plural(results.len(), "row")))
        .hint("mend these rows and run it again; rows that are done stay as they are"))
}

fn table(results: &[RowResult]) -> Table {
    let mut table = Table::new([
        Column::right("ROW"),
        Column::left("RESULT"),
        Column::left("SHORT URL"),
        Column::left("TARGET"),
        Column::left("REASON"),
    ]);
    for result in results {
        table.push([
            Value::count(result.row as u64),
            Value::Toned(result.status.as_str().to_owned(), result.status.tone()),
            Value::text(result.short_url.clone().unwrap_or_default()),
            Value::text(&result.target_url),
            Value::text(result.error.clone().unwrap_or_default()),
        ]);
    }
    table
}
