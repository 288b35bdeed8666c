//! Holds the layers of ARCHITECTURE.md over what cargo says each crate depends on.

use std::collections::BTreeSet;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// What each of our crates may use of ours, and the foreign crates it must not use.
const LAYERS: &[(&str, &[&str], &[&str])] = &[
    ("vayro-core", &[], &["tokio", "sqlx", "redis", "axum", "pingora", "reqwest"]),
    ("vayro-postgres", &["vayro-core"], &["redis", "axum", "pingora", "reqwest"]),
    ("vayro-sqlite", &["vayro-core"], &["redis", "axum", "pingora", "reqwest"]),
    ("vayro-redis", &["vayro-core"], &["sqlx", "axum", "pingora", "reqwest"]),
    ("vayro-spool", &["vayro-core"], &["sqlx", "redis", "axum", "pingora", "reqwest"]),
    ("vayro-enrich", &["vayro-core"], &["tokio", "sqlx", "redis", "axum", "pingora", "reqwest"]),
    (
        "vayro-backends",
        &["vayro-core", "vayro-postgres", "vayro-sqlite", "vayro-redis", "vayro-spool"],
        &["sqlx", "redis", "axum", "pingora", "reqwest"],
    ),
    ("vayro-edge", &["vayro-core", "vayro-backends"], &["sqlx", "redis", "axum"]),
    ("vayro-api", &["vayro-core", "vayro-enrich", "vayro-backends"], &["sqlx", "redis", "pingora"]),
    (
        "vayro-worker",
        &["vayro-core", "vayro-enrich", "vayro-backends"],
        &["sqlx", "redis", "axum", "pingora"],
    ),
    (
        "vayro-cli",
        &["vayro-core", "vayro-backends", "vayro-edge", "vayro-api", "vayro-worker"],
        &["sqlx", "redis", "pingora"],
    ),
    // Only its benchmarks, which fill databases and streams through the ports.
    (
        "vayro-testing",
        &["vayro-core", "vayro-postgres", "vayro-sqlite", "vayro-spool", "vayro-worker"],
        &["axum", "pingora"],
    ),
];

#[test]
fn crates_use_only_the_layers_below_them() {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo describes the workspace");
    let known: BTreeSet<&str> = LAYERS.iter().map(|(name, ..)| *name).collect();
    let mut broken = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let Some((_, ours, foreign)) = LAYERS.iter().find(|(layer, ..)| *layer == name) else {
            broken.push(format!("{name} is in no layer"));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal) {
            let used = dependency.name.as_str();
            if known.contains(used) && !ours.contains(&used) {
                broken.push(format!("{name} must not use {used}: it lies beside or above it"));
            }
            if foreign.contains(&used) {
                broken.push(format!(
                    "{name} must not use {used}: it belongs behind a port or in another layer"
                ));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn sql_and_redis_words_stay_in_their_adapters() {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo describes the workspace");
    let mut found = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let dir = package.manifest_path.parent().expect("a manifest lies in a folder").join("src");
        for file in rust_files(dir.as_std_path()) {
            let text = std::fs::read_to_string(&file).expect("a source file can be read");
            // What tests show of other processes' answers has names in it.
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            // Test data goes in past the ports on purpose.
            let sql = text.contains("sqlx::")
                && !["vayro-postgres", "vayro-sqlite", "vayro-testing"].contains(&name);
            let names = text.contains("\"stream:clicks") && !["vayro-redis", "vayro-testing"].contains(&name);
            if sql || names {
                found.push(file.display().to_string());
            }
        }
    }
    assert!(found.is_empty(), "SQL or Redis names outside their adapters: {found:?}");
}

fn rust_files(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
