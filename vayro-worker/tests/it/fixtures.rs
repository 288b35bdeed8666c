//! Files the tests compare with.

use std::path::PathBuf;

use cargo_metadata::MetadataCommand;
use serde::Deserialize;

/// One case of uap-core's `test_ua.yaml`, `test_os.yaml` or `test_device.yaml`.
#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) user_agent_string: String,
    pub(crate) family: String,
}

#[derive(Deserialize)]
struct Cases {
    test_cases: Vec<Case>,
}

/// Returns a fixture of the uap-core release inside the `uaparser` crate: the very release whose rules
/// are built in.
pub(crate) fn uap_core(name: &str) -> Vec<Case> {
    let path = uap_core_folder().join("tests").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let cases: Cases =
        serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    cases.test_cases
}

/// Returns the folder of uap-core inside the `uaparser` crate, wherever cargo put it.
pub(crate) fn uap_core_folder() -> PathBuf {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .other_options(vec!["--offline".to_owned()])
        .exec()
        .expect("cargo metadata");
    let package = metadata.packages.iter().find(|package| package.name.as_str() == "uaparser");
    let manifest = &package.expect("uaparser is a dependency").manifest_path;
    manifest.parent().expect("a file has a folder").join("src/core").into()
}
