//! Tables: one description, three renderings.

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Row, Width, presets,
};
use vayro_core::timestamp::Timestamp;

use super::{bars, text};

/// Columns of a bar in a table.
pub const BAR_COLUMNS: usize = 24;

/// One value of a table, not yet written down.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text as it is.
    Text(String),
    /// Text that says a state; the tone adds a color and never a meaning of its own.
    Toned(String, Tone),
    /// A number with grouped digits on a terminal, plain when piped.
    Count(i64),
    /// An instant: relative on a terminal, RFC 3339 when piped.
    Time(Timestamp),
    /// A part of the largest value of its column, drawn as a bar.
    Bar {
        /// The part.
        value: i64,
        /// What fills the whole bar.
        max: i64,
    },
    /// Nothing: `-` on a terminal, empty when piped.
    None,
}

/// How something is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
    /// Beside the point.
    Dim,
}

impl Value {
    /// Wraps text; empty text is [`Value::None`].
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.is_empty() { Self::None } else { Self::Text(text) }
    }

    /// Wraps an instant that may be missing.
    pub fn time(at: Option<Timestamp>) -> Self {
        at.map_or(Self::None, Self::Time)
    }

    /// Wraps an unsigned number, saturating.
    pub fn count(count: u64) -> Self {
        Self::Count(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// Writes the value for a person.
    pub fn to_human(&self, now: Timestamp) -> String {
        match self {
            Self::Text(text) | Self::Toned(text, _) => text::clean(text).into_owned(),
            Self::Count(count) => text::number(*count),
            Self::Time(at) => text::relative(*at, now),
            Self::Bar { value, max } => bars::bar(*value, *max, BAR_COLUMNS),
            Self::None => "-".to_owned(),
        }
    }

    /// Writes the value for a program.
    pub fn to_plain(&self) -> String {
        match self {
            Self::Text(text) | Self::Toned(text, _) => text::clean(text).into_owned(),
            Self::Count(count) => count.to_string(),
            Self::Time(at) => at.to_string(),
            Self::Bar { .. } | Self::None => String::new(),
        }
    }
}

/// Where a column is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Everywhere,
    TerminalOnly,
    PipeOnly,
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    title: &'static str,
    is_right: bool,
    place: Place,
    width_min: u16,
    is_whole: bool,
}

impl Column {
    /// A column of text.
    pub const fn left(title: &'static str) -> Self {
        Self { title, is_right: false, place: Place::Everywhere, width_min: 0, is_whole: false }
    }

    /// A column of numbers.
    pub const fn right(title: &'static str) -> Self {
        Self { title, is_right: true, place: Place::Everywhere, width_min: 0, is_whole: false }
    }

    /// Leaves the column out when piped.
    #[must_use]
    pub const fn terminal_only(mut self) -> Self {
        self.place = Place::TerminalOnly;
        self
    }

    /// Leaves the column out on a terminal.
    #[must_use]
    pub const fn pipe_only(mut self) -> Self {
        self.place = Place::PipeOnly;
        self
    }

    /// Makes the column at least this wide on a terminal, to line several tables up.
    #[must_use]
    pub const fn at_least(mut self, columns: u16) -> Self {
        self.width_min = columns;
        self
    }

    /// Cuts other columns first when a terminal is narrow.
    #[must_use]
    pub const fn whole(mut self) -> Self {
        self.is_whole = true;
        self
    }

    fn is_on(&self, is_terminal: bool) -> bool {
        match self.place {
            Place::Everywhere => true,
            Place::TerminalOnly => is_terminal,
            Place::PipeOnly => !is_terminal,
        }
    }
}

/// Rows under columns.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
    is_headed: bool,
    is_wrapped: bool,
}

impl Table {
    /// Makes an empty table with these columns.
    pub fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self { columns: columns.into(), rows: Vec::new(), is_headed: true, is_wrapped: false }
    }

    /// Makes a list of names and values: one thing, described.
    pub fn properties(rows: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let mut table = Self::new([Column::left(""), Column::left("")]);
        table.is_headed = false;
        table.is_wrapped = true;
        for (name, value) in rows {
            table.push([Value::Toned(name.to_owned(), Tone::Dim), value]);
        }
        table
    }

    /// Lets long values go on in the next line on a terminal, instead of cutting them.
    #[must_use]
    pub const fn wrapped(mut self) -> Self {
        self.is_wrapped = true;
        self
    }

    /// Adds a row; it has a value for every column.
    pub fn push(&mut self, row: impl Into<Vec<Value>>) {
        let row = row.into();
        debug_assert_eq!(row.len(), self.columns.len(), "a row has a value for every column");
        self.rows.push(row);
    }

    /// Tells whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes the rows tab-separated, without a header.
    pub fn to_plain(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let shown = row.iter().zip(&self.columns).filter(|(_, column)| column.is_on(false));
            let cells: Vec<String> = shown.map(|(value, _)| value.to_plain()).collect();
            text.push_str(&cells.join("\t"));
            text.push('\n');
        }
        text
    }

    /// Draws the table for a terminal of `columns` columns; long values are cut to fit.
    pub fn to_human(&self, now: Timestamp, columns: u16, has_color: bool) -> String {
        let mut table = comfy_table::Table::new();
        table
            .load_preset(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(columns)
            .set_truncation_indicator("…")
            .force_no_tty();
        if has_color {
            table.enforce_styling();
        }
        let is_shown = |index: usize| self.columns[index].is_on(true);
        if self.is_headed {
            let titles = self.columns.iter().filter(|column| column.is_on(true));
            table.set_header(titles.map(|column| Cell::new(column.title).add_attribute(Attribute::Bold)));
        }
        for values in &self.rows {
            let shown = values.iter().enumerate().filter(|(index, _)| is_shown(*index));
            let mut row = Row::from(shown.map(|(_, value)| human_cell(value, now)).collect::<Vec<_>>());
            if !self.is_wrapped {
                row.max_height(1);
            }
            table.add_row(row);
        }
        let contents = table.column_max_content_widths();
        let shown: Vec<&Column> = self.columns.iter().filter(|column| column.is_on(true)).collect();
        for (index, column) in shown.iter().enumerate() {
            if let Some(drawn) = table.column_mut(index) {
                drawn.set_padding((0, if index + 1 < shown.len() { 2 } else { 0 }));
                let content = contents[index];
                if content < column.width_min {
                    let width = column.width_min + drawn.padding_width();
                    drawn.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
                } else if column.is_whole && content <= columns / 2 {
                    drawn.set_constraint(ColumnConstraint::ContentWidth);
                }
                if column.is_right {
                    drawn.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        let mut text = String::new();
        for line in table.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn human_cell(value: &Value, now: Timestamp) -> Cell {
    let cell = Cell::new(value.to_human(now));
    match value {
        Value::Toned(_, Tone::Good) => cell.fg(Color::Green),
        Value::Toned(_, Tone::Warn) => cell.fg(Color::Yellow),
        Value::Toned(_, Tone::Bad) => cell.fg(Color::Red),
        Value::Toned(_, Tone::Dim) | Value::None => cell.add_attribute(Attribute::Dim),
        Value::Bar { .. } => cell.fg(Color::Cyan),
        Value::Text(_) | Value::Count(_) | Value::Time(_) => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new([
            Column::left("CODE"),
            Column::right("CLICKS"),
            Column::left("").terminal_only(),
            Column::left("CREATED"),
            Column::left("ID").pipe_only(),
        ]);
        let at = "2026-05-10T11:00:00Z".parse().expect("valid");
        let bar = |value| Value::Bar { value, max: 1234 };
        table.push([Value::text("launch"), Value::Count(1234), bar(1234), Value::Time(at), Value::text("x")]);
        table.push([Value::text("a\tb\x1b[1m"), Value::Count(7), bar(7), Value::None, Value::text("y")]);
        table
    }

    #[test]
    fn a_pipe_gets_tabs_and_whole_values() {
        assert_eq!(sample().to_plain(), "launch\t1234\t2026-05-10T11:00:00Z\tx\na b[1m\t7\t\ty\n");
    }

    #[test]
    fn a_terminal_gets_columns_that_fit() {
        let now = "2026-05-10T12:00:00Z".parse().expect("valid");
        insta::assert_snapshot!(sample().to_human(now, 80, false), @r"
        CODE    CLICKS                            CREATED
        launch   1,234  ████████████████████████  1 h ago
        a b[1m       7  ▏                         -
        ");
        for width in [10, 20, 40, 79] {
            for line in sample().to_human(now, width, false).lines() {
                assert!(text::width(line) <= usize::from(width), "{width}: {line}");
            }
        }
    }

    #[test]
    fn long_values_are_cut_not_wrapped() {
        let mut table = Table::new([Column::left("CODE"), Column::left("TARGET")]);
        table.push([Value::text("launch"), Value::text("https://example.com/a/rather/long/address")]);
        let now = Timestamp::EPOCH;
        insta::assert_snapshot!(table.to_human(now, 30, false), @r"
        CODE    TARGET
        launch  https://example.com/a…
        ");
    }

    #[test]
    fn colors_come_only_when_asked_for() {
        let table = Table::properties([("State", Value::Toned("active".to_owned(), Tone::Good))]);
        assert!(!table.to_human(Timestamp::EPOCH, 80, false).contains('\x1b'));
        assert!(table.to_human(Timestamp::EPOCH, 80, true).contains('\x1b'));
        assert_eq!(table.to_plain(), "State\tactive\n");
    }
}
