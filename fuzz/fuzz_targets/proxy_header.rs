#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vayro_edge::fuzzing::proxy_header(bytes));
