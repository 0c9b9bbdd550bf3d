//! A snapshot's bytes: nothing makes the decoder panic, no damage is accepted, and what is accepted
//! is written again as it was read.
//!
//! Because a checksum and a compression keep nearly all damaged bytes from the decoder behind them, the
//! bytes are tried a second time with a checksum that holds, and a third time as the body of a
//! snapshot whose header is right. Not what a worker does with a damaged snapshot: it takes
//! the one before. Invariant: whatever the bytes are, they belong to [`place`] and [`OFFSET`].

use ledger::Ledger;
use ledger::rules::Rules;
use ledger::units::Offset;
use pipeline::snapshot::{self, Damage, Header};
use pipeline::store::Place;
use xxhash_rust::xxh3::xxh3_128;

const CHECKSUM_BYTES: usize = 16;
/// RFC 8878, section 3.1.1: how a compressed frame begins.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The offset of every snapshot in the corpus.
pub(crate) const OFFSET: Offset = Offset(77);

/// The place of every snapshot in the corpus.
pub(crate) fn place() -> Place {
    Place {
        cluster: "cluster".to_owned(),
        group: "group".to_owned(),
        topic: "orders".to_owned(),
        partition: 0,
    }
}

/// Panics if damage is accepted, or if what is accepted does not survive being written again.
pub fn fuzz_snapshot(bytes: &[u8]) {
    if let Some((header, ledger)) = check(bytes) {
        let again = encode(&header, ledger);
        assert_eq!(again, bytes, "what was read is written as it was");
        refuses_flipped_bits(bytes);
    }
    if let Some((content, _)) = bytes.split_at_checked(bytes.len().wrapping_sub(CHECKSUM_BYTES)) {
        survives_being_written_again(content);
    }
    survives_being_written_again(&with_body(bytes));
}

/// Whatever state follows from such content, it is written and read as the same.
fn survives_being_written_again(content: &[u8]) {
    let mut sealed = content.to_vec();
    sealed.extend_from_slice(&xxh3_128(content).to_le_bytes());
    if let Some((header, ledger)) = check(&sealed) {
        let first = encode(&header, ledger);
        let (header, ledger) = check(&first).expect("what was just written can be read");
        assert_eq!(encode(&header, ledger), first);
    }
}

/// What stands before the checksum of a snapshot with this body.
fn with_body(body: &[u8]) -> Vec<u8> {
    let (mut content, _) = split(&of_nothing());
    content.extend(zstd::encode_all(body, 1).expect("memory takes what is compressed"));
    content
}

/// The body of a snapshot, as it was before it was compressed.
pub(crate) fn body(snapshot: &[u8]) -> Vec<u8> {
    let (_, compressed) = split(snapshot);
    zstd::decode_all(compressed.as_slice()).expect("it was compressed by the present code")
}

/// Header and compressed body, without the checksum.
fn split(snapshot: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let content = &snapshot[..snapshot.len() - CHECKSUM_BYTES];
    let body = content.windows(4).position(|bytes| bytes == ZSTD_MAGIC);
    let (header, body) = content.split_at(body.expect("a snapshot has a body"));
    (header.to_vec(), body.to_vec())
}

/// The snapshot of an empty partition.
fn of_nothing() -> Vec<u8> {
    let header = Header {
        state_version: ledger::STATE_VERSION,
        offset: OFFSET,
        digest: 0,
        rules: Rules::default(),
    };
    encode(&header, Ledger::new(Rules::default()))
}

fn check(bytes: &[u8]) -> Option<(Header, Ledger)> {
    let place = place();
    let decoded = snapshot::decode(&place, OFFSET, bytes);
    let whole = snapshot::is_whole(&place, OFFSET, bytes);
    match decoded {
        Ok(decoded) => {
            assert!(whole, "what can be read is whole");
            Some(decoded)
        }
        Err(Damage::Checksum | Damage::Elsewhere(_)) => {
            assert!(!whole, "damaged and whole");
            None
        }
        Err(Damage::Format | Damage::StateVersion(_) | Damage::State(_)) => None,
    }
}

fn encode(header: &Header, mut ledger: Ledger) -> Vec<u8> {
    snapshot::encode(&place(), header, &ledger.snapshot()).expect("memory takes what is written")
}

/// Every bit of a short snapshot, of a long one some thousand of them.
fn refuses_flipped_bits(bytes: &[u8]) {
    let bits = bytes.len() * 8;
    let mut damaged = bytes.to_vec();
    for bit in (0..bits).step_by(bits.div_ceil(1 << 17).max(1)) {
        damaged[bit / 8] ^= 1 << (bit % 8);
        let accepted = snapshot::decode(&place(), OFFSET, &damaged).is_ok();
        assert!(!accepted, "accepted with bit {bit} flipped");
        damaged[bit / 8] ^= 1 << (bit % 8);
    }
}
