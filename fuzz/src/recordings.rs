//! The files of a recording: nothing makes their decoders panic, no damage is accepted, and what is
//! accepted is read again as the same.
//!
//! As with snapshots, the bytes are tried a second time with a checksum that holds, and a third time as the
//! records of a chunk whose header is right. Not the order of chunks, which takes a whole recording.
//! Invariant: bytes alone decide.

use drill::recording::chunk::{self, Header};
use drill::recording::{Damage, Manifest, Record};
use xxhash_rust::xxh3::xxh3_128;

const CHECKSUM_BYTES: usize = 16;

/// The header of every chunk in the corpus, but for the number of its records.
pub(crate) fn header(records: u32) -> Header {
    Header {
        recording: 7,
        topic: "orders".to_owned(),
        partitions: 2,
        partition: 1,
        number: 3,
        records,
        pseudonymised: false,
    }
}

/// Panics if damage is accepted, or if what is accepted does not survive being written again.
pub fn fuzz_recording(bytes: &[u8]) {
    if check(bytes) {
        refuses_flipped_bits(bytes);
    }
    if let Some((content, _)) = bytes.split_at_checked(bytes.len().wrapping_sub(CHECKSUM_BYTES)) {
        let mut sealed = content.to_vec();
        sealed.extend_from_slice(&xxh3_128(content).to_le_bytes());
        check(&sealed);
    }
    for records in 0..4 {
        let sealed = chunk::seal(&header(records), bytes).expect("memory takes what is compressed");
        check(&sealed);
    }
    if let Ok(manifest) = Manifest::read(bytes) {
        assert_eq!(manifest.to_text().as_bytes(), bytes, "what was read is written as it was");
    }
}

/// Whether these are the bytes of a chunk.
fn check(bytes: &[u8]) -> bool {
    match chunk::open(bytes) {
        Ok((header, records)) => {
            assert_eq!(records.len(), header.records as usize);
            let again = chunk::seal(&header, &body(&records)).expect("memory takes it");
            assert_eq!(chunk::open(&again), Ok((header, records)));
            true
        }
        Err(Damage::Elsewhere(_)) => panic!("a chunk alone belongs nowhere else"),
        Err(Damage::Foreign | Damage::Version(_) | Damage::Checksum | Damage::Content) => false,
    }
}

/// The records of a chunk, before they are compressed.
pub(crate) fn body(records: &[Record]) -> Vec<u8> {
    let mut body = Vec::new();
    for record in records {
        chunk::append(record, &mut body).expect("what came out of a chunk has room in one");
    }
    body
}

/// Every bit of a short chunk, of a long one some thousand of them.
fn refuses_flipped_bits(bytes: &[u8]) {
    let bits = bytes.len() * 8;
    let mut damaged = bytes.to_vec();
    for bit in (0..bits).step_by(bits.div_ceil(1 << 12).max(1)) {
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(chunk::open(&damaged).is_err(), "accepted with bit {bit} flipped");
        damaged[bit / 8] ^= 1 << (bit % 8);
    }
}
