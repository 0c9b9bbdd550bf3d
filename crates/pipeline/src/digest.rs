//! The running digest of everything that a partition has written, except counters.
//!
//! Each output is hashed with XXH3-128 (Yann Collet, xxHash 0.8 specification) over its topic, key
//! and value, for a dead letter also over its code but not over its free text; the hashes are
//! chained as a polynomial modulo 2^128, so that order counts and batch boundaries do not.
//! It is no protection against forgery: it finds lost determinism, changed code and damage.
//! Invariant: equal digests at an offset mean that the partition's history was decided alike.

use std::fmt;
use std::str::FromStr;

use ledger::effect::DeadLetter;
use wire::{Outputs, Topic};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

/// Odd, so that multiplication by it loses nothing (the multiplier of PCG's 128-bit generator).
const MULTIPLIER: u128 = 0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645;

/// See the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest(u128);

impl Digest {
    /// The digest with this value.
    pub const fn from_bits(bits: u128) -> Digest {
        Digest(bits)
    }

    /// Its value.
    pub const fn to_bits(self) -> u128 {
        self.0
    }

    /// Takes in the outputs from number `first` on.
    pub fn fold(&mut self, outputs: &Outputs, first: usize) {
        // By index: skipping an iterator's items would walk over all that came before.
        let new = (first..outputs.len()).filter_map(|index| outputs.get(index));
        for output in new.filter(|output| output.topic != Topic::Gmv) {
            self.fold_one(output.topic, output.dead_letter, output.key, output.value);
        }
    }

    /// Takes in one output, by what counts of it.
    pub fn fold_one(
        &mut self,
        topic: Topic,
        dead_letter: Option<DeadLetter>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) {
        let code = dead_letter.map_or(0, |code| code as u64 + 1);
        let absent = u64::from(key.is_none()) | u64::from(value.is_none()) << 1;
        let rest = topic as u64 | code << 8 | absent << 16;
        let seed = xxh3_64_with_seed(key.unwrap_or_default(), rest);
        let hash = xxh3_128_with_seed(value.unwrap_or_default(), seed);
        self.0 = self.0.wrapping_mul(MULTIPLIER).wrapping_add(hash);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl FromStr for Digest {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Digest, Self::Err> {
        u128::from_str_radix(text, 16).map(Digest)
    }
}
