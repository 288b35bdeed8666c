//! The adapter on a real PostgreSQL: every contract suite, and what is peculiar to this database.

mod clicks;
mod contract;
mod faults;
mod fixture;
mod retention;
mod schema;
mod weeks;
