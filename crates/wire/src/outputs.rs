//! A batch of encoded outputs in one piece of memory, in the order in which they were caused.
//!
//! Not a queue and not a Kafka producer: it is filled, read as often as needed (an aborted commit
//! is produced again from it), and emptied. Invariant: an output's bytes never change once it is
//! complete, and an output without headers costs one span and its key and value, nothing else.

use std::mem::size_of;

use ledger::effect::DeadLetter;
use ledger::units::Millis;

use crate::template::Writer;

/// A length that stands for absence (`null`); no part of an output is that long.
const ABSENT: u32 = u32::MAX;
/// Room that is made in advance.
const GROWTH_BYTES: usize = 1_024;

/// The output topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Topic {
    /// Answers to checkout.
    Status,
    /// Settled orders and refunds.
    Settled,
    /// Records that could not be accepted.
    DeadLetters,
    /// Counters.
    Gmv,
}

impl Topic {
    /// Every topic, in the order of its number.
    pub const ALL: [Topic; 4] = [Topic::Status, Topic::Settled, Topic::DeadLetters, Topic::Gmv];

    /// The topic's name unless it is configured otherwise.
    pub const fn default_name(self) -> &'static str {
        match self {
            Topic::Status => "orders.status",
            Topic::Settled => "orders.settled",
            Topic::DeadLetters => "orders.dlq",
            Topic::Gmv => "gmv",
        }
    }
}

/// Encoded outputs, one after the other.
#[derive(Debug, Clone, Default)]
pub struct Outputs {
    /// Of each output its key, its value and its headers; of each header two lengths, its name and
    /// its value. What is behind the first `used` bytes is room to write into.
    bytes: Vec<u8>,
    used: usize,
    spans: Vec<Span>,
}

/// Where an output lies. Its headers fill what is left up to the next one.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    timestamp: Millis,
    partition: u32,
    key_bytes: u32,
    value_bytes: u32,
    topic: Topic,
    dead_letter: Option<DeadLetter>,
}

const _: () = assert!(size_of::<Span>() <= 32, "a span is half a cache line");

/// One output record.
#[derive(Debug, Clone)]
pub struct Output<'a> {
    /// Where to.
    pub topic: Topic,
    /// Output partition, which is the input's.
    pub partition: u32,
    /// Kafka timestamp.
    pub timestamp: Millis,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: OutputHeaders<'a>,
    /// The code, if it is a dead letter.
    pub dead_letter: Option<DeadLetter>,
}

impl Outputs {
    /// An empty batch.
    pub fn new() -> Outputs {
        Outputs::default()
    }

    /// Number of outputs.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes of all keys, values and headers.
    pub fn bytes(&self) -> usize {
        self.used
    }

    /// Forgets all outputs and keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Replaces what is here by a copy of `other`'s outputs from index `first` on.
    pub fn copy_from(&mut self, other: &Outputs, first: usize) {
        self.clear();
        self.extend_from(other, first);
    }

    /// Appends a copy of `other`'s outputs from index `first` on.
    pub fn extend_from(&mut self, other: &Outputs, first: usize) {
        let Some(start) = other.spans.get(first).map(|span| span.start) else { return };
        let before = self.used;
        self.append(&other.bytes[start..other.used]);
        let moved = |span: &Span| Span { start: before + (span.start - start), ..*span };
        self.spans.extend(other.spans[first..].iter().map(moved));
    }

    /// Forgets the outputs from index `len` on.
    pub fn truncate(&mut self, len: usize) {
        if let Some(first) = self.spans.get(len) {
            self.used = first.start;
            self.spans.truncate(len);
        }
    }

    /// The output with this index, from 0 in the order of pushing.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Output<'_>> {
        let span = self.spans.get(index)?;
        let end = self.spans.get(index + 1).map_or(self.used, |next| next.start);
        let mut rest = &self.bytes[span.start..end];
        Some(Output {
            topic: span.topic,
            partition: span.partition,
            timestamp: span.timestamp,
            key: take(&mut rest, span.key_bytes),
            value: take(&mut rest, span.value_bytes),
            headers: OutputHeaders(rest),
            dead_letter: span.dead_letter,
        })
    }

    /// The outputs in the order of pushing.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Output<'_>> {
        (0..self.len()).map(|index| self.get(index).expect("the index is below the length"))
    }

    /// Appends an output without headers, which [`Self::header`] adds.
    ///
    /// # Panics
    /// When key or value has 4 GiB.
    pub fn push(
        &mut self,
        topic: Topic,
        partition: u32,
        timestamp: Millis,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) {
        let start = self.used;
        self.append(key.unwrap_or_default());
        self.append(value.unwrap_or_default());
        self.spans.push(Span {
            start,
            timestamp,
            partition,
            key_bytes: length(key),
            value_bytes: length(value),
            topic,
            dead_letter: None,
        });
    }

    /// Appends a header to the last output.
    ///
    /// # Panics
    /// When there is no output, or name or value has 4 GiB.
    pub fn header(&mut self, name: &str, value: Option<&[u8]>) {
        assert!(!self.is_empty(), "a header belongs to an output");
        self.append(&length(Some(name.as_bytes())).to_le_bytes());
        self.append(&length(value).to_le_bytes());
        self.append(name.as_bytes());
        self.append(value.unwrap_or_default());
    }

    /// Appends an output whose key and value the two functions write straight into the batch, in at
    /// most `bytes_max` bytes.
    #[inline]
    pub(crate) fn write(
        &mut self,
        topic: Topic,
        partition: u32,
        timestamp: Millis,
        bytes_max: usize,
        key: impl FnOnce(Writer<'_>) -> Writer<'_>,
        value: impl FnOnce(Writer<'_>) -> Writer<'_>,
    ) {
        let start = self.used;
        let writer = key(Writer::new(self.room(bytes_max)));
        let key_bytes = bytes_max - writer.left();
        let bytes = bytes_max - value(writer).left();
        self.used += bytes;
        self.spans.push(Span {
            start,
            timestamp,
            partition,
            key_bytes: key_bytes as u32,
            value_bytes: (bytes - key_bytes) as u32,
            topic,
            dead_letter: None,
        });
    }

    /// So many bytes behind those that are used.
    #[inline]
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        let end = self.used + bytes;
        if end > self.bytes.len() {
            self.grow(end);
        }
        &mut self.bytes[self.used..end]
    }

    /// Only a little more becomes room than is asked for, so that it is still in the nearest cache when it
    /// is written; the memory behind it doubles by itself.
    #[cold]
    fn grow(&mut self, end: usize) {
        self.bytes.resize(end + GROWTH_BYTES, 0);
    }

    fn append(&mut self, part: &[u8]) {
        self.room(part.len()).copy_from_slice(part);
        self.used += part.len();
    }

    /// Says that the last output is a dead letter with this code.
    pub(crate) fn mark_dead_letter(&mut self, code: DeadLetter) {
        if let Some(span) = self.spans.last_mut() {
            span.dead_letter = Some(code);
        }
    }
}

/// Length of a part, or [`ABSENT`].
fn length(part: Option<&[u8]>) -> u32 {
    part.map_or(ABSENT, |part| {
        let bytes = u32::try_from(part.len()).ok().filter(|bytes| *bytes != ABSENT);
        bytes.expect("no part of a Kafka record reaches 4 GiB")
    })
}

/// Cuts a part of this length off the front of `rest`.
fn take<'a>(rest: &mut &'a [u8], bytes: u32) -> Option<&'a [u8]> {
    if bytes == ABSENT {
        return None;
    }
    let (part, behind) = rest.split_at(bytes as usize);
    *rest = behind;
    Some(part)
}

fn take_length(rest: &mut &[u8]) -> Option<u32> {
    let (length, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(u32::from_le_bytes(*length))
}

/// The headers of an output, in the order of pushing.
#[derive(Debug, Clone)]
pub struct OutputHeaders<'a>(&'a [u8]);

impl<'a> Iterator for OutputHeaders<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let name_bytes = take_length(&mut self.0)?;
        let value_bytes = take_length(&mut self.0)?;
        let name = take(&mut self.0, name_bytes)?;
        let value = take(&mut self.0, value_bytes);
        Some((std::str::from_utf8(name).expect("it was pushed as text"), value))
    }
}
