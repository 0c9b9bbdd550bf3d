//! SipHash-2-4 (Aumasson and Bernstein 2012): a keyed hash of short texts. Who does not know the key can
//! neither compute it nor find a text that has a given hash but by trying the key.
//!
//! Not the fastest hash: that is XXH3, whose seed is no secret. Invariant: the published test vectors.

/// The secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(pub(super) [u8; 16]);

struct State([u64; 4]);

impl State {
    fn round(&mut self) {
        let [a, b, c, d] = &mut self.0;
        *a = a.wrapping_add(*b);
        *c = c.wrapping_add(*d);
        *b = b.rotate_left(13) ^ *a;
        *d = d.rotate_left(16) ^ *c;
        *a = a.rotate_left(32);
        *c = c.wrapping_add(*b);
        *a = a.wrapping_add(*d);
        *b = b.rotate_left(17) ^ *c;
        *d = d.rotate_left(21) ^ *a;
        *c = c.rotate_left(32);
    }

    fn take(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.round();
        self.0[0] ^= word;
    }

    fn finish(&mut self) -> u64 {
        (0..4).for_each(|_| self.round());
        self.0.iter().fold(0, |all, word| all ^ word)
    }
}

/// The variant with 128 bits.
pub(super) fn siphash(key: Key, text: &[u8]) -> u128 {
    let (words, _) = key.0.as_chunks::<8>();
    let [k0, k1] = [u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])];
    let mut state = State([
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ]);
    let (words, tail) = text.as_chunks::<8>();
    words.iter().for_each(|word| state.take(u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    // The length modulo 256 stands in the last byte.
    last[7] = text.len() as u8;
    state.take(u64::from_le_bytes(last));
    state.0[2] ^= 0xee;
    let low = state.finish();
    state.0[1] ^= 0xdd;
    let high = state.finish();
    u128::from(low) | u128::from(high) << 64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the authors' reference implementation (`vectors.h`, `vectors_sip128`).
    #[test]
    fn the_published_vectors_come_out() {
        let key = Key(std::array::from_fn(|index| index as u8));
        let vectors = [
            (0, "a3817f04ba25a8e66df67214c7550293"),
            (1, "da87c1d86b99af44347659119b22fc45"),
            (2, "8177228da4a45dc7fca38bdef60affe4"),
        ];
        for (bytes, expected) in vectors {
            let text: Vec<u8> = (0..bytes).collect();
            let found: String = siphash(key, &text)
                .to_le_bytes()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(found, expected, "of {bytes} bytes");
        }
    }
}
