//! cargo-fuzz on the decoder of a command's JSON; what must hold is in `fuzz::fuzz_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::fuzz_json(bytes));
