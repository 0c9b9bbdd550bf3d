//! Damage to bytes, drawn from a seed: what the corpus test feeds the decoders with.
//!
//! No fuzzer: it learns nothing from what it sees. Invariant: the same seed and the same seeds of the
//! corpus give the same bytes on every machine.

/// Longest mutant.
const BYTES_MAX: usize = 1 << 20;
/// Bytes that mean something in one of the formats.
const TELLING: &[u8] = b"\"\\{}[]:,.=-+_# 09aefn\n\r\t\x00\x1f\x7f\x80\xc3\xed\xf4\xff";
/// Words that are right in few places.
const WORDS: [&[u8]; 22] = [
    b"null",
    b"true",
    b"-0",
    b"-1",
    b"1e3",
    b"0.5",
    b"\"\"",
    b"{}",
    b"[]",
    b"\\u0061",
    b"\\ud800",
    b"18446744073709551616",
    b"1000000000000001",
    b"4294967296",
    b"\"1\"",
    b"00",
    b"0",
    b"1",
    b"100",
    b"32",
    b"1000000",
    b"\"7\"",
];

/// A stream of mutants (SplitMix64, Steele and others 2014).
#[derive(Debug)]
pub struct Mutations {
    state: u64,
}

impl Mutations {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Mutations {
        Mutations { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// One of the seeds, damaged in one place to three. There must be a seed.
    pub fn mutant(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(3) {
            let other = &seeds[self.below(seeds.len())];
            self.damage(&mut bytes, other);
        }
        bytes.truncate(BYTES_MAX);
        bytes
    }

    fn damage(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len());
        let end = (at + self.below(24)).min(bytes.len());
        match self.below(16) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            1 if !bytes.is_empty() => bytes[at] = TELLING[self.below(TELLING.len())],
            2 => bytes.insert(at, TELLING[self.below(TELLING.len())]),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let copied = bytes[at..end].to_vec();
                let to = self.below(bytes.len());
                bytes.splice(to..to, copied);
            }
            5 => {
                let from = self.below(other.len());
                let until = (from + self.below(64)).min(other.len());
                bytes.splice(at..end, other[from..until].iter().copied());
            }
            6 => bytes.truncate(bytes.len() - self.below(bytes.len()) / 4),
            _ if std::str::from_utf8(bytes).is_err() => self.overwrite(bytes, at),
            7..12 => self.replace_number(bytes, at),
            _ => self.replace_digit(bytes, at),
        }
    }

    /// Puts a binary number that is none, one, or as large as it can be.
    fn overwrite(&mut self, bytes: &mut [u8], at: usize) {
        let number = [0, 1, 0x7fff_ffff, u64::from(u32::MAX), u64::MAX][self.below(5)];
        let width = [1, 4, 8][self.below(3)];
        for (byte, new) in bytes[at..].iter_mut().zip(number.to_le_bytes()).take(width) {
            *byte = new;
        }
    }

    fn replace_digit(&mut self, bytes: &mut [u8], at: usize) {
        if let Some(digit) = bytes[at..].iter_mut().find(|byte| byte.is_ascii_digit()) {
            *digit = b'0' + self.below(10) as u8;
        }
    }

    /// Puts a word in the place of the next number.
    fn replace_number(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let word = WORDS[self.below(WORDS.len())];
        let digit = |byte: &u8| byte.is_ascii_digit();
        let start = bytes[at..].iter().position(digit).map_or(at, |found| at + found);
        let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        bytes.splice(start..start + length, word.iter().copied());
    }
}
