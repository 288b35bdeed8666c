//! The contract suites: what every adapter must do, run on each of them.
