//! A `Ui` that tests can look into.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use vayro_core::timestamp::Timestamp;

use super::{Manner, Surroundings, Ui};

/// A stream whose content can be read after the `Ui` took it.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal of 40 columns without color.
pub(crate) const TERMINAL: Surroundings = Surroundings {
    is_in_terminal: true,
    is_out_terminal: true,
    is_err_terminal: true,
    columns: 40,
    refuses_color: true,
};
/// Everything piped.
pub(crate) const PIPE: Surroundings =
    Surroundings { is_in_terminal: false, is_out_terminal: false, is_err_terminal: false, ..TERMINAL };

/// The instant that relative times refer to.
pub(crate) fn now() -> Timestamp {
    "2026-05-10T12:00:00Z".parse().expect("valid")
}

/// Makes a `Ui` with what it says on stdout and stderr.
pub(crate) fn ui(
    surroundings: Surroundings,
    manner: Manner,
    answers: &'static str,
) -> (Ui, Captured, Captured) {
    let (out, err) = (Captured::default(), Captured::default());
    let ui = Ui::new(out.clone(), err.clone(), answers.as_bytes(), surroundings, manner, now());
    (ui, out, err)
}

/// Makes a `Ui` on a terminal of `columns` columns.
pub(crate) fn terminal(columns: u16) -> Ui {
    ui(Surroundings { columns, ..TERMINAL }, Manner::default(), "").0
}
