//! What must hold for any bytes whatever that a decoder of Floodgate is given: one function for each
//! decoder, for cargo-fuzz (`targets/`) and for the ordinary test on the corpus (`tests/corpus.rs`).
//!
//! Not the fuzzer, and no test of what a command does. Each function panics, with what it found, if a
//! property does not hold. Invariant: bytes alone decide, so that what was found once is found again.

#[path = "../../crates/floodgate/src/configuration.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the command's own file, so that its own code is what is fuzzed; the command uses the rest"
)]
mod configuration;
mod configurations;
#[path = "../../crates/floodgate/src/environment.rs"]
#[allow(dead_code, unreachable_pub, reason = "as of the configuration, a layer of which it is")]
mod environment;
mod json;
mod metadata;
pub mod mutation;
mod recordings;
#[path = "../../crates/floodgate/src/security.rs"]
#[allow(dead_code, unreachable_pub, reason = "as of the configuration, whose section it is")]
mod security;
pub mod seeds;
mod snapshots;

pub use configurations::fuzz_configuration;
pub use json::fuzz_json;
pub use metadata::fuzz_metadata;
pub use recordings::fuzz_recording;
pub use snapshots::fuzz_snapshot;
