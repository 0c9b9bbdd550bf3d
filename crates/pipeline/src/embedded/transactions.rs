//! The transaction coordinator: per transactional id the epoch that may write, and the transaction
//! that is open.
//!
//! Not the client: what a producer believes of its transaction lives in `producer`, and the two may
//! differ; that difference is what goes wrong in Kafka's transaction protocol. As Kafka has it for
//! clients without KIP-890 part 2 (librdkafka), an epoch lasts as long as its producer, so a request
//! that was under way for too long can decide a later transaction of the same epoch.
//! Invariant: a transaction is decided once, for all partitions and offsets in it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::group::{Group, NotAccepted};
use super::storage::{Decision, TransactionNumber};
use super::topics::{Place, Topics};
use super::{MemberId, locked};
use crate::log::{LogError, PartitionCommit};

/// Which of the producers that had the same transactional id one is. Kafka counts them per id, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Epoch(pub(super) u32);

/// Why the coordinator turned a request down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TurnedDown {
    /// Kafka's PRODUCER_FENCED and INVALID_PRODUCER_EPOCH.
    #[error("a newer producer has the transactional id")]
    Fenced,
    /// Kafka's INVALID_TXN_STATE: the request does not fit what the coordinator knows, because the
    /// transaction that it belongs to is decided already.
    #[error("the transaction is not open")]
    NotOpen,
    /// The group's answer.
    #[error("{0}")]
    NotAccepted(#[from] NotAccepted),
}

impl From<TurnedDown> for LogError {
    fn from(why: TurnedDown) -> LogError {
        match why {
            TurnedDown::Fenced => LogError::Fenced(why.to_string()),
            TurnedDown::NotOpen | TurnedDown::NotAccepted(_) => {
                LogError::Transaction(why.to_string())
            }
        }
    }
}

/// What the coordinator knows of one transactional id.
#[derive(Debug)]
pub(super) struct TransactionalId {
    name: String,
    epoch: Epoch,
    open: Option<Open>,
    /// How the last one ended, if it was one of this epoch.
    last: Option<Decision>,
}

/// A transaction that is not decided.
#[derive(Debug)]
struct Open {
    since: i64,
    partitions: Vec<(Place, TransactionNumber)>,
    /// Groups to which it brings offsets.
    groups: Vec<Arc<Mutex<Group>>>,
}

/// A transaction that blocks readers of committed records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTransaction {
    /// Whose it is.
    pub transactional_id: String,
    /// When it began, by the broker's time in milliseconds.
    pub since: i64,
    /// How many partitions it wrote to, the input's included.
    pub partitions: usize,
    /// Whether it brings offsets.
    pub has_offsets: bool,
}

impl TransactionalId {
    fn new(name: &str) -> TransactionalId {
        TransactionalId { name: name.to_owned(), epoch: Epoch(0), open: None, last: None }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// InitProducerId: whoever had the id before is fenced, and what was left open is aborted.
    pub(super) fn initialise(&mut self, topics: &Topics) -> Epoch {
        self.epoch.0 += 1;
        self.decide(Decision::Abort, topics);
        self.last = None;
        self.epoch
    }

    /// AddPartitionsToTxn: the transaction begins with the first partition.
    pub(super) fn add_partition(
        &mut self,
        epoch: Epoch,
        place: Place,
        topics: &Topics,
        now: i64,
    ) -> Result<TransactionNumber, TurnedDown> {
        self.check_epoch(epoch)?;
        let open = self.open.get_or_insert_with(|| Open::since(now));
        if let Some(&(_, number)) = open.partitions.iter().find(|(added, _)| *added == place) {
            return Ok(number);
        }
        let number = topics.lock(place).open_transaction();
        open.partitions.push((place, number));
        Ok(number)
    }

    /// AddOffsetsToTxn and TxnOffsetCommit: the transaction begins here if nothing was produced.
    pub(super) fn add_offsets(
        &mut self,
        epoch: Epoch,
        offsets: &OffsetsToSend,
        now: i64,
    ) -> Result<(), TurnedDown> {
        self.check_epoch(epoch)?;
        self.open.get_or_insert_with(|| Open::since(now));
        self.take_offsets(offsets)
    }

    /// A TxnOffsetCommit that was under way for long: it begins no transaction any more (Kafka 4
    /// asks the coordinator, KIP-890 part 1), but joins one of the same epoch.
    pub(super) fn add_late_offsets(
        &mut self,
        epoch: Epoch,
        offsets: &OffsetsToSend,
    ) -> Result<(), TurnedDown> {
        self.check_epoch(epoch)?;
        self.take_offsets(offsets)
    }

    fn take_offsets(&mut self, offsets: &OffsetsToSend) -> Result<(), TurnedDown> {
        let open = self.open.as_mut().ok_or(TurnedDown::NotOpen)?;
        if !open.groups.iter().any(|group| Arc::ptr_eq(group, &offsets.group)) {
            open.groups.push(Arc::clone(&offsets.group));
        }
        let mut group = locked(&offsets.group);
        Ok(group.add_pending(offsets.member, &self.name, &offsets.commits)?)
    }

    /// EndTxn. It names no transaction, only an epoch: whatever of that epoch is open is decided.
    /// That is the hazard which Jepsen found in Kafka's protocol (Bufstream 0.1.0, 2024): a commit
    /// that was delayed can decide the next transaction, half done as that is. The repetition of a
    /// commit that did its work is answered as if it had done it.
    pub(super) fn end(
        &mut self,
        epoch: Epoch,
        decision: Decision,
        topics: &Topics,
    ) -> Result<Ended, TurnedDown> {
        self.check_epoch(epoch)?;
        if self.open.is_some() {
            self.decide(decision, topics);
            Ok(Ended::Decided)
        } else if self.last == Some(decision) {
            Ok(Ended::WasDecided)
        } else {
            Err(TurnedDown::NotOpen)
        }
    }

    /// Aborts a transaction that is open for longer than `timeout_ms` and fences its producer
    /// (`transaction.timeout.ms`; librdkafka has no KIP-588 to recover from it).
    pub(super) fn expire(&mut self, now: i64, timeout_ms: u64, topics: &Topics) {
        let is_over = |open: &Open| {
            u64::try_from(now.saturating_sub(open.since)).is_ok_and(|age_ms| age_ms > timeout_ms)
        };
        if self.open.as_ref().is_some_and(is_over) {
            self.initialise(topics);
        }
    }

    fn check_epoch(&self, epoch: Epoch) -> Result<(), TurnedDown> {
        if epoch == self.epoch { Ok(()) } else { Err(TurnedDown::Fenced) }
    }

    /// Writes the markers: outputs first, offsets last, so that whoever sees the offsets stable
    /// finds the outputs decided.
    fn decide(&mut self, decision: Decision, topics: &Topics) {
        let Some(open) = self.open.take() else { return };
        for (place, number) in open.partitions {
            topics.lock(place).end_transaction(number, decision);
        }
        for group in open.groups {
            locked(&group).end_transaction(&self.name, decision == Decision::Commit);
        }
        self.last = Some(decision);
    }
}

/// What an EndTxn did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It decided the open transaction.
    Decided,
    /// Nothing: the last transaction had ended like that already.
    WasDecided,
}

impl Open {
    fn since(now: i64) -> Open {
        Open { since: now, partitions: Vec::new(), groups: Vec::new() }
    }
}

/// Offsets on their way into a transaction, with the group metadata that KIP-447 sends along.
#[derive(Debug, Clone)]
pub(super) struct OffsetsToSend {
    pub(super) group: Arc<Mutex<Group>>,
    pub(super) member: MemberId,
    pub(super) commits: Vec<PartitionCommit>,
}

/// All transactional ids.
#[derive(Debug, Default)]
pub(super) struct Coordinator {
    ids: Mutex<BTreeMap<String, Arc<Mutex<TransactionalId>>>>,
}

impl Coordinator {
    /// What is known of an id, from its first use on.
    pub(super) fn id(&self, name: &str) -> Arc<Mutex<TransactionalId>> {
        let mut ids = locked(&self.ids);
        if let Some(id) = ids.get(name) {
            return Arc::clone(id);
        }
        let id = Arc::new(Mutex::new(TransactionalId::new(name)));
        ids.insert(name.to_owned(), Arc::clone(&id));
        id
    }

    /// Aborts every transaction that took too long.
    pub(super) fn expire(&self, now: i64, timeout_ms: u64, topics: &Topics) {
        for id in self.all() {
            locked(&id).expire(now, timeout_ms, topics);
        }
    }

    pub(super) fn open_transactions(&self) -> Vec<OpenTransaction> {
        let describe = |id: Arc<Mutex<TransactionalId>>| {
            let id = locked(&id);
            id.open.as_ref().map(|open| OpenTransaction {
                transactional_id: id.name.clone(),
                since: open.since,
                partitions: open.partitions.len(),
                has_offsets: !open.groups.is_empty(),
            })
        };
        self.all().into_iter().filter_map(describe).collect()
    }

    fn all(&self) -> Vec<Arc<Mutex<TransactionalId>>> {
        locked(&self.ids).values().cloned().collect()
    }
}
