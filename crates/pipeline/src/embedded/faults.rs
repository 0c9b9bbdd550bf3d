//! Where a simulator puts its hands in: asked at every call of the port, it lets the call pass,
//! fails it before or after it took effect, or has its request arrive later.
//!
//! Not a source of chance: whoever implements [`Faults`] draws from a seed of its own. Invariant:
//! no lock is held while it is asked, so it may call the broker, let other members make their calls
//! in the meantime, and be asked about those.

use std::fmt::Debug;

use crate::log::{LogError, Partition};

use super::MemberId;

/// Who makes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller<'a> {
    /// A member of a group, through its [`crate::log::Log`].
    Member(MemberId),
    /// Somebody who asks for a group's offsets, through [`crate::log::Offsets`].
    Offsets {
        /// The group.
        group: &'a str,
    },
}

/// A request on its way to the broker. `commit` makes two: the offsets, then the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call<'a> {
    /// [`crate::log::Log::poll`]; asked once, however long it waits.
    Poll,
    /// [`crate::log::Log::start`]
    Start(Partition),
    /// [`crate::log::Log::stop`]
    Stop(Partition),
    /// [`crate::log::Log::release`]
    Release(&'a [Partition]),
    /// [`crate::log::Log::join`]
    Join,
    /// [`crate::log::Log::leave`]
    Leave,
    /// [`crate::log::Log::replace_producer`] (Kafka's InitProducerId).
    InitProducer,
    /// [`crate::log::Log::begin`]
    Begin,
    /// [`crate::log::Log::produce`]
    Produce {
        /// How many outputs are handed on.
        outputs: usize,
    },
    /// The first half of [`crate::log::Log::commit`] (TxnOffsetCommit): offsets join the
    /// transaction.
    SendOffsets,
    /// The second half of [`crate::log::Log::commit`] (EndTxn): the transaction is decided.
    EndTransaction,
    /// In the place of the second half when the group turned the offsets down (EndTxn, too): the
    /// transaction is aborted.
    AbortTransaction,
    /// [`crate::log::Log::append_tick`]
    AppendTick(Partition),
    /// [`crate::log::Offsets::committed`]
    Committed(&'a [Partition]),
    /// [`crate::log::Offsets::input_bounds`]
    InputBounds(Partition),
    /// [`crate::log::Offsets::outputs_are_empty`]
    OutputsAreEmpty(Partition),
    /// [`crate::log::Offsets::partition_count`]
    PartitionCount,
    /// [`crate::log::Offsets::cluster_id`]
    ClusterId,
}

/// What is to become of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes its way.
    Pass,
    /// The request is lost: nothing happens, and the caller gets the error.
    FailBefore(LogError),
    /// The answer is lost: it takes effect, and the caller gets the error all the same. As `Retry`
    /// says that a call can be made again as it was, which would double outputs, `Produce` makes
    /// `Transaction` of it.
    ApplyThenFail(LogError),
    /// The request is under way for longer than the caller waits: the caller gets the error, and
    /// the request arrives when [`super::EmbeddedBroker::deliver_late`] lets it. For
    /// `InitProducer`, `SendOffsets` and the two ends; other calls fail as by `FailBefore`.
    ApplyLate(LogError),
    /// The client's first request is stuck on a lost connection, its repetition succeeds: the call
    /// takes effect, and its double arrives when [`super::EmbeddedBroker::deliver_late`] lets it.
    /// For `InitProducer`, and for `SendOffsets` and `EndTransaction`, where the transaction's commit
    /// is then `CommittedSuspect` with this text, and `AbortTransaction`, where it is `Unknown`. Of `Produce` the partition drops the double by its
    /// sequence numbers, so that only the suspicion is left. Other calls pass.
    ApplyTwice(String),
}

/// Decides what becomes of the calls. Asked in the order in which they are made.
pub trait Faults: Debug + Send + Sync {
    /// The verdict on one call.
    fn verdict(&self, caller: Caller<'_>, call: Call<'_>) -> Verdict;
}

/// Carries a verdict out for calls of which nothing arrives late.
pub(super) fn judge<T>(
    verdict: Verdict,
    apply: impl FnOnce() -> Result<T, LogError>,
) -> Result<T, LogError> {
    match verdict {
        Verdict::Pass | Verdict::ApplyTwice(_) => apply(),
        Verdict::FailBefore(error) | Verdict::ApplyLate(error) => Err(error),
        Verdict::ApplyThenFail(error) => apply().and(Err(error)),
    }
}

/// `Retry` made into what it has to be where a repetition would not be the same call.
pub(super) fn not_repeatable(error: LogError) -> LogError {
    match error {
        LogError::Retry(why) => LogError::Transaction(why),
        other => other,
    }
}
