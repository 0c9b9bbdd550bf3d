//! The running digest of everything that a partition has written, except counters.
//!
//! An output is a number of 128 bits: XXH3-64 (Yann Collet, xxHash 0.8 specification) of its value,
//! then of its key. These numbers are chained as a polynomial modulo 2^128, so that order counts and
//! batch boundaries do not. Before each the chain takes in what else counts of the output: its topic,
//! a dead letter's code but not its free text, and whether key or value are absent.
//! It is no protection against forgery: it finds lost determinism, changed code and damage.
//! Invariant: equal digests at an offset mean that the partition's history was decided alike.

use std::fmt;
use std::str::FromStr;

use ledger::effect::DeadLetter;
use wire::{Outputs, Topic};
use xxhash_rust::xxh3::xxh3_64;

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
    #[inline(always)]
    pub fn fold_one(
        &mut self,
        topic: Topic,
        dead_letter: Option<DeadLetter>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) {
        let code = dead_letter.map_or(0, |code| code as u64 + 1);
        let absent = u64::from(key.is_none()) | u64::from(value.is_none()) << 1;
        let rest = u128::from(topic as u64 | code << 8 | absent << 16);
        let hash = |part: Option<&[u8]>| u128::from(xxh3_64(part.unwrap_or_default()));
        let hashes = hash(value) << 64 | hash(key);
        self.0 = self.0.wrapping_add(rest).wrapping_mul(MULTIPLIER).wrapping_add(hashes);
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ledger::units::Millis;

    use super::*;

    type Counted<'a> = (Topic, Option<DeadLetter>, Option<&'a [u8]>, Option<&'a [u8]>);

    const PLAIN: Counted<'_> = (Topic::Status, None, Some(b"12"), Some(b"{}"));

    fn digest_of(outputs: &[Counted<'_>]) -> Digest {
        let mut digest = Digest::default();
        for (topic, code, key, value) in outputs {
            digest.fold_one(*topic, *code, *key, *value);
        }
        digest
    }

    #[test]
    fn nothing_that_counts_changes_unnoticed() {
        let (topic, code, key, value) = PLAIN;
        let mut single = vec![
            PLAIN,
            (topic, code, Some(b"1"), Some(b"2{}")),
            (topic, code, Some(b"12{"), Some(b"}")),
            (topic, code, value, key),
            (topic, code, Some(b""), value),
            (topic, code, None, value),
            (topic, code, key, Some(b"")),
            (topic, code, key, None),
            (topic, code, None, None),
            (Topic::Settled, code, key, value),
            (Topic::DeadLetters, code, key, value),
        ];
        let codes = DeadLetter::ALL.into_iter();
        single.extend(codes.map(|code| (Topic::DeadLetters, Some(code), key, value)));
        let alone = single.iter().map(|output| vec![*output]);
        let before = single.iter().map(|output| vec![*output, PLAIN]);
        // Twice the plain output is in `before`.
        let behind = single.iter().skip(1).map(|output| vec![PLAIN, *output]);
        let histories: Vec<_> = alone.chain(before).chain(behind).chain([vec![]]).collect();
        let digests: HashSet<_> = histories.iter().map(|all| digest_of(all).to_bits()).collect();
        assert_eq!(digests.len(), histories.len());
    }

    #[test]
    fn batch_boundaries_headers_and_counters_do_not_count() {
        let mut outputs = Outputs::new();
        let (topic, code, key, value) = PLAIN;
        let (second, third) = ([b'2'; 300], [b'3'; 3_000]);
        let counted = [PLAIN, (topic, code, None, Some(&second)), (topic, code, key, Some(&third))];
        for (topic, _, key, value) in counted {
            outputs.push(topic, 0, Millis(1), key, value);
            outputs.header("trace", Some(b"7"));
            outputs.push(Topic::Gmv, 0, Millis(1), key, value);
        }
        outputs.push(Topic::Gmv, 0, Millis(1), key, value);
        for first_batch in 0..=outputs.len() {
            let mut digest = Digest::default();
            let mut batch = outputs.clone();
            batch.truncate(first_batch);
            digest.fold(&batch, 0);
            digest.fold(&outputs, first_batch);
            assert_eq!(digest, digest_of(&counted), "the first batch has {first_batch}");
        }
    }

    /// Digests are stored with every commit. These were computed with another XXH3, the reference's.
    #[test]
    fn digest_is_that_of_earlier_versions() {
        let (topic, code, key, _) = PLAIN;
        let long = [b'v'; 400];
        let settled = (Topic::Settled, code, key, Some(&long[..]));
        let dead = (Topic::DeadLetters, Some(DeadLetter::Misrouted), None, Some(&long[..9]));
        for (outputs, expected) in [
            (vec![], "00000000000000000000000000000000"),
            (vec![PLAIN], "1349cde127705c167ecd2e572c949f74"),
            (vec![(topic, code, None, None)], "f415df5851c05f53cb345f6c1ba294c2"),
            (vec![PLAIN, settled, dead], "7c0bd956bebab9f31f128f6096e2957d"),
        ] {
            assert_eq!(digest_of(&outputs).to_string(), expected);
        }
    }
}
