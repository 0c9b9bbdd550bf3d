//! The five topics, each with the same number of partitions, each partition behind its own lock.
//!
//! Not the log of a partition: that is `storage`. Invariant: the lock of a partition is the last
//! that anybody takes, and nobody holds two of them.

use std::sync::{Mutex, MutexGuard};

use crossbeam::utils::CachePadded;
use wire::outputs;

use super::locked;
use super::storage::PartitionLog;
use crate::log::Partition;

/// A topic of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The input.
    Input,
    /// One of the outputs.
    Output(outputs::Topic),
}

impl Topic {
    /// Every topic.
    pub const ALL: [Topic; 5] = [
        Topic::Input,
        Topic::Output(outputs::Topic::Status),
        Topic::Output(outputs::Topic::Settled),
        Topic::Output(outputs::Topic::DeadLetters),
        Topic::Output(outputs::Topic::Gmv),
    ];

    fn number(self) -> usize {
        match self {
            Topic::Input => 0,
            Topic::Output(topic) => 1 + topic as usize,
        }
    }
}

/// A partition of a topic, by its place among all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(usize);

impl Place {
    /// Its number, below [`Topics::places`].
    pub(super) fn index(self) -> usize {
        self.0
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Topics {
    partitions: u32,
    logs: Vec<CachePadded<Mutex<PartitionLog>>>,
}

impl Topics {
    pub(super) fn new(partitions: u32) -> Topics {
        let logs = (0..Topic::ALL.len() * partitions as usize).map(|_| CachePadded::default());
        Topics { partitions, logs: logs.collect() }
    }

    pub(super) fn partitions(&self) -> u32 {
        self.partitions
    }

    /// How many partitions there are, over all topics.
    pub(super) fn places(&self) -> usize {
        self.logs.len()
    }

    /// None if there is no such partition (Kafka's UNKNOWN_TOPIC_OR_PARTITION).
    pub(super) fn place(&self, topic: Topic, partition: Partition) -> Option<Place> {
        let index = topic.number() * self.partitions as usize + partition as usize;
        (partition < self.partitions).then_some(Place(index))
    }

    pub(super) fn lock(&self, place: Place) -> MutexGuard<'_, PartitionLog> {
        locked(&self.logs[place.0])
    }
}
