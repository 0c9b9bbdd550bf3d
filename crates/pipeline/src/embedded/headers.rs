//! Headers of a record as the embedded log keeps them: name and value, each behind its length.
//!
//! Not a wire format: the bytes never leave the process. Invariant: what [`encode`] wrote,
//! [`EncodedHeaders`] gives back in the same order.

use wire::outputs;
use wire::record::Headers;

/// In place of a value's length where the header has none.
const NULL_LENGTH: u32 = u32::MAX;
/// Bytes of the two lengths.
const LENGTHS: usize = 8;

/// How many bytes [`encode`] will write; 0 if there are no headers.
pub(super) fn encoded_length(headers: &dyn Headers) -> usize {
    let mut length = 0;
    headers.each(&mut |name, value| length += LENGTHS + name.len() + value.map_or(0, <[u8]>::len));
    length
}

/// Appends the headers to `bytes`.
pub(super) fn encode(headers: &dyn Headers, bytes: &mut Vec<u8>) {
    headers.each(&mut |name, value| {
        let short = |length: usize| u32::try_from(length).expect("a header is far below 4 GiB");
        let value_length = value.map_or(NULL_LENGTH, |value| short(value.len()));
        bytes.extend_from_slice(&short(name.len()).to_le_bytes());
        bytes.extend_from_slice(&value_length.to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(value.unwrap_or_default());
    });
}

/// What [`encode`] wrote.
#[derive(Debug, Clone, Copy)]
pub(super) struct EncodedHeaders<'a>(&'a [u8]);

impl<'a> EncodedHeaders<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> EncodedHeaders<'a> {
        EncodedHeaders(bytes)
    }

    /// Takes the first header off; none when all are taken.
    fn split_first(&mut self) -> Option<(&'a str, Option<&'a [u8]>)> {
        let (name_length, rest) = split_length(self.0)?;
        let (value_length, rest) = split_length(rest)?;
        let (name, rest) = rest.split_at_checked(name_length as usize)?;
        let present = if value_length == NULL_LENGTH { 0 } else { value_length as usize };
        let (value, rest) = rest.split_at_checked(present)?;
        self.0 = rest;
        Some((std::str::from_utf8(name).ok()?, (value_length != NULL_LENGTH).then_some(value)))
    }
}

fn split_length(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*length), rest))
}

impl Headers for EncodedHeaders<'_> {
    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        let mut rest = *self;
        while let Some((name, value)) = rest.split_first() {
            visit(name, value);
        }
    }
}

/// An output's headers in the form in which records have them.
#[derive(Debug)]
pub(super) struct OutputHeaders<'a>(pub(super) &'a outputs::OutputHeaders<'a>);

impl Headers for OutputHeaders<'_> {
    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        for (name, value) in self.0.clone() {
            visit(name, value);
        }
    }
}
