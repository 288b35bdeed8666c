//! Tests of the test servers, and of whole systems.

mod layers;
mod servers;
