//! Where the records of the topic `gmv` come from: the board's only port.
//!
//! Not a consumer group: every board reads everything. Invariant: a source hands on committed records
//! only, each partition's in their order.

use std::time::Duration;

/// Takes a record's key and value.
pub type OnRecord<'a> = dyn FnMut(Option<&[u8]>, Option<&[u8]>) + 'a;

/// What a look at the source found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Looked {
    /// How many records were handed on.
    pub records: usize,
    /// Whether everything that was there when the reading began has been handed on.
    pub caught_up: bool,
}

/// How a partition of the source stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Its number.
    pub partition: u32,
    /// Offset at which reading goes on.
    pub next: u64,
    /// Offset up to which it can be read: its end, or the first record of the oldest transaction that is
    /// still open.
    pub readable: u64,
    /// Offset that the next record will get.
    pub written: u64,
    /// Whether the three are of this moment; if not, nobody knows them.
    pub reached: bool,
}

/// Why nothing came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It may answer later.
    #[error("{0}")]
    Away(String),
    /// What was handed on so far is no longer there: the next look begins from nothing.
    #[error("{0}")]
    Anew(String),
}

/// See the module's documentation.
pub trait Source: Send {
    /// Hands on what has come, a bounded number of records; waits at most `wait` for the first.
    fn look(&mut self, wait: Duration, on_record: &mut OnRecord<'_>)
    -> Result<Looked, SourceError>;

    /// How the partitions stand, if that was learnt since it was asked for last. A source that never
    /// says hands on with every look all that there is.
    fn ends(&mut self) -> Option<Vec<End>> {
        None
    }
}
