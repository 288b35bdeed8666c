//! Integration tests of the worker.

mod it {
    mod doubles;
    mod fixtures;
    mod geoip;
    mod outage;
    mod poison;
    mod schedule;
    mod steady;
    mod stopping;
    mod user_agents;
    mod visitors;
}
