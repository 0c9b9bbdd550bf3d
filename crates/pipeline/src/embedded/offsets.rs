//! Questions about a group's offsets and the log's bounds, answered by the embedded log.
//!
//! Not a member of the group: it owns nothing and sends no heartbeat. Invariant: an offset that an
//! open transaction may still move is not told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ledger::units::Offset;

use super::activity::Deadline;
use super::faults::{Call, Caller, judge};
use super::group::Group;
use super::topics::Topic;
use super::{EmbeddedBroker, Isolation, locked};
use crate::log::{Committed, InputBounds, LogError, Offsets, Partition};

/// The id of the cluster that an embedded log takes itself for.
const CLUSTER_ID: &str = "embedded";

/// See the module's documentation.
#[derive(Debug)]
pub struct EmbeddedOffsets {
    broker: Arc<EmbeddedBroker>,
    name: String,
    group: Arc<Mutex<Group>>,
}

impl EmbeddedOffsets {
    pub(super) fn new(broker: Arc<EmbeddedBroker>, name: &str) -> EmbeddedOffsets {
        let group = broker.group(name);
        EmbeddedOffsets { broker, name: name.to_owned(), group }
    }

    fn judge<T>(
        &self,
        call: Call<'_>,
        apply: impl FnOnce() -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        judge(self.broker.verdict(Caller::Offsets { group: &self.name }, call), apply)
    }

    fn stable_offsets(&self, partitions: &[Partition]) -> Option<Vec<Committed>> {
        let group = locked(&self.group);
        partitions.iter().map(|&partition| group.stable_offset(partition)).collect()
    }

    fn wait_for_stable(
        &self,
        partitions: &[Partition],
        deadline: Deadline,
    ) -> Result<Vec<Committed>, LogError> {
        for &partition in partitions {
            self.broker.place(Topic::Input, partition)?;
        }
        loop {
            let seen = self.broker.activity.count();
            if let Some(committed) = self.stable_offsets(partitions) {
                return Ok(committed);
            }
            if deadline.left().is_zero() || !self.broker.activity.sleep(seen, deadline) {
                let why = "an open transaction may still move the committed offset";
                return Err(LogError::Retry(why.to_owned()));
            }
        }
    }
}

impl Offsets for EmbeddedOffsets {
    fn committed(
        &mut self,
        partitions: &[Partition],
        wait: Duration,
    ) -> Result<Vec<Committed>, LogError> {
        self.judge(Call::Committed(partitions), || {
            self.wait_for_stable(partitions, self.broker.deadline(wait))
        })
    }

    fn input_bounds(&mut self, partition: Partition) -> Result<InputBounds, LogError> {
        self.judge(Call::InputBounds(partition), || {
            let place = self.broker.place(Topic::Input, partition)?;
            let bounds = self.broker.topics.lock(place).bounds();
            Ok(InputBounds { oldest: bounds.oldest, next: bounds.next })
        })
    }

    fn outputs_are_empty(&mut self, partition: Partition) -> Result<bool, LogError> {
        self.judge(Call::OutputsAreEmpty(partition), || {
            for topic in Topic::ALL.into_iter().filter(|topic| *topic != Topic::Input) {
                self.broker.place(topic, partition)?;
                let mut any = self.broker.bounds(topic, partition).oldest > Offset(0);
                let from = Offset(0);
                let committed = Isolation::ReadCommitted;
                self.broker.read(topic, partition, from, committed, &mut |_| any = true);
                if any {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    fn partition_count(&mut self) -> Result<u32, LogError> {
        self.judge(Call::PartitionCount, || Ok(self.broker.topics.partitions()))
    }

    fn cluster_id(&mut self) -> Result<String, LogError> {
        self.judge(Call::ClusterId, || Ok(CLUSTER_ID.to_owned()))
    }
}
