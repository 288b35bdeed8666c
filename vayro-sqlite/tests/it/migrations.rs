//! The migrations of the two engines say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn folder(engine: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(engine)
}

fn names(engine: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder(engine))
        .expect("the folder is there")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

fn sql(engine: &str, name: &str) -> String {
    std::fs::read_to_string(folder(engine).join(name)).expect("readable")
}

/// Reads the columns of every table, as our migrations are laid out: one column per line, indented by four; changes
/// of tables on one line.
fn columns(engine: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for name in names(engine) {
        let mut table = None;
        for line in sql(engine, &name).lines() {
            if let Some(rest) = line.strip_prefix("CREATE TABLE ") {
                table = rest.split_whitespace().next().map(str::to_owned);
            } else if let Some(dropped) = line.strip_prefix("DROP TABLE ") {
                tables.remove(dropped.trim_end_matches(';')).expect("only what is there is dropped");
            } else if let Some(change) = line.strip_prefix("ALTER TABLE ") {
                alter(&mut tables, change.trim_end_matches(';'));
            } else if line.starts_with(')') {
                table = None;
            } else if let (Some(table), Some(column)) = (&table, line.strip_prefix("    ")) {
                let word: String =
                    column.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                if !matches!(word.as_str(), "" | "PRIMARY" | "UNIQUE" | "CONSTRAINT" | "CHECK") {
                    tables.entry(table.clone()).or_default().insert(word);
                }
            }
        }
    }
    tables
}

fn alter(tables: &mut BTreeMap<String, BTreeSet<String>>, change: &str) {
    // How columns are stored is said on further lines.
    let Some((table, change)) = change.split_once(' ') else { return };
    if let Some(name) = change.strip_prefix("RENAME TO ") {
        let columns = tables.remove(table).expect("only what is there is renamed");
        tables.insert(name.to_owned(), columns);
    }
    for column in change.split("ADD COLUMN ").skip(1) {
        let column = column.split_whitespace().next().expect("a column").to_owned();
        assert!(tables.get_mut(table).expect("a table that is there").insert(column));
    }
}

#[test]
fn numbers_and_names_are_equal() {
    assert_eq!(names("sqlite"), names("postgres"));
    assert!(names("sqlite").len() >= 3);
}

#[test]
fn every_migration_begins_with_its_reason() {
    for engine in ["sqlite", "postgres"] {
        for name in names(engine) {
            assert!(sql(engine, &name).starts_with("-- "), "{engine}/{name}");
        }
    }
}

#[test]
fn tables_and_columns_are_equal() {
    let mut sqlite = columns("sqlite");
    // A sequence in the other engine.
    assert!(sqlite.remove("link_revision").is_some());
    let postgres = columns("postgres");
    assert_eq!(sqlite, postgres);
    assert!(sqlite.len() >= 12, "{:?}", sqlite.keys());
    assert!(sqlite["click_events"].contains("user_agent"), "{:?}", sqlite["click_events"]);
    assert!(sqlite["click_rollups"].contains("day_visitors"), "{:?}", sqlite["click_rollups"]);
}
