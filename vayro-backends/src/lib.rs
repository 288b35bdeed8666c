//! Configuration in, ports out: the only crate naming both back-end sets
