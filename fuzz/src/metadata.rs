//! A commit's metadata: what is printed parses to itself, and whatever does not parse is refused with
//! a bounded text.
//!
//! Not what an opening makes of it. Invariant: a text that is accepted means one thing.

use ledger::units::Offset;
use pipeline::digest::Digest;
use pipeline::metadata::{CommitMetadata, RulesHash};

/// Panics unless the bytes, read as metadata's text and as its fields, keep what they say.
pub fn fuzz_metadata(bytes: &[u8]) {
    let built = from_fields(bytes);
    assert_eq!(built.to_string().parse(), Ok(built), "what is printed parses to itself");
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<CommitMetadata>() {
        Ok(metadata) => {
            let printed = metadata.to_string();
            assert_eq!(printed.parse(), Ok(metadata), "{text:?} printed as {printed:?}");
            assert_eq!(text.split(' ').count(), printed.split(' ').count(), "{text:?}");
        }
        Err(error) => {
            assert!(error.0.chars().count() <= 200, "what is said of foreign text is bounded");
            assert!(text.starts_with(&error.0), "{error} does not say what was found in {text:?}");
        }
    }
}

/// Metadata whose fields are these bytes, with zeros behind them.
fn from_fields(bytes: &[u8]) -> CommitMetadata {
    let mut rest = bytes.iter().copied().chain(std::iter::repeat(0));
    let mut number = |bytes: u32| {
        (0..bytes).fold(0_u128, |number, _| number << 8 | u128::from(rest.next().unwrap_or(0)))
    };
    CommitMetadata {
        state_version: number(4) as u32,
        rules: RulesHash(number(8) as u64),
        digest: Digest::from_bits(number(16)),
        snapshot: (number(1) & 1 == 1).then(|| Offset(number(8) as u64)),
    }
}
