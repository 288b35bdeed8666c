//! What a benchmark says: a table for people, JSON for machines, a line per aim.

use std::io::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

/// Which side of its bound a figure has to be on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// The figure must not be above it.
    AtMost(f64),
    /// The figure must not be below it.
    AtLeast(f64),
}

/// A benchmark's results.
#[derive(Debug)]
pub struct Report {
    name: &'static str,
    columns: Vec<&'static str>,
    rows: Vec<(String, Vec<f64>)>,
    aims: Vec<(String, f64, Bound)>,
    notes: Vec<String>,
}

/// Returns the folder of results.
pub fn dir() -> PathBuf {
    std::env::var_os("VAYRO_BENCH_DIR").unwrap_or_else(|| "target/bench".into()).into()
}

impl Report {
    /// Begins a report whose table has these columns behind the row's name.
    pub fn new(name: &'static str, columns: &[&'static str]) -> Self {
        Self { name, columns: columns.to_vec(), rows: Vec::new(), aims: Vec::new(), notes: Vec::new() }
    }

    /// Adds a row; one figure per column, NaN where there is none.
    pub fn row(&mut self, name: impl Into<String>, figures: &[f64]) {
        self.rows.push((name.into(), figures.to_vec()));
    }

    /// Adds an aim.
    pub fn aim(&mut self, name: impl Into<String>, figure: f64, bound: Bound) {
        self.aims.push((name.into(), figure, bound));
    }

    /// Adds a sentence below the table.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Writes `target/bench/NAME.json`, prints the table and a line per aim.
    ///
    /// # Errors
    ///
    /// When the file or standard output cannot be written.
    pub fn finish(&self) -> std::io::Result<()> {
        let dir = dir();
        std::fs::create_dir_all(&dir)?;
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|(name, figures)| {
                let mut row = json!({ "name": name });
                for (column, figure) in self.columns.iter().zip(figures) {
                    row[*column] = json!(figure);
                }
                row
            })
            .collect();
        let aims: Vec<Value> = self
            .aims
            .iter()
            .map(|(name, figure, bound)| {
                json!({ "name": name, "figure": figure, "bound": bound.text(), "met": bound.holds(*figure) })
            })
            .collect();
        let document = json!({ "bench": self.name, "rows": rows, "aims": aims, "notes": self.notes });
        std::fs::write(dir.join(format!("{}.json", self.name)), format!("{document:#}\n"))?;
        self.print()
    }

    fn print(&self) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        let width = self.rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        write!(out, "{:width$}", "")?;
        for column in &self.columns {
            write!(out, "  {column:>14}")?;
        }
        writeln!(out)?;
        for (name, figures) in &self.rows {
            write!(out, "{name:width$}")?;
            for figure in figures {
                if figure.is_nan() { write!(out, "  {:>14}", "")? } else { write!(out, "  {figure:>14.2}")? }
            }
            writeln!(out)?;
        }
        for note in &self.notes {
            writeln!(out, "{note}")?;
        }
        for (name, figure, bound) in &self.aims {
            let verdict = if bound.holds(*figure) { "met" } else { "short" };
            writeln!(out, "aim {name} {figure:.2} {} {verdict}", bound.text())?;
        }
        Ok(())
    }
}

impl Bound {
    fn holds(self, figure: f64) -> bool {
        match self {
            Self::AtMost(bound) => figure <= bound,
            Self::AtLeast(bound) => figure >= bound,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(bound) => format!("<={bound}"),
            Self::AtLeast(bound) => format!(">={bound}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_include_their_edge() {
        assert!(Bound::AtMost(1.5).holds(1.5));
        assert!(!Bound::AtMost(1.5).holds(1.51));
        assert!(Bound::AtLeast(0.4).holds(0.4));
        assert!(!Bound::AtLeast(0.4).holds(f64::NAN));
    }
}
