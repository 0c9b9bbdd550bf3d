//! A transactional publisher of input, as an upstream system may be one.
//!
//! Not a worker: no group, no offsets, and no faults are injected into it. Invariant: readers of
//! committed records see all of a transaction's records or none.

use std::sync::Arc;

use ledger::units::Offset;

use super::EmbeddedBroker;
use super::producer::Producer;
use super::storage::{Decision, NewRecord};
use crate::log::{LogError, Partition};

/// See the module's documentation. Dropping it leaves its transaction open, which keeps later input
/// from readers until it is timed out or its id is taken by another.
#[derive(Debug)]
pub struct EmbeddedPublisher {
    broker: Arc<EmbeddedBroker>,
    producer: Producer,
}

impl EmbeddedPublisher {
    pub(super) fn new(broker: Arc<EmbeddedBroker>, transactional_id: &str) -> EmbeddedPublisher {
        let producer = Producer::initialise(&broker, transactional_id);
        EmbeddedPublisher { broker, producer }
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// `Transaction` if one is open.
    pub fn begin(&mut self) -> Result<(), LogError> {
        self.producer.begin()
    }

    /// Appends records to a partition of the input, in order; returns the first one's offset.
    ///
    /// # Errors
    /// `Fenced` if another has the id; `Transaction` if none is open; `Fatal` if there is no such
    /// partition.
    pub fn append(
        &mut self,
        partition: Partition,
        records: &[NewRecord<'_>],
    ) -> Result<Offset, LogError> {
        let first = self.producer.append_input(partition, records)?;
        self.broker.activity.announce();
        Ok(first)
    }

    /// Shows the transaction's records to readers of committed ones.
    ///
    /// # Errors
    /// `Fenced` if another has the id; `Transaction` if none is open.
    pub fn commit(&mut self) -> Result<(), LogError> {
        self.end(Decision::Commit)
    }

    /// Hides the transaction's records for good.
    ///
    /// # Errors
    /// As for [`EmbeddedPublisher::commit`].
    pub fn abort(&mut self) -> Result<(), LogError> {
        self.end(Decision::Abort)
    }

    fn end(&mut self, decision: Decision) -> Result<(), LogError> {
        if !self.producer.is_unknown_to_broker()? {
            self.producer.end(decision)?;
        }
        self.producer.forget_transaction();
        Ok(())
    }
}
