//! The help of every command, as a snapshot and as `docs/cli.md`.

#[cfg(feature = "server")]
use std::fmt::Write as _;
use std::fs;
#[cfg(feature = "server")]
use std::path::Path;

use clap::CommandFactory as _;
use vayro_cli::cli::Cli;

use super::run::Home;

/// Writes the help of a command and of those below it.
#[cfg(feature = "server")]
fn write_reference(command: &clap::Command, name: &str, depth: usize, text: &mut String) {
    let help = command.clone().term_width(100).render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let mut help = help.join("\n");
    // They are the same everywhere.
    if depth > 2
        && let Some(at) = help.find("\nGlobal options:")
    {
        help.truncate(at);
    }
    writeln!(text, "\n{} `{name}`\n\n```text\n{}\n```", "#".repeat(depth), help.trim_end())
        .expect("a string grows");
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        write_reference(below, &format!("{name} {}", below.get_name()), (depth + 1).min(4), text);
    }
}

#[cfg(feature = "server")]
fn reference() -> String {
    let mut command = Cli::command();
    command.build();
    let mut text = String::from(
        "# The `vayro` command\n\nThe help of every command; the global options are those of `vayro` itself. A test writes and checks\nthis file.\n",
    );
    write_reference(&command, "vayro", 2, &mut text);
    text
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
#[cfg(feature = "server")]
fn the_reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let reference = reference();
    if std::env::var_os("VAYRO_UPDATE_DOCS").is_some() {
        fs::write(&path, &reference).expect("docs/cli.md can be written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == reference,
        "docs/cli.md differs from the help: look at the change, then run \
         `VAYRO_UPDATE_DOCS=1 cargo nextest run -p vayro-cli reference`"
    );
}

#[test]
fn every_help_begins_with_an_imperative_and_has_no_full_stop() {
    fn walk(command: &clap::Command, name: &str, wrong: &mut Vec<String>) {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let first = about.chars().next();
        if about.is_empty() || about.ends_with('.') || !first.is_some_and(char::is_uppercase) {
            wrong.push(format!("{name}: {about:?}"));
        }
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            if help.is_empty() || help.ends_with('.') {
                wrong.push(format!("{name} {}: {help:?}", argument.get_id()));
            }
        }
        for below in command.get_subcommands() {
            walk(below, &format!("{name} {}", below.get_name()), wrong);
        }
    }
    let mut wrong = Vec::new();
    walk(&Cli::command(), "vayro", &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn help_goes_to_stdout_and_usage_errors_to_stderr() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let home = Home::new(dir.path());
    let help = home.vayro(&["link", "--help"]);
    assert_eq!((help.status, help.stderr.as_str()), (0, ""));
    assert!(help.stdout.starts_with("Create, change and move links\n"), "{help}");
    assert!(!help.stdout.contains('\x1b'), "no color into a pipe");
    insta::assert_snapshot!("unknown_command", home.vayro(&["link", "craete"]));
    insta::assert_snapshot!("missing_argument", home.vayro(&["link", "create"]));
    let bad_value = home.vayro(&["link", "create", "https://a.example/", "--code", "a b"]);
    insta::assert_snapshot!("bad_value", bad_value);
    let version = home.vayro(&["--version"]);
    assert_eq!(
        (version.status, version.stdout.trim_end()),
        (0, concat!("vayro ", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn man_pages_and_completions_cover_every_command() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let home = Home::new(dir.path());
    let run = home.vayro(&["man", "pages"]);
    assert_eq!(run.status, 0, "{run}");
    let page = fs::read_to_string(dir.path().join("pages/vayro-link-create.1")).expect("the page is there");
    assert!(page.contains("vayro\\-link\\-create"), "{page}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = home.vayro(&["completions", shell]);
        assert_eq!(run.status, 0, "{run}");
        assert!(run.stdout.contains("import"), "{shell}");
    }
}
