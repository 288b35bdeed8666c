//! Tests of the `vayro` executable.

mod it {
    mod client;
    mod reference;
    mod run;
}
