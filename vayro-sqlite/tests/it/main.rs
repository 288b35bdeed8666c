//! The contract suites on one SQLite file per test, and what is peculiar to SQLite.

mod contract;
mod fixture;
