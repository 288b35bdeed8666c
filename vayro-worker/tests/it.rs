//! Integration tests of the worker.

mod it {
    mod fixtures;
    mod geoip;
    mod user_agents;
}
