//! cargo-fuzz on the decoder of a snapshot; what must hold is in `fuzz::fuzz_snapshot`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::fuzz_snapshot(bytes));
