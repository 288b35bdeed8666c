//! Tests of the test servers, of the layers, and of whole systems.

mod layers;
mod servers;
mod system;
