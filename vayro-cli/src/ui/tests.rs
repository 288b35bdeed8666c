use super::testing::{PIPE, TERMINAL, now, ui};
use super::*;
use table::{Column, Value};

/// A pipe nobody reads from any more.
struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn sample(_: &[i64]) -> Table {
    let mut table = Table::new([Column::left("CODE"), Column::left("CREATED")]);
    table.push([Value::text("launch"), Value::Time("2026-05-10T11:57:00Z".parse().expect("valid"))]);
    table
}

#[test]
fn the_same_data_has_three_forms() {
    let (mut human, out, _) = ui(TERMINAL, Manner::default(), "");
    human.show(&[1_i64][..], sample).unwrap();
    assert_eq!(out.text(), "CODE    CREATED\nlaunch  3 min ago\n");

    let (mut piped, out, _) = ui(PIPE, Manner::default(), "");
    piped.show(&[1_i64][..], sample).unwrap();
    assert_eq!(out.text(), "launch\t2026-05-10T11:57:00Z\n");

    let (mut json, out, _) = ui(TERMINAL, Manner { is_json: true, ..Manner::default() }, "");
    json.show(&[1_i64][..], sample).unwrap();
    assert_eq!(out.text(), "[\n  1\n]\n");
}

#[test]
fn errors_have_causes_and_hints_also_when_quiet() {
    let (mut ui, out, err) = ui(PIPE, Manner { is_quiet: true, ..Manner::default() }, "");
    ui.note("not said");
    ui.fail(&CommandError::failed("cannot do \x1b[2Jit").detail("line 3").hint("try `that`").hint("or this"));
    assert_eq!(out.text(), "");
    assert_eq!(err.text(), "error: cannot do [2Jit\n  line 3\n\nhint: try `that`\nhint: or this\n");
}

#[test]
fn no_color_unless_a_terminal_or_asked_for() {
    let colorful = Surroundings { refuses_color: false, ..TERMINAL };
    let has_color = |surroundings, color| {
        let (ui, _, _) = ui(surroundings, Manner { color, ..Manner::default() }, "");
        ui.bold("x") != "x"
    };
    assert!(has_color(colorful, ColorChoice::Auto));
    assert!(!has_color(colorful, ColorChoice::Never));
    assert!(!has_color(TERMINAL, ColorChoice::Auto), "NO_COLOR");
    assert!(has_color(TERMINAL, ColorChoice::Always), "a flag beats the environment");
    assert!(!has_color(Surroundings { refuses_color: false, ..PIPE }, ColorChoice::Auto));
}

#[test]
fn a_broken_pipe_is_an_error_of_its_own() {
    let mut ui = Ui::new(Broken, io::sink(), io::empty(), PIPE, Manner::default(), now());
    let error = ui.line("x").expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn redrawing_goes_back_over_the_lines_it_drew() {
    let (mut ui, out, _) = ui(TERMINAL, Manner::default(), "");
    ui.redraw("a\nb\n").unwrap();
    ui.redraw("c\n").unwrap();
    assert_eq!(out.text(), "a\nb\n\x1b[2A\x1b[Jc\n");
}

#[tokio::test]
async fn asking_takes_yes_for_yes_and_all_else_for_no() {
    for (answer, expected) in [("y\n", true), ("YES\n", true), ("\n", false), ("no\n", false), ("", false)] {
        let (mut ui, _, err) = ui(TERMINAL, Manner::default(), answer);
        assert_eq!(ui.confirm("Purge 3 letters?", "purge").await.unwrap(), expected, "{answer:?}");
        assert_eq!(err.text(), "Purge 3 letters? [y/N] ");
    }
}

#[tokio::test]
async fn nobody_is_asked_without_a_terminal_or_with_no_input() {
    let never = Manner { never_asks: true, ..Manner::default() };
    for (surroundings, manner) in [(PIPE, Manner::default()), (TERMINAL, never)] {
        let (mut ui, _, _) = ui(surroundings, manner, "y\n");
        let error = ui.confirm("Purge 3 letters?", "purge").await.expect_err("must not ask");
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.hints()[0].contains("--yes"));
    }
}

#[tokio::test]
async fn a_piped_secret_is_one_line_without_its_end() {
    let (mut ui, _, err) = ui(PIPE, Manner::default(), "hunter2 \r\nnext\n");
    assert_eq!(ui.read_secret("Password: ").await.unwrap().as_deref(), Some("hunter2 "));
    assert_eq!(err.text(), "", "no prompt into a pipe");
}
