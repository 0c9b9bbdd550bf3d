//! Hashes for the ledger's indexes: the same on every machine, in every version.
//!
//! Not cryptographic, and not seeded: hashes are in snapshots, and whoever could choose ids so that
//! they collide is an authenticated publisher, who gains nothing but slow look-ups (see `index`).
//! The mixing is wyhash's: two 64 x 64 bit multiplications whose halves are folded together.
//! Invariant: a change of any function here changes the serialised state (`STATE_VERSION`).

const KEY_A: u64 = 0xa076_1d64_78bd_642f;
const KEY_B: u64 = 0xe703_7ed1_a0b4_28db;
const KEY_C: u64 = 0x8ebc_6af0_9c88_c6e3;

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Hash of a pair of numbers.
#[inline]
pub(crate) fn pair(first: u64, second: u64) -> u32 {
    (fold(fold(first ^ KEY_A, second ^ KEY_B) ^ KEY_C, KEY_B) >> 32) as u32
}

/// Hash of a number and a run of words.
#[inline]
pub(crate) fn words(number: u64, words: &[u32]) -> u32 {
    let word = |at: usize| u64::from(words.get(at).copied().unwrap_or(0));
    // Multiplied, so that it does not cancel out with words that are related to it.
    let mut state = number.wrapping_mul(KEY_C) ^ KEY_A;
    for at in (0..words.len()).step_by(4) {
        let (low, high) = (word(at) | word(at + 1) << 32, word(at + 2) | word(at + 3) << 32);
        state = fold(low ^ state, high ^ KEY_B);
    }
    (fold(state ^ KEY_C, words.len() as u64 ^ KEY_B) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::ops::RangeInclusive;

    #[test]
    fn neighbours_spread_over_pages_and_slots() {
        for hashes in [
            (0..65_536).map(|n| pair(n, 7)).collect::<Vec<u32>>(),
            (0..65_536).map(|n| pair(7, n)).collect(),
            (0..65_536).map(|n| words(7, &[n, 0])).collect(),
            (0..65_536).map(|n| words(n, &[1, 2, 3, 4])).collect(),
            (0..65_536).map(|n| words(u64::from(n % 256), &[n, 0])).collect(),
            (0..65_536).map(|n| pair(n, n % 256)).collect(),
            (0..65_536).map(|n| words(7, &[1, 2, 3, n])).collect(),
        ] {
            const USUAL: RangeInclusive<usize> = 41_000..=41_850;
            // Of 2^16 random numbers, 1 - 1/e of 2^16 values are hit: 41,426 and seldom far from it.
            let distinct = |shift: u32, mask: u32| {
                hashes.iter().map(|hash| hash >> shift & mask).collect::<HashSet<u32>>().len()
            };
            assert!(USUAL.contains(&distinct(16, 0xffff)));
            assert!(USUAL.contains(&distinct(0, 0xffff)));
        }
    }
}
