//! A snapshot's bytes: the state of one partition as of one offset.
//!
//! ```text
//! "FLDGATE\x01" | header (bincode, legacy) | zstd( body (bincode, legacy) ) | XXH3-128 of all before
//! header: state version, cluster id, group, topic, partition, offset, digest, rules
//! body:   u64 number of sections, then for each: u16 number, u64 length, bytes
//! ```
//!
//! The header repeats the name under which the snapshot is kept, so that one that was copied to
//! another place is not taken for its own. Nothing of the body is looked at before the checksum
//! holds. Invariant: what decodes is what was encoded, bit for bit.

use std::io::{BufReader, Read};

use bincode::enc::Encoder;
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use bincode::{Decode, Encode};
use ledger::rules::{Partitioner, Rules};

use ledger::units::Offset;
use ledger::{Frozen, Ledger, RestoreError, STATE_VERSION, SectionId, SectionSource};
use xxhash_rust::xxh3::xxh3_128;

use crate::store::Place;

const MAGIC: &[u8; 8] = b"FLDGATE\x01";
const CHECKSUM_BYTES: usize = 16;
/// Longest header, so that no length in one that somebody made up asks for all of memory.
const HEADER_BYTES_MAX: usize = 1 << 16;
/// Fast enough for the snapshot thread to keep up with a full partition; the state compresses by
/// more than half at any level.
const ZSTD_LEVEL: i32 = 1;

/// What a snapshot says of itself, besides its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Version of the state's serialised form.
    pub state_version: u32,
    /// The first offset that is not in the state.
    pub offset: Offset,
    /// The running digest at this offset.
    pub digest: u128,
    /// The rules under which the state came to be.
    pub rules: Rules,
}

/// Why a snapshot cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Not a snapshot, or cut off.
    #[error("it is not a snapshot of this format, or it was cut off")]
    Format,
    /// Some byte is not what was written.
    #[error("its checksum does not hold")]
    Checksum,
    /// It was written for another place or offset.
    #[error("it was written for {0}")]
    Elsewhere(String),
    /// Its state is of a version that this program cannot read.
    #[error("its state version is {0}, this program reads {STATE_VERSION}")]
    StateVersion(u32),
    /// Its sections do not make a state.
    #[error("its state cannot be restored: {0}")]
    State(#[from] RestoreError),
}

#[derive(Debug, Encode, Decode)]
struct HeaderForm {
    state_version: u32,
    cluster: String,
    group: String,
    topic: String,
    partition: u32,
    offset: u64,
    digest: u128,
    rules: RulesForm,
}

#[derive(Debug, Encode, Decode)]
struct RulesForm {
    order_window_ms: u64,
    receipt_window_ms: u64,
    skew_ms: u64,
    hold_ttl_ms: u64,
    day_offset_ms: u64,
    partitioner: u8,
    partitions: u32,
}

/// The bytes of a snapshot.
pub fn encode(place: &Place, header: &Header, state: &Frozen) -> Result<Vec<u8>, EncodeError> {
    let config = bincode::config::legacy();
    let mut bytes = MAGIC.to_vec();
    bincode::encode_into_std_write(HeaderForm::of(place, header), &mut bytes, config)?;
    let failed = |inner| EncodeError::Io { inner, index: 0 };
    let mut compressed = zstd::Encoder::new(bytes, ZSTD_LEVEL).map_err(failed)?;
    bincode::encode_into_std_write(Body(state), &mut compressed, config)?;
    let mut bytes = compressed.finish().map_err(failed)?;
    let checksum = xxh3_128(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    Ok(bytes)
}

/// The state in a snapshot that was read from `place` under the name of `offset`.
pub fn decode(place: &Place, offset: Offset, bytes: &[u8]) -> Result<(Header, Ledger), Damage> {
    let (header, compressed) = decode_header(place, offset, bytes)?;
    let reader = zstd::Decoder::with_buffer(compressed).map_err(|_| Damage::Format)?;
    let mut sections = Sections::new(BufReader::with_capacity(1 << 17, reader))?;
    let ledger = Ledger::restore(header.rules, &mut sections)?;
    Ok((header, ledger))
}

/// Whether these bytes, which were read from `place` under the name of `offset`, are what somebody
/// wrote there. The state is not restored: its bytes are whole, though perhaps another version's.
pub fn is_whole(place: &Place, offset: Offset, bytes: &[u8]) -> bool {
    matches!(decode_header(place, offset, bytes), Ok(_) | Err(Damage::StateVersion(_)))
}

/// The header, once checksum, place and version are right, and the compressed body.
fn decode_header<'a>(
    place: &Place,
    offset: Offset,
    bytes: &'a [u8],
) -> Result<(Header, &'a [u8]), Damage> {
    if !bytes.starts_with(MAGIC) || bytes.len() < MAGIC.len() + CHECKSUM_BYTES {
        return Err(Damage::Format);
    }
    let (content, checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
    if xxh3_128(content).to_le_bytes() != checksum {
        return Err(Damage::Checksum);
    }
    let content = &content[MAGIC.len()..];
    let config = bincode::config::legacy().with_limit::<HEADER_BYTES_MAX>();
    let (form, read) =
        bincode::decode_from_slice::<HeaderForm, _>(content, config).map_err(|_| Damage::Format)?;
    if form.place() != *place || form.offset != offset.0 {
        return Err(Damage::Elsewhere(format!("{}/{}", form.place(), form.offset)));
    }
    if form.state_version != STATE_VERSION {
        return Err(Damage::StateVersion(form.state_version));
    }
    let header = form.header().ok_or(Damage::Format)?;
    Ok((header, &content[read..]))
}

impl HeaderForm {
    fn of(place: &Place, header: &Header) -> HeaderForm {
        let Rules { order_window_ms, receipt_window_ms, skew_ms, hold_ttl_ms, .. } = header.rules;
        HeaderForm {
            state_version: header.state_version,
            cluster: place.cluster.clone(),
            group: place.group.clone(),
            topic: place.topic.clone(),
            partition: place.partition,
            offset: header.offset.0,
            digest: header.digest,
            rules: RulesForm {
                order_window_ms,
                receipt_window_ms,
                skew_ms,
                hold_ttl_ms,
                day_offset_ms: header.rules.day_offset_ms,
                partitioner: match header.rules.partitioner {
                    Partitioner::Murmur2 => 0,
                    Partitioner::Any => 1,
                },
                partitions: header.rules.partitions,
            },
        }
    }

    fn place(&self) -> Place {
        Place {
            cluster: self.cluster.clone(),
            group: self.group.clone(),
            topic: self.topic.clone(),
            partition: self.partition,
        }
    }

    fn header(&self) -> Option<Header> {
        let RulesForm { order_window_ms, receipt_window_ms, skew_ms, hold_ttl_ms, .. } = self.rules;
        let rules = Rules {
            order_window_ms,
            receipt_window_ms,
            skew_ms,
            hold_ttl_ms,
            day_offset_ms: self.rules.day_offset_ms,
            partitioner: match self.rules.partitioner {
                0 => Partitioner::Murmur2,
                1 => Partitioner::Any,
                _ => return None,
            },
            partitions: self.rules.partitions,
        };
        // A ledger takes no others, and says so by a panic.
        rules.are_valid().then_some(Header {
            state_version: self.state_version,
            offset: Offset(self.offset),
            digest: self.digest,
            rules,
        })
    }
}

/// Encodes like a `Vec<(u16, Vec<u8>)>`, without holding the sections in one piece.
struct Body<'a>(&'a Frozen);

impl Encode for Body<'_> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        (self.0.sections().count() as u64).encode(encoder)?;
        for section in self.0.sections() {
            section.id().0.encode(encoder)?;
            section.bytes().encode(encoder)?;
            section.write_to(&mut |piece| encoder.writer().write(piece))?;
        }
        Ok(())
    }
}

/// Reads what [`Body`] wrote, section after section.
struct Sections<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Sections<R> {
    fn new(mut reader: R) -> Result<Sections<R>, Damage> {
        let left = decode_from(&mut reader).ok_or(Damage::Format)?;
        Ok(Sections { reader, left })
    }
}

impl<R: Read> SectionSource for Sections<R> {
    fn open(&mut self, section: SectionId) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        let id: u16 = decode_from(&mut self.reader)?;
        let bytes = decode_from(&mut self.reader)?;
        (id == section.0).then_some(bytes)
    }

    fn read(&mut self, into: &mut [u8]) -> bool {
        self.reader.read_exact(into).is_ok()
    }
}

fn decode_from<T: Decode<()>>(reader: &mut impl Read) -> Option<T> {
    bincode::decode_from_std_read(reader, bincode::config::legacy()).ok()
}
