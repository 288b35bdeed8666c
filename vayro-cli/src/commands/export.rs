//! `vayro export`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use futures::StreamExt as _;

use super::events::ChoiceArgs;
use crate::context::Context;
use crate::error::CommandError;
use crate::new_file::NewFile;
use crate::ui::{Ui, text};

/// What clicks are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Comma-separated values with a head, safe to open in a spreadsheet
    Csv,
    /// One JSON object per line
    Jsonl,
    /// Apache Parquet
    Parquet,
}

impl Format {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Parquet => "parquet",
        }
    }
}

/// Write clicks to a file, oldest first
///
/// However many there are: they are written while they are read. In CSV, a text that a spreadsheet would
/// take for a formula has an apostrophe in front.
#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    choice: ChoiceArgs,

    /// Format [default: by the file's name, otherwise csv, or jsonl with `--json`]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// File to write; it appears when it is whole [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn format(args: &ExportArgs, is_json: bool) -> Format {
    let extension = args.output.as_deref().and_then(Path::extension).and_then(|extension| extension.to_str());
    args.format.unwrap_or(match extension {
        Some("jsonl" | "ndjson" | "json") => Format::Jsonl,
        Some("parquet") => Format::Parquet,
        _ if is_json => Format::Jsonl,
        _ => Format::Csv,
    })
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: ExportArgs) -> Result<(), CommandError> {
    let format = format(&args, ui.is_json());
    if format == Format::Parquet && args.output.is_none() && std::io::stdout().is_terminal() {
        return Err(CommandError::usage("Parquet is not for a terminal")
            .hint("name a file with `--output clicks.parquet`"));
    }
    let api = context.api()?;
    let query = args.choice.query(&api, context).await?;
    let mut file = args.output.as_deref().map(NewFile::begin).transpose()?;
    let mut pieces = api.export_events(&query, format.as_str()).await?.bytes_stream();
    let progress = ui.progress("Exporting, in KiB", None);
    let mut len = 0_u64;
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| api.broken(error))?;
        match &mut file {
            Some(file) => file.write(&piece)?,
            None => ui.write_bytes(&piece)?,
        }
        len += piece.len() as u64;
        progress.set(len / 1024);
    }
    drop(progress);
    if let Some(file) = file {
        let path = file.finish()?;
        ui.note(&format!("Wrote {} to {}", text::bytes(len), path.display()));
    }
    Ok(())
}
