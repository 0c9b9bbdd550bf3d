//! A record of the input log as it came, before anybody looks into it.
//!
//! Not a Kafka message: only what the contract uses of one, borrowed from wherever the log keeps it.
//! Headers stay behind a trait, because they are read for dead letters only: a record with headers
//! costs no more than one without until it is refused.

use std::fmt::Debug;

use ledger::units::Offset;

/// One input record.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The input partition it stands in.
    pub partition: u32,
    /// Its offset there.
    pub offset: Offset,
    /// Its Kafka timestamp in milliseconds since 1970-01-01 UTC; below 0 if it has none.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: &'a dyn Headers,
}

/// The headers of a record, in their order; names may repeat.
pub trait Headers: Debug {
    /// Calls `visit` with the name and the value of each header.
    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>));
}

/// A record without headers.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHeaders;

impl Headers for NoHeaders {
    fn each(&self, _visit: &mut dyn FnMut(&str, Option<&[u8]>)) {}
}
