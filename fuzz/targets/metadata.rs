//! cargo-fuzz on the decoder of a commit's metadata; what must hold is in `fuzz::fuzz_metadata`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::fuzz_metadata(bytes));
