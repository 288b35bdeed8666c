//! `vayro retention show`.

use clap::Args;
use vayro_backends::config::keep_text;
use vayro_core::account::Plan;
use vayro_core::day::Day;
use vayro_core::retention::{Retention, RetentionReview};

use super::{SourceArgs, failed, open};
use crate::context::Context;
use crate::error::CommandError;
use crate::ui::table::{Column, Table, Value};
use crate::ui::{Ui, text};

/// Show how long clicks are kept and what is too old
///
/// Counts what is too old and still there, which reads the clicks of those days.
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    source: SourceArgs,
}

/// Runs the command.
pub async fn run(ui: &mut Ui, context: &Context, args: ShowArgs) -> Result<(), CommandError> {
    let (backends, retention) = open(context, &args.source).await?;
    let cut = retention.cut(context.now());
    let review = backends.retention.review(&cut).await;
    backends.close().await;
    let review = review.map_err(failed)?;
    print(ui, &retention, &review, |plan| cut.clicks(plan), cut.rollups())
}

/// Prints what is kept and what is too old.
pub(super) fn print(
    ui: &mut Ui,
    retention: &Retention,
    review: &RetentionReview,
    first_day: impl Fn(Plan) -> Option<Day>,
    first_rollup: Option<Day>,
) -> Result<(), CommandError> {
    let of = |plan| review.plans.iter().find(|found| found.plan == plan);
    if ui.is_json() {
        let plans: Vec<_> = Plan::ALL
            .into_iter()
            .map(|plan| {
                serde_json::json!({
                    "plan": plan.as_str(),
                    "keep": keep_text(retention.clicks(plan)),
                    "kept_since": first_day(plan),
                    "workspaces": of(plan).map(|found| found.workspaces),
                    "clicks_due": of(plan).map_or(0, |found| found.clicks),
                })
            })
            .collect();
        let rollups = serde_json::json!({
            "keep": keep_text(retention.rollups),
            "kept_since": first_rollup,
            "due": review.rollups,
        });
        return ui
            .json(&serde_json::json!({ "plans": plans, "months_due": review.months, "rollups": rollups }));
    }
    let mut table = Table::new([
        Column::left("PLAN"),
        Column::left("CLICKS KEPT"),
        Column::left("SINCE"),
        Column::right("WORKSPACES"),
        Column::right("DUE"),
    ]);
    for plan in Plan::ALL {
        table.push([
            Value::text(plan.as_str()),
            Value::text(keep_text(retention.clicks(plan))),
            Value::text(first_day(plan).map(|day| day.to_string()).unwrap_or_default()),
            of(plan).map_or(Value::text(""), |found| Value::count(found.workspaces)),
            Value::count(of(plan).map_or(0, |found| found.clicks)),
        ]);
    }
    let table = ui.render(&table);
    ui.write(&table)?;
    for month in &review.months {
        ui.note(&format!("The month from {month} goes as a whole"));
    }
    let rollups = text::plural(usize::try_from(review.rollups).unwrap_or(usize::MAX), "rollup");
    ui.note(&format!("Rollups are kept {}; {rollups} are due", kept(&keep_text(retention.rollups))));
    Ok(())
}

fn kept(text: &str) -> String {
    if text == vayro_backends::config::FOREVER { "for ever".to_owned() } else { format!("for {text}") }
}
