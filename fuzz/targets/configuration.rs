//! cargo-fuzz on the decoder of a configuration file; what must hold is in `fuzz::fuzz_configuration`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::fuzz_configuration(bytes));
