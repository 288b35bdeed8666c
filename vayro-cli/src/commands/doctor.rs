//! `vayro doctor`.

mod certificates;
mod dependencies;
mod guessing;
mod machine;
mod promise;

use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::error::CommandError;
use crate::server::config::{ConfigArgs, checked};
use crate::server::settings::ServerSettings;
use crate::ui::Ui;
use crate::ui::table::{Column, Table, Tone, Value};

/// Look for what is wrong, or will be
///
/// Reaches every dependency, looks at the settings of Redis that clicks depend on, at the GeoIP file,
/// the clock, the disk and the ports, says how easily codes are guessed, and what is promised about
/// clicks with these settings. Looks at the certificates that the instance gets by itself.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Note,
    Warning,
    Failed,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Ok => Tone::Good,
            Self::Note => Tone::Dim,
            Self::Warning => Tone::Warn,
            Self::Failed => Tone::Bad,
        }
    }
}

/// What was looked at and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    detail: String,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self { check, verdict, detail: detail.into() }
    }
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: DoctorArgs) -> Result<(), CommandError> {
    let layers = args.config.layers(context, &[])?;
    let settings = checked(&layers, ServerSettings::read)?;
    let changed = layers.show().iter().filter(|setting| !setting.is_default).count();
    let sound = match changed {
        1 => "sound, one setting differs from its default".to_owned(),
        _ => format!("sound, {changed} settings differ from their defaults"),
    };
    let mut findings = vec![Finding::new("configuration", Verdict::Ok, sound)];
    findings.extend(machine::data(&settings));
    findings.extend(dependencies::back_ends(&settings, context.now()).await);
    findings.push(machine::geoip(&settings));
    findings.extend(dependencies::ports(&settings).await);
    findings.push(dependencies::clock(context).await);
    findings.extend(promise::promises(&settings.common.backend));
    ui.show(&findings, |findings| table(findings))?;

    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    match (count(Verdict::Failed), count(Verdict::Warning)) {
        (0, 0) => {
            ui.note("Nothing is wrong");
            Ok(())
        }
        (0, warnings) => {
            ui.note(&format!("Works, with {}", crate::ui::text::plural(warnings, "warning")));
            Ok(())
        }
        (failed, _) => {
            Err(CommandError::failed(format!("{} failed", crate::ui::text::plural(failed, "check"))))
        }
    }
}

fn table(findings: &[Finding]) -> Table {
    let mut table =
        Table::new([Column::left("CHECK"), Column::left("RESULT"), Column::left("DETAIL")]).wrapped();
    for finding in findings {
        table.push([
            Value::text(finding.check),
            Value::Toned(finding.verdict.as_str().to_owned(), finding.verdict.tone()),
            Value::text(&finding.detail),
        ]);
    }
    table
}
