//! What a recording holds, in JSON that people can read: written last, so that a recording without one
//! was never finished.
//!
//! Not an index: a chunk's name follows from its partition and number. Invariant: a manifest is, byte for
//! byte, what is written for what it says, its checksum among it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::chunk::{Damage, VERSION};
use super::pseudonyms::Withheld;

const FORMAT: &str = "floodgate recording";

/// What was recorded of one partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its chunks.
    pub chunks: u32,
    /// Its records.
    pub records: u64,
    /// Offset of the first of them; none if there is none.
    pub first_offset: Option<u64>,
    /// Offset of the last.
    pub last_offset: Option<u64>,
}

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: String,
    version: u8,
    /// Id of the recording, in hexadecimal digits.
    pub recording: String,
    /// The topic that was recorded.
    pub topic: String,
    /// Its partitions, by number.
    pub partitions: Vec<Part>,
    /// Records in all.
    pub records: u64,
    /// Bytes of the records before compression.
    pub bytes: u64,
    /// Bytes of the chunks.
    pub bytes_compressed: u64,
    /// The smallest valid timestamp in milliseconds since 1970; none if no record has one.
    pub first_t_ms: Option<u64>,
    /// The largest, which is T in the end.
    pub last_t_ms: Option<u64>,
    /// Whether the recorder was stopped before it had all that it was asked for.
    pub stopped_early: bool,
    /// What was withheld, if buyers and orders are pseudonymised.
    pub pseudonymised: Option<Withheld>,
    /// XXH3-128, in hexadecimal digits, of this text as it is without this figure.
    checksum: String,
}

impl Manifest {
    /// The manifest of an empty recording.
    #[must_use]
    pub fn new(recording: u128, topic: &str, partitions: u32) -> Manifest {
        Manifest {
            format: FORMAT.to_owned(),
            version: VERSION,
            recording: told(recording),
            topic: topic.to_owned(),
            partitions: vec![Part::default(); partitions as usize],
            records: 0,
            bytes: 0,
            bytes_compressed: 0,
            first_t_ms: None,
            last_t_ms: None,
            stopped_early: false,
            pseudonymised: None,
            checksum: String::new(),
        }
    }

    /// Its text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut sealed = Manifest { checksum: String::new(), ..self.clone() };
        sealed.checksum = told(xxh3_128(sealed.plain().as_bytes()));
        sealed.plain()
    }

    /// The manifest that was written as these bytes.
    ///
    /// # Errors
    /// Whatever keeps them from being the text of one.
    pub fn read(bytes: &[u8]) -> Result<Manifest, Damage> {
        let told: serde_json::Value =
            serde_json::from_slice(bytes).map_err(|_| Damage::Checksum)?;
        if told["format"] != FORMAT {
            return Err(Damage::Foreign);
        }
        match told["version"].as_u64() {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => return Err(Damage::Version(version)),
            None => return Err(Damage::Checksum),
        }
        let manifest: Manifest = serde_json::from_value(told).map_err(|_| Damage::Checksum)?;
        if manifest.to_text().as_bytes() == bytes { Ok(manifest) } else { Err(Damage::Checksum) }
    }

    /// Id of the recording.
    pub(super) fn id(&self) -> Option<u128> {
        u128::from_str_radix(&self.recording, 16).ok()
    }

    fn plain(&self) -> String {
        let mut text = serde_json::to_string_pretty(self)
            .expect("text and figures can always be written as JSON");
        text.push('\n');
        text
    }
}

fn told(id: u128) -> String {
    let mut text = String::with_capacity(32);
    write!(text, "{id:032x}").expect("a string takes what is written");
    text
}
