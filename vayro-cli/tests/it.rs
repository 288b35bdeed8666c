//! Tests of the `vayro` executable.

mod it {
    mod client;
    mod interrupt;
    mod reference;
    mod run;
    mod script;

    #[cfg(feature = "server")]
    mod accounts;
    #[cfg(feature = "server")]
    mod amend;
    #[cfg(feature = "server")]
    mod config;
    #[cfg(feature = "server")]
    mod demo;
    #[cfg(feature = "server")]
    mod doctor;
    #[cfg(feature = "server")]
    mod events;
    #[cfg(feature = "server")]
    mod explain;
    #[cfg(feature = "server")]
    mod files;
    #[cfg(feature = "server")]
    mod geoip;
    #[cfg(feature = "server")]
    mod links;
    #[cfg(feature = "server")]
    mod operations;
    #[cfg(feature = "server")]
    mod privacy;
    #[cfg(feature = "server")]
    mod server;
    #[cfg(feature = "server")]
    mod stats;
    #[cfg(feature = "server")]
    mod up;

    mod dead_letters;
}
