//! Integration tests of the worker.

mod it {
    mod backends;
    mod doubles;
    mod fixtures;
    mod geoip;
    mod outage;
    mod poison;
    mod process;
    mod repeats;
    mod schedule;
    mod steady;
    mod stopping;
    mod user_agents;
    mod visitors;
}
