//! A chunk's bytes: records of one partition that follow each other.
//!
//! ```text
//! "FLDGREC" | version, one byte | header (bincode, legacy) | zstd( records (bincode, legacy) )
//!     | XXH3-128 of all before
//! ```
//!
//! The header says which recording, partition and number within it the chunk belongs to, so that one
//! that was copied to another place is not taken for its own. Invariant: nothing behind the version is
//! looked at before the checksum holds, and what decodes is what was encoded.

use std::io::Read;

use bincode::{Decode, Encode};
use xxhash_rust::xxh3::xxh3_128;

/// Version of the format that is written; newer ones are refused.
pub const VERSION: u8 = 1;
const MAGIC: &[u8; 7] = b"FLDGREC";
const CHECKSUM_BYTES: usize = 16;
/// Longest header, so that no length in one that somebody made up asks for all of memory.
const HEADER_BYTES_MAX: usize = 1 << 16;
/// Most bytes of records in a chunk, before compression; for the same reason.
pub(super) const BODY_BYTES_MAX: usize = 1 << 26;
/// A third smaller than level 1, and still faster than a broker delivers.
const ZSTD_LEVEL: i32 = 3;

/// A record as it stood in the topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Record {
    /// Its offset.
    pub offset: u64,
    /// Its timestamp in milliseconds since 1970; below 0 if it has none.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers, in their order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// What a chunk says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Header {
    /// Id of the recording.
    pub recording: u128,
    /// The topic that was recorded.
    pub topic: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// The partition that the records are of.
    pub partition: u32,
    /// Number of the chunk within the partition, from 0.
    pub number: u32,
    /// How many records it holds.
    pub records: u32,
    /// Whether buyers and orders have other names than in the topic.
    pub pseudonymised: bool,
}

/// Why a file of a recording cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It begins with something else.
    #[error("it is not a file of a recording; name a place that `drill record` wrote to")]
    Foreign,
    /// It was written by a later program.
    #[error(
        "it has version {0} of the format, and this program reads version {VERSION}; replay it with \
         the floodgate that recorded it"
    )]
    Version(u64),
    /// Some byte is not what was written, or some are missing.
    #[error(
        "it was damaged or cut off, its checksum does not hold; copy it again from where it was \
         recorded, or record anew"
    )]
    Checksum,
    /// It is whole, but belongs to another place or another recording.
    #[error("it belongs to {0}; copy the whole recording again, and nothing else into its place")]
    Elsewhere(String),
    /// It is whole, but does not hold what its header or the manifest says.
    #[error("it does not hold what it says, so its writer was at fault; record anew")]
    Content,
}

fn config() -> impl bincode::config::Config {
    bincode::config::legacy().with_limit::<BODY_BYTES_MAX>()
}

/// Appends a record to the body of a chunk; none, and nothing appended, if a body has no room for it.
#[must_use]
pub fn append(record: &Record, body: &mut Vec<u8>) -> Option<()> {
    let before = body.len();
    let fits = bincode::encode_into_std_write(record, body, config()).is_ok();
    // A reader asks for no more memory than this for one record.
    if !fits || body.len() > BODY_BYTES_MAX {
        body.truncate(before);
        return None;
    }
    Some(())
}

/// The bytes of a chunk with this body, to which [`append`] added as many records as the header says.
///
/// # Errors
/// If the compression fails.
pub fn seal(header: &Header, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut bytes = MAGIC.to_vec();
    bytes.push(VERSION);
    bincode::encode_into_std_write(header, &mut bytes, bincode::config::legacy())
        .map_err(std::io::Error::other)?;
    bytes.extend(zstd::encode_all(body, ZSTD_LEVEL)?);
    let checksum = xxh3_128(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    Ok(bytes)
}

/// Header and records of a chunk.
///
/// # Errors
/// Whatever keeps the bytes from being a chunk that [`seal`] wrote.
pub fn open(bytes: &[u8]) -> Result<(Header, Vec<Record>), Damage> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(Damage::Foreign)?;
    let (version, _) = rest.split_first().ok_or(Damage::Checksum)?;
    if *version != VERSION {
        return Err(Damage::Version(u64::from(*version)));
    }
    let (content, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(Damage::Checksum)?;
    if xxh3_128(content).to_le_bytes() != *checksum {
        return Err(Damage::Checksum);
    }
    let content = content.get(MAGIC.len() + 1..).ok_or(Damage::Content)?;
    let limited = bincode::config::legacy().with_limit::<HEADER_BYTES_MAX>();
    let (header, read) =
        bincode::decode_from_slice::<Header, _>(content, limited).map_err(|_| Damage::Content)?;
    let records = records(&content[read..], header.records).ok_or(Damage::Content)?;
    Ok((header, records))
}

/// So many records and nothing behind them.
fn records(compressed: &[u8], count: u32) -> Option<Vec<Record>> {
    let mut body = Vec::new();
    let decoder = zstd::Decoder::with_buffer(compressed).ok()?;
    decoder.take(BODY_BYTES_MAX as u64 + 1).read_to_end(&mut body).ok()?;
    if body.len() > BODY_BYTES_MAX {
        return None;
    }
    let (mut rest, mut records) = (body.as_slice(), Vec::new());
    for _ in 0..count {
        let (record, read) = bincode::decode_from_slice::<Record, _>(rest, config()).ok()?;
        records.push(record);
        rest = &rest[read..];
    }
    rest.is_empty().then_some(records)
}
