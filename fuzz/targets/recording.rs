//! cargo-fuzz on the decoders of recorded traffic; what must hold is in `fuzz::fuzz_recording`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::fuzz_recording(bytes));
