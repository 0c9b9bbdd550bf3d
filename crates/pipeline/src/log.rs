//! The port through which a worker sees the log: one member of the consumer group with one
//! transactional producer.
//!
//! Not Kafka: `kafka` implements it on rdkafka and [`crate::embedded`] in memory, and one
//! conformance suite holds both to what is written here. A worker calls a [`Log`] from its own
//! thread only; whatever may block for longer than a poll goes through [`Offsets`] on another one.
//!
//! Invariant: a record is handed on once for each `start`, in offset order within its partition,
//! and only when its transaction, if it had one, is committed.

use std::time::Duration;

use ledger::units::Offset;
use wire::outputs::Outputs;
use wire::record::Record;

/// Number of a partition; the same in the input and in every output topic.
pub type Partition = u32;

/// Most records that one [`Event::Records`] holds.
pub const RECORDS_PER_EVENT_MAX: usize = 512;

/// Longest wait for an outcome in one call of [`Log::ended`].
pub(crate) const OUTCOME_WAIT: Duration = Duration::from_millis(50);

/// What a poll brings, in the order in which it happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The group gave these partitions to this worker. Nothing is read from one until
    /// [`Log::start`].
    Assigned(&'a [Partition]),
    /// The group asks for these back. They stay this worker's, and may be read and committed,
    /// until [`Log::release`].
    Revoked(&'a [Partition]),
    /// These were taken away: somebody else may own them already. Nothing of them may be produced
    /// or committed any more; no release is owed. Partitions that were released without being asked
    /// for come so too, once the group asks for them.
    Lost(&'a [Partition]),
    /// Records of one started partition, at most [`RECORDS_PER_EVENT_MAX`], oldest first. Offsets
    /// grow but may have gaps (transaction markers, aborted records).
    Records {
        /// Where they stand.
        partition: Partition,
        /// The records.
        records: &'a [Record<'a>],
    },
    /// Everything readable has been handed on; comes again after further records.
    End {
        /// Which partition is at its end.
        partition: Partition,
        /// Where reading goes on; can lie beyond the last record's successor.
        position: Offset,
    },
    /// `start` asked for an offset below the oldest record that is still there.
    OutOfRange {
        /// Which partition.
        partition: Partition,
        /// The oldest offset that is still there.
        oldest: Offset,
    },
}

/// The offset up to which a partition's input is answered, with what the next owner must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionCommit {
    /// Which partition.
    pub partition: Partition,
    /// The first offset that is not answered.
    pub offset: Offset,
    /// Kept by the log beside the offset, at most 4,096 bytes.
    pub metadata: String,
}

/// What became of a transaction that was asked to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It is committed, and no request of it can still be under way.
    Committed,
    /// It is committed, but a request timed out or a connection was lost since `begin`: one of its
    /// requests may still arrive and decide the next transaction, so the producer must be replaced.
    CommittedSuspect(String),
    /// It is aborted, and no request of it can still be under way: the same producer can begin
    /// again. So it goes when the group is in a new generation by the time the offsets arrive.
    Aborted(String),
    /// It may be committed or not: replace the producer, then read the committed offsets.
    Unknown(String),
    /// A newer producer with the same id exists, so this one can commit nothing any more.
    Fenced(String),
}

/// Why a call on the log failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// It may work later: the call can be made again as it was.
    #[error("{0}")]
    Retry(String),
    /// A newer producer with the same id exists.
    #[error("fenced: {0}")]
    Fenced(String),
    /// The producer or its transaction is of no more use: replace the producer.
    #[error("{0}")]
    Transaction(String),
    /// It will not work without somebody's help: authorisation, configuration, a topic is missing.
    #[error("{0}")]
    Fatal(String),
}

/// What waits inside a log's client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queues {
    /// Records that were fetched and not handed on yet.
    pub fetched: u64,
    /// Outputs that the log has not acknowledged yet.
    pub unacknowledged: u64,
}

/// One worker's member of the group and its transactional producer.
pub trait Log {
    /// Serves the group and fetches for at most `wait`, less if something came. Hands on what came;
    /// returns how many records that were. `Retry` tells of trouble that the log works on by itself;
    /// it is told until it is over.
    fn poll(
        &mut self,
        wait: Duration,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, LogError>;

    /// Starts (or starts again) to read an assigned partition at `offset`.
    fn start(&mut self, partition: Partition, offset: Offset) -> Result<(), LogError>;

    /// Stops to read a partition, which stays assigned. Records of it may not be handed on again
    /// before the next `start`.
    fn stop(&mut self, partition: Partition) -> Result<(), LogError>;

    /// Gives revoked partitions up, or partitions of its own that the worker refuses to work on
    /// (those stay assigned in the group's eyes, so that no other worker trips over them).
    fn release(&mut self, partitions: &[Partition]) -> Result<(), LogError>;

    /// Joins the group. Called once, after the first producer is initialised, so that a partition
    /// never arrives at a worker that could not write yet.
    fn join(&mut self) -> Result<(), LogError>;

    /// Leaves the group: whatever is assigned comes as [`Event::Revoked`] in later polls.
    fn leave(&mut self) -> Result<(), LogError>;

    /// Makes a new producer in place of the present one and initialises its transactions, which
    /// fences every older producer of the same id and decides what it left open. Takes at most
    /// `wait`; after `Retry` call it again.
    fn replace_producer(&mut self, wait: Duration) -> Result<(), LogError>;

    /// Begins a transaction; fails while the outcome of the one before is not told.
    fn begin(&mut self) -> Result<(), LogError>;

    /// Hands the outputs from number `first` on to the producer, within the transaction. They are
    /// copied, or stay untouched by the caller until the transaction has ended.
    fn produce(&mut self, outputs: &Outputs, first: usize) -> Result<(), LogError>;

    /// Asks for the end of the transaction: once every output is acknowledged it is committed
    /// together with the offsets, or aborted if the group turns them down. [`Log::ended`] tells what
    /// became of it; until then it can be polled, and no other transaction can begin.
    fn end(&mut self, commits: &[PartitionCommit]);

    /// What became of the transaction that was asked to end; told once, and none if it does not become
    /// known within `wait`. A new producer forgets the question.
    fn ended(&mut self, wait: Duration) -> Option<CommitOutcome>;

    /// Ends the transaction and waits for what becomes of it.
    fn commit(&mut self, commits: &[PartitionCommit]) -> CommitOutcome {
        self.end(commits);
        loop {
            if let Some(outcome) = self.ended(OUTCOME_WAIT) {
                return outcome;
            }
        }
    }

    /// Appends a `tick` to a partition of the input, outside transactions. It does not wait; a
    /// tick that gets lost is not missed.
    fn append_tick(&mut self, partition: Partition) -> Result<(), LogError>;

    /// End of the partition's readable input (the last stable offset) as of the last fetch.
    fn readable_end(&self, partition: Partition) -> Option<Offset>;

    /// End of the partition's input as of the last fetch, records of undecided transactions included.
    fn log_end(&self, partition: Partition) -> Option<Offset> {
        self.readable_end(partition)
    }

    /// What waits inside the log's client.
    fn queues(&self) -> Queues {
        Queues::default()
    }
}

/// What the group has committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The first offset that is not answered; none if nothing was ever committed, or if the log
    /// has forgotten it.
    pub offset: Option<Offset>,
    /// What was kept beside it.
    pub metadata: String,
}

/// First and next offset of a partition's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputBounds {
    /// Oldest offset that is still there.
    pub oldest: Offset,
    /// Offset that the next record will get.
    pub next: Offset,
}

/// Questions to the log that may take their time; asked off the worker's thread.
pub trait Offsets: Send {
    /// The committed offset; waits until a transaction that is still open on it is decided, at most
    /// `wait`.
    fn committed(
        &mut self,
        partitions: &[Partition],
        wait: Duration,
    ) -> Result<Vec<Committed>, LogError>;

    /// Which offsets the input partition holds.
    fn input_bounds(&mut self, partition: Partition) -> Result<InputBounds, LogError>;

    /// Whether the partition's output topics hold no committed record, and have not lost any to
    /// retention. What a transaction left behind that was aborted, or is not decided, counts as
    /// nothing: a first start may have died in it.
    fn outputs_are_empty(&mut self, partition: Partition) -> Result<bool, LogError>;

    /// How many partitions the input has.
    fn partition_count(&mut self) -> Result<u32, LogError>;

    /// An id of the cluster that stays the same for its life.
    fn cluster_id(&mut self) -> Result<String, LogError>;
}
