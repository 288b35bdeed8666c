//! The contract suites on one SQLite file per test, and what is peculiar to SQLite.

mod clicks;
mod contract;
mod faults;
mod fixture;
mod migrations;
mod model;
mod opening;
mod processes;
mod weeks;
