//! Which partition a key belongs to (contract, section 1).
//!
//! Not a partitioner of records without a key: those have no home. Invariant: the same answer as
//! Java's default partitioner and librdkafka's `murmur2_random`.

/// The partition of a key among `partitions`: (murmur2(key) & 0x7fffffff) mod `partitions`.
///
/// # Panics
/// When `partitions` is 0; a topic has at least one.
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions
}

/// Kafka's variant of the 32-bit MurmurHash2 (`org.apache.kafka.common.utils.Utils.murmur2`), which
/// Java reads as a signed number.
pub fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    // Java's array length is an `int`, and the hash takes it modulo 2^32: so does this cast.
    let mut hash = SEED ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        let last = tail.iter().rev().fold(0, |word, byte| (word << 8) | u32::from(*byte));
        hash = (hash ^ last).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published by Kafka (`UtilsTest.testMurmur2`): a publisher in Java must agree with us.
    #[test]
    fn merchant_goes_where_java_sends_it() {
        let published: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, hash) in published {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    /// The sign bit is cleared, not negated: `abs` would send "21" to another partition of 7.
    #[test]
    fn negative_hash_loses_its_sign_bit_only() {
        assert_eq!(partition_of(b"21", 7), ((-973_932_308_i32) & 0x7fff_ffff) as u32 % 7);
        assert_ne!(partition_of(b"21", 7), 973_932_308 % 7);
        assert_eq!(partition_of(b"1001", 1), 0);
    }
}
