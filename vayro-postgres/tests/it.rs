//! The adapter on a real PostgreSQL: every contract suite, and what is peculiar to this database.

#[path = "it/clicks.rs"]
mod clicks;
#[path = "it/contract.rs"]
mod contract;
#[path = "it/faults.rs"]
mod faults;
#[path = "it/fixture.rs"]
mod fixture;
#[path = "it/schema.rs"]
mod schema;
