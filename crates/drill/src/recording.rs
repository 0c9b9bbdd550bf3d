//! Recorded traffic: a topic of commands as files, and back into a topic.
//!
//! A recording is a folder of an object store: for each partition a sequence of chunks, and a manifest
//! that is written last. It keeps every record with key, value, headers, timestamp and offset, byte for
//! byte, unless buyers and orders are pseudonymised on the way in. A replay gives commands ids that are
//! new and shifts every time by the same whole days; whatever else a value holds stays as it is.
//! Not a judge: the audit is. Invariant: no file is there half, and none is believed that is not,
//! to the last bit, what was written.

pub mod chunk;
mod fresh;
pub mod manifest;
pub mod moment;
mod pseudonyms;
mod reader;
mod replay;
mod rewrite;
mod siphash;
#[cfg(test)]
mod tests;
mod timeline;
mod writer;

use pipeline::objects::{ObjectPath, ObjectsError};

pub use chunk::{Damage, Record};
pub use fresh::Fresh;
pub use manifest::Manifest;
pub use pseudonyms::{Pseudonyms, Withheld};
pub use reader::Recording;
pub use replay::{Replay, Replayed, drive};
pub use timeline::{Speed, Timeline};
pub use writer::Recorder;

/// Name of the manifest.
const MANIFEST: &str = "manifest.json";

/// Where a chunk is, below the recording: twelve digits, so that names sort as chunks follow.
fn chunk_path(partition: u32, number: u32) -> ObjectPath {
    partition_path(partition).join(format!("{number:012}.chunk"))
}

fn partition_path(partition: u32) -> ObjectPath {
    ObjectPath::from(format!("{partition:06}"))
}

/// Why a recording cannot be written or read; each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// The object store's.
    #[error("{file}: {error}")]
    Store {
        /// What it was asked for.
        file: String,
        /// What it said.
        error: ObjectsError,
    },
    /// Somebody has recorded there before.
    #[error("{0} holds a recording, or part of one; name another place with --to")]
    Taken(String),
    /// Nothing is there.
    #[error("there is no recording in {0}; name the place that `drill record --to` was given")]
    Nothing(String),
    /// Chunks are there, but no manifest.
    #[error(
        "{0} holds a recording that was not finished: its recorder died before it wrote {MANIFEST}, so \
         nobody knows what is missing; record again, into another place"
    )]
    Unfinished(String),
    /// A chunk that the manifest counts is not there.
    #[error("{0} is missing; copy the whole recording again, or record anew")]
    Missing(String),
    /// A file is not what was written.
    #[error("{file}: {damage}")]
    Damaged {
        /// Which file.
        file: String,
        /// How one can tell.
        damage: Damage,
    },
    /// A record that no chunk has room for.
    #[error("partition {partition}, offset {offset}: the record is too large to be recorded")]
    TooLarge {
        /// Where it stands.
        partition: u32,
        /// Its offset.
        offset: u64,
    },
}
