//! Requests that are under way for longer than their sender waits.
//!
//! Kafka orders requests within a connection only: one that was stuck on a lost connection can
//! arrive after its sender has gone on, or after the sender is gone. Nothing arrives by itself here:
//! the embedder picks one and lets it arrive. Invariant: a late request is judged by what the broker
//! knows when it arrives, not by what was true when it was sent.

use super::EmbeddedBroker;
use super::locked;
use super::producer::{Producer, Sender};
use super::storage::Decision;
use super::transactions::{Ended, OffsetsToSend};

/// A request under way.
#[derive(Debug)]
pub(super) enum LateRequest {
    /// Fences whoever has the transactional id by then: the first InitProducerId of a producer
    /// names no epoch that could be too old.
    InitProducer(String),
    /// Joins whatever transaction of its epoch is open by then.
    SendOffsets(Sender, OffsetsToSend),
    /// Decides whatever transaction of its epoch is open by then.
    End(Sender, Decision),
}

impl EmbeddedBroker {
    /// How many requests are under way.
    pub fn late_requests(&self) -> usize {
        locked(&self.late).len()
    }

    /// Lets the request with this number (from 0, oldest first) arrive. Says whether it changed
    /// anything: it is turned down if its producer was replaced or its transaction decided.
    pub fn deliver_late(self: &std::sync::Arc<Self>, number: usize) -> bool {
        let request = {
            let mut late = locked(&self.late);
            (number < late.len()).then(|| late.remove(number))
        };
        match request {
            None => false,
            Some(LateRequest::InitProducer(transactional_id)) => {
                drop(Producer::initialise(self, &transactional_id));
                true
            }
            Some(LateRequest::SendOffsets(sender, offsets)) => {
                locked(&sender.id).add_late_offsets(sender.epoch, &offsets).is_ok()
            }
            Some(LateRequest::End(sender, decision)) => {
                matches!(sender.end(decision, self), Ok(Ended::Decided))
            }
        }
    }

    /// Keeps a request under way.
    pub(super) fn delay(&self, request: LateRequest) {
        locked(&self.late).push(request);
    }
}
