//! The generated reference of all settings.

use std::path::Path;

use vayro_backends::config::markdown;

/// Set to anything, it makes the test write the file instead of comparing it.
const UPDATE: &str = "UPDATE_CONFIG_REFERENCE";

#[test]
fn docs_config_md_is_what_config_vayro_toml_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config.md");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, markdown()).expect("written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == markdown(),
        "docs/config.md is out of date; run `{UPDATE}=1 cargo nextest run -p vayro-backends reference` \
         and read the difference"
    );
}
