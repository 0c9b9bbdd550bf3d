//! The client's half of a transaction: one producer of a transactional id, and what it believes to
//! be open.
//!
//! Not the coordinator: it asks that one only when its transaction reaches a further partition, and
//! else takes for granted that the transaction is open, as Kafka's clients do. Invariant: a record
//! is appended only under the epoch and the transaction for which its producer was let in.

use std::sync::{Arc, Mutex, MutexGuard};

use ledger::units::Offset;
use wire::outputs::{Output, Outputs};

use super::headers::OutputHeaders;
use super::storage::{Decision, NewRecord, PartitionLog, TransactionNumber};
use super::topics::{Place, Topic};
use super::transactions::{Ended, Epoch, OffsetsToSend, TransactionalId, TurnedDown};
use super::{EmbeddedBroker, locked};
use crate::log::{LogError, Partition};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Producer {
    broker: Arc<EmbeddedBroker>,
    id: Arc<Mutex<TransactionalId>>,
    epoch: Epoch,
    transaction: Option<Begun>,
    /// Of the places in the transaction their number for it; by [`Place::index`].
    numbers: Vec<Option<TransactionNumber>>,
}

/// A transaction in the client's eyes.
#[derive(Debug, Default)]
struct Begun {
    places: Vec<Place>,
    has_offsets: bool,
    suspicion: Option<String>,
}

/// What a request under way needs to arrive after its producer is gone.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    pub(super) id: Arc<Mutex<TransactionalId>>,
    pub(super) epoch: Epoch,
}

impl Producer {
    /// A producer that has fenced every older one of its transactional id.
    pub(super) fn initialise(broker: &Arc<EmbeddedBroker>, transactional_id: &str) -> Producer {
        let id = broker.coordinator.id(transactional_id);
        let epoch = locked(&id).initialise(&broker.topics);
        broker.activity.announce();
        let numbers = vec![None; broker.topics.places()];
        Producer { broker: Arc::clone(broker), id, epoch, transaction: None, numbers }
    }

    pub(super) fn sender(&self) -> Sender {
        Sender { id: Arc::clone(&self.id), epoch: self.epoch }
    }

    /// Begins a transaction. The broker hears of it with the first record or offset.
    pub(super) fn begin(&mut self) -> Result<(), LogError> {
        if self.transaction.is_some() {
            return Err(LogError::Transaction("a transaction is open already".to_owned()));
        }
        self.transaction = Some(Begun::default());
        Ok(())
    }

    fn begun(&mut self) -> Result<&mut Begun, LogError> {
        let missing = || LogError::Transaction("no transaction was begun".to_owned());
        self.transaction.as_mut().ok_or_else(missing)
    }

    /// Appends the outputs from number `first` on, neighbours of one partition under one lock.
    pub(super) fn append_outputs(
        &mut self,
        outputs: &Outputs,
        first: usize,
    ) -> Result<(), LogError> {
        let mut next = first;
        while let Some(output) = outputs.get(next) {
            let place = self.place(Topic::Output(output.topic), output.partition)?;
            let number = self.join(place)?;
            let mut log = self.lock_open(place, number)?;
            let belongs = |output: &Output<'_>| {
                let topic = Topic::Output(output.topic);
                self.broker.topics.place(topic, output.partition) == Some(place)
            };
            while let Some(output) = outputs.get(next).filter(belongs) {
                append_output(&mut log, &output, number);
                next += 1;
            }
        }
        Ok(())
    }

    /// Appends records to a partition of the input.
    pub(super) fn append_input(
        &mut self,
        partition: Partition,
        records: &[NewRecord<'_>],
    ) -> Result<Offset, LogError> {
        let place = self.place(Topic::Input, partition)?;
        let number = self.join(place)?;
        let mut log = self.lock_open(place, number)?;
        let first = log.bounds().next;
        for record in records {
            log.append_transactional(&self.broker.stamped(record), number);
        }
        Ok(first)
    }

    fn place(&mut self, topic: Topic, partition: Partition) -> Result<Place, LogError> {
        self.begun()?;
        let missing = || LogError::Fatal(format!("{topic:?} has no partition {partition}"));
        self.broker.topics.place(topic, partition).ok_or_else(missing)
    }

    /// Takes a partition into the transaction, if it is not in it yet.
    fn join(&mut self, place: Place) -> Result<TransactionNumber, LogError> {
        if let Some(number) = self.numbers[place.index()] {
            return Ok(number);
        }
        let (topics, now) = (&self.broker.topics, self.broker.now());
        let number = locked(&self.id).add_partition(self.epoch, place, topics, now)?;
        self.numbers[place.index()] = Some(number);
        self.begun()?.places.push(place);
        Ok(number)
    }

    /// The partition's log, if the transaction is still open there.
    fn lock_open(
        &self,
        place: Place,
        number: TransactionNumber,
    ) -> Result<MutexGuard<'_, PartitionLog>, LogError> {
        let log = self.broker.topics.lock(place);
        match log.check_open(number) {
            Ok(()) => Ok(log),
            Err(_) => {
                drop(log);
                let is_newest = locked(&self.id).epoch() == self.epoch;
                Err(if is_newest { TurnedDown::NotOpen } else { TurnedDown::Fenced }.into())
            }
        }
    }

    /// Brings offsets into the transaction.
    pub(super) fn send_offsets(&mut self, offsets: &OffsetsToSend) -> Result<(), LogError> {
        self.begun()?.has_offsets = true;
        let now = self.broker.now();
        Ok(locked(&self.id).add_offsets(self.epoch, offsets, now)?)
    }

    /// Whether the broker does not know of the transaction yet, so that nothing has to be decided.
    pub(super) fn is_unknown_to_broker(&mut self) -> Result<bool, LogError> {
        let begun = self.begun()?;
        Ok(begun.places.is_empty() && !begun.has_offsets)
    }

    /// Has the transaction decided.
    pub(super) fn end(&mut self, decision: Decision) -> Result<(), LogError> {
        self.sender().end(decision, &self.broker).map_err(LogError::from)?;
        Ok(())
    }

    /// A request of this transaction may still be under way.
    pub(super) fn suspect(&mut self, why: String) {
        if let Some(begun) = &mut self.transaction {
            begun.suspicion.get_or_insert(why);
        }
    }

    /// Forgets the transaction, which has ended; says what was suspicious about it.
    pub(super) fn forget_transaction(&mut self) -> Option<String> {
        let begun = self.transaction.take()?;
        for place in begun.places {
            self.numbers[place.index()] = None;
        }
        begun.suspicion
    }
}

impl Sender {
    /// EndTxn, as it arrives.
    pub(super) fn end(
        &self,
        decision: Decision,
        broker: &EmbeddedBroker,
    ) -> Result<Ended, TurnedDown> {
        let ended = locked(&self.id).end(self.epoch, decision, &broker.topics);
        broker.activity.announce();
        ended
    }
}

fn append_output(log: &mut PartitionLog, output: &Output<'_>, number: TransactionNumber) {
    let headers = OutputHeaders(&output.headers);
    let timestamp = i64::try_from(output.timestamp.0).unwrap_or(i64::MAX);
    let (key, value) = (output.key, output.value);
    log.append_transactional(&NewRecord { timestamp, key, value, headers: &headers }, number);
}
