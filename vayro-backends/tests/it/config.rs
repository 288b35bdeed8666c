//! Configuration from its sources.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use vayro_backends::config::{
    BackendConfig, ConfigErrors, InstanceSettings, Layers, LogFormat, LogSettings, Size, Source, Span,
    SpoolConfig,
};

fn env(variables: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    let owned: Vec<_> = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    owned.into_iter()
}

fn load(file: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Layers {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("vayro.toml");
    std::fs::write(&path, file).expect("written");
    let flags: Vec<_> = flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    Layers::load(Some(&path), env(variables), &flags).expect("the file is TOML")
}

/// Reads every section this crate knows and returns what is wrong, as `key: message (from source kind)`.
fn mistakes(layers: &Layers) -> Vec<String> {
    let mut errors = layers.errors();
    drop(InstanceSettings::read(layers, &mut errors));
    drop(BackendConfig::read(layers, &mut errors));
    drop(layers.section::<LogSettings>("log", &mut errors));
    errors
        .mistakes()
        .iter()
        .map(|mistake| {
            let source = match &mistake.source {
                Source::File(_) => "file",
                Source::VariableFile { name, .. } | Source::Variable(name) => name,
                Source::Flag(_) => "flag",
                Source::Default => "default",
            };
            let value = mistake.value.as_deref().unwrap_or("-");
            format!("{} = {value}: {} [{source}]", mistake.key, mistake.message)
        })
        .collect()
}

fn read<T>(layers: &Layers, read: impl FnOnce(&Layers, &mut ConfigErrors) -> Option<T>) -> T {
    let mut errors = layers.errors();
    let value = read(layers, &mut errors);
    errors.finish().expect("no mistakes");
    value.expect("a value when there is no mistake")
}

#[test]
fn the_defaults_are_the_embedded_set_on_loopback() {
    let layers = Layers::load(None, env(&[]), &[]).expect("loads");
    assert_eq!(mistakes(&layers), [""; 0]);
    let BackendConfig::Embedded(embedded) = read(&layers, BackendConfig::read) else { panic!("embedded") };
    assert_eq!(embedded.data_dir, Path::new("./vayro-data"));
    let instance = read(&layers, InstanceSettings::read);
    assert_eq!(instance.default_host().as_str(), "127.0.0.1");
    assert!(!instance.is_api_https());
    let log: LogSettings = read(&layers, |layers, errors| layers.section("log", errors));
    assert_eq!(log.format, LogFormat::Text);
    assert!(log.level.starts_with("info,"), "{}", log.level);
}

#[test]
fn stronger_sources_win_and_are_named() {
    let layers = load(
        "[log]\nlevel = \"warn\"\nformat = \"json\"\n[spool]\ndrain_rate = 7\nsync_every = \"1s\"",
        &[("VAYRO_LOG__LEVEL", "debug"), ("VAYRO_SPOOL__DRAIN_RATE", "8")],
        &[("log.level", "error")],
    );
    assert_eq!(mistakes(&layers), [""; 0]);
    let shown = layers.show();
    let of = |key: &str| {
        let setting = shown.iter().find(|shown| shown.key == key).expect("is shown");
        (setting.value.as_str(), setting.source.rsplit('/').next().unwrap_or_default(), setting.is_default)
    };
    assert_eq!(of("log.level"), ("\"error\"", "flag for log.level", false));
    assert_eq!(of("spool.drain_rate"), ("8", "VAYRO_SPOOL__DRAIN_RATE", false));
    assert_eq!(of("log.format"), ("\"json\"", "vayro.toml", false));
    assert_eq!(of("spool.segment_size"), ("\"16MiB\"", "default", true));
    assert!(shown.is_sorted_by(|a, b| a.key < b.key));
}

#[test]
fn every_mistake_is_reported_at_once_with_key_value_and_source() {
    let layers = load(
        r#"
        [instance]
        short_url = "ftp://go.example.com"
        api_url = "not an address"
        [backend]
        set = "clusterd"
        lookup_concurrency = "many"
        lookup_wait = "5 parsecs"
        data_dirr = "/data"
        [spool]
        size_max = "1MiB"
        [sppol]
        x = 1
        [log]
        format = 7
        "#,
        &[
            ("VAYRO_SPOOL__DRAIN_RATE", "fast"),
            ("VAYRO_POSTGRES__CONNECTIONS", "0"),
            ("VAYRO_REDIS__URL_FILE", "/nowhere/at/all"),
            ("VAYRO_NO__SUCH", "1"),
            ("VAYRO_TEST_POSTGRES", "none of ours"),
            ("PATH", "/bin"),
        ],
        &[("log.level", "info,=x"), ("edge", "x")],
    );
    let mut found = mistakes(&layers);
    found.sort();
    assert_eq!(
        found,
        [
            "backend.data_dirr = -: is not a setting; `backend.data_dir` is [file]",
            "backend.lookup_concurrency = \"many\": must be a whole number, not a text [file]",
            "backend.lookup_wait = \"5 parsecs\": `5 parsecs` is not a duration such as `5ms`, `30s`, `1h30m` \
             or `7d` [file]",
            "backend.set = \"clusterd\": unknown variant `clusterd`, expected `embedded` or `clustered` [file]",
            "edge = -: is not a setting [flag]",
            "instance.api_url = \"not an address\": relative URL without a base: \"not an address\" [file]",
            "log.format = 7: must be a text, not a whole number [file]",
            "log.level = \"info,=x\": is no log filter: invalid filter directive [flag]",
            "no.such = -: is not a setting [VAYRO_NO__SUCH]",
            "redis.url = -: cannot be read: No such file or directory (os error 2) [VAYRO_REDIS__URL_FILE]",
            "spool.drain_rate = \"fast\": must be a whole number [VAYRO_SPOOL__DRAIN_RATE]",
            "sppol = -: is not a setting [file]",
        ]
    );
}

#[test]
fn rules_between_settings_name_the_setting_to_change() {
    let layers = load(
        "[instance]\nshort_url = \"ftp://go.example.com\"\napi_url = \"https://u:p@api.example.com/v1\"",
        &[("VAYRO_BACKEND__SET", "clustered"), ("VAYRO_POSTGRES__CONNECTIONS", "0")],
        &[("spool.size_max", "1MiB"), ("redis.root_certificates", "/nowhere/at/all")],
    );
    assert_eq!(
        mistakes(&layers),
        [
            "instance.short_url = \"ftp://go.example.com\": must begin with `http://` or `https://` [file]",
            "instance.api_url = \"https://u:p@api.example.com/v1\": must end after the host and port [file]",
            "postgres.url = \"\": is needed because `backend.set` is `clustered` [default]",
            "redis.url = \"\": is needed because `backend.set` is `clustered` [default]",
            "postgres.connections = 0: must be more than zero [VAYRO_POSTGRES__CONNECTIONS]",
            "spool.size_max = \"1MiB\": must hold at least two segments of `spool.segment_size` [flag]",
            "redis.root_certificates = \"/nowhere/at/all\": cannot be read: No such file or directory (os \
             error 2) [flag]",
        ]
    );
}

#[test]
fn a_file_that_cannot_be_read_or_parsed_is_said_with_its_name() {
    let missing = Layers::load(Some(Path::new("/nowhere/vayro.toml")), env(&[]), &[]).expect_err("missing");
    assert!(missing.to_string().contains("/nowhere/vayro.toml"), "{missing}");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("broken.toml");
    std::fs::write(&path, "[log\nlevel").expect("written");
    let broken = Layers::load(Some(&path), env(&[]), &[]).expect_err("broken").to_string();
    assert!(broken.contains("is not TOML") && broken.contains("broken.toml"), "{broken}");
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("url");
    std::fs::write(&path, "postgres://vayro:hunter2@db.internal/vayro\n").expect("written");
    let name = path.to_str().expect("text");
    let variables = [
        ("VAYRO_BACKEND__SET", "clustered"),
        ("VAYRO_POSTGRES__URL_FILE", name),
        ("VAYRO_REDIS__URL", "redis://:hunter2@cache.internal/"),
    ];
    let layers = Layers::load(None, env(&variables), &[]).expect("loads");
    let config = read(&layers, BackendConfig::read);
    let BackendConfig::Clustered(clustered) = &config else { panic!("clustered") };
    assert_eq!(clustered.postgres.url.expose_secret(), "postgres://vayro:hunter2@db.internal/vayro");
    let said = format!("{config:?} {:?}", layers.show());
    assert!(!said.contains("hunter2"), "{said}");
    assert!(said.contains("db.internal") && said.contains("cache.internal"), "{said}");

    let wrong = load("[postgres]\nurl = [\"hunter2\"]\n[redis]\nurl = 4711", &[], &[]);
    let said = mistakes(&wrong).join(" ");
    assert!(said.contains("postgres.url") && said.contains("redis.url"), "{said}");
    assert!(!said.contains("hunter2") && !said.contains("4711"), "{said}");
}

#[test]
fn lists_are_texts_with_commas_outside_the_file() {
    for (variable, hosts) in [("a.example, B.example ,", 2), ("[\"a.example\"]", 1), ("", 0)] {
        let layers = load("", &[("VAYRO_INSTANCE__TRUSTED_HOSTS", variable)], &[]);
        assert_eq!(read(&layers, InstanceSettings::read).trusted_hosts.len(), hosts, "{variable}");
    }
    let layers = load("[instance]\ntrusted_hosts = [\"a.example\", \"b c\"]", &[], &[]);
    let found = mistakes(&layers);
    assert!(found.len() == 1 && found[0].starts_with("instance.trusted_hosts = "), "{found:?}");
}

/// A role's settings that do not fit `config/vayro.toml`, as after a mistake of ours.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its reading counts")]
struct Narrow {
    format: LogFormat,
}

#[test]
fn a_struct_that_lacks_a_setting_is_a_mistake_and_no_endless_loop() {
    let layers = Layers::load(None, env(&[("VAYRO_LOG__LEVEL", "debug")]), &[]).expect("loads");
    let mut errors = layers.errors();
    assert!(layers.section::<Narrow>("log", &mut errors).is_none());
    assert!(!errors.mistakes().is_empty());
    assert!(errors.finish().is_err());
}

#[test]
fn no_setting_needs_a_sections_name_to_be_unique() {
    // `section` takes what begins with `spool.`, not what begins with `spool`.
    let layers = Layers::load(None, env(&[]), &[]).expect("loads");
    let mut errors = layers.errors();
    assert!(
        layers
            .section::<std::collections::BTreeMap<String, String>>("spo", &mut errors)
            .is_some_and(|s| s.is_empty())
    );
}

#[derive(Clone, Copy, Debug)]
enum Way {
    File,
    Variable,
    Flag,
}

proptest! {
    #[test]
    fn what_is_written_is_what_is_read(
        segment_mib in 1_u64..=256,
        extra in 0_u64..1 << 40,
        sync_every in 0_u64..10_000_000_000,
        append_timeout in 1_u64..10_000_000_000,
        drain_rate in 1_u32..,
        way in prop::sample::select(vec![Way::File, Way::Variable, Way::Flag]),
    ) {
        let expected = SpoolConfig {
            segment_bytes: segment_mib << 20,
            bytes_max: (segment_mib << 21) + extra,
            sync_every: Duration::from_nanos(sync_every),
            append_timeout: Duration::from_nanos(append_timeout),
            drain_rate,
        };
        let texts = [
            ("segment_size", Size::from_bytes(expected.segment_bytes).to_string()),
            ("size_max", Size::from_bytes(expected.bytes_max).to_string()),
            ("sync_every", Span::new(expected.sync_every).to_string()),
            ("append_timeout", Span::new(expected.append_timeout).to_string()),
        ];
        let keys: Vec<String> = texts.iter().map(|(key, _)| format!("spool.{key}")).collect();
        let layers = match way {
            Way::File => {
                let lines: Vec<String> = texts.iter().map(|(key, text)| format!("{key} = \"{text}\"")).collect();
                let lines = lines.join("\n");
                load(&format!("[spool]\n{lines}\ndrain_rate = {drain_rate}"), &[], &[])
            }
            Way::Variable => {
                let mut variables: Vec<(String, String)> = texts
                    .iter()
                    .map(|(key, text)| (format!("VAYRO_SPOOL__{}", key.to_uppercase()), text.clone()))
                    .collect();
                variables.push(("VAYRO_SPOOL__DRAIN_RATE".to_owned(), drain_rate.to_string()));
                Layers::load(None, variables.into_iter(), &[]).expect("loads")
            }
            Way::Flag => {
                let mut flags: Vec<(&str, String)> =
                    keys.iter().zip(&texts).map(|(key, (_, text))| (key.as_str(), text.clone())).collect();
                flags.push(("spool.drain_rate", drain_rate.to_string()));
                Layers::load(None, std::iter::empty(), &flags).expect("loads")
            }
        };
        let BackendConfig::Embedded(embedded) = read(&layers, BackendConfig::read) else { panic!("embedded") };
        prop_assert_eq!(embedded.spool, expected);
    }

    #[test]
    fn rubbish_never_panics_and_names_its_setting(index: prop::sample::Index, value in ".{0,30}") {
        let keys: Vec<String> = Layers::load(None, env(&[]), &[]).expect("loads").show().into_iter().map(|s| s.key).collect();
        let key = index.get(&keys).as_str();
        let layers = Layers::load(None, env(&[]), &[(key, value)]).expect("loads");
        for mistake in mistakes(&layers) {
            prop_assert!(mistake.starts_with(key) || mistake.contains("backend.set"), "{} for {}", mistake, key);
        }
    }
}

#[test]
fn every_example_in_the_repository_is_valid() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../config");
    let mut count = 0;
    for entry in std::fs::read_dir(root).expect("lists") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let layers = Layers::load(Some(&path), env(&[]), &[]).expect("is TOML");
            assert_eq!(mistakes(&layers), [""; 0], "{}", path.display());
            count += 1;
        }
    }
    assert!(count > 0);
}
