//! Continuing a partition whose committed offset was lost, from a snapshot and what was written.
//!
//! The outputs that the topics hold beyond the snapshot are derived again from the input and
//! compared, topic by topic, by their chained hashes; where they agree, the partition goes on right
//! behind the last record that caused one. Nothing is written here: the caller commits the result.
//! Invariant: what is adopted is the history that readers have seen, to the last byte.

use ledger::effect::DeadLetter;
use ledger::units::Offset;
use wire::{Outputs, Record, Topic};

use crate::digest::Digest;
use crate::engine::Engine;
use crate::log::{Partition, PartitionCommit};
use crate::metadata::{CommitMetadata, RulesHash};

/// The topics whose outputs an input record causes; what is compared.
const TOPICS: [Topic; 3] = [Topic::Status, Topic::Settled, Topic::DeadLetters];

/// What a partition's output topics hold from some input offset on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    topics: [Chain; TOPICS.len()],
    last_cause: Option<Offset>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Chain {
    outputs: u64,
    digest: Digest,
}

/// Why a partition cannot be continued from a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAdopted {
    /// The outputs and the snapshot belong to different histories.
    #[error(
        "{topic}: the {found} outputs after the snapshot differ from the {expected} that its state \
         causes: the snapshot is of another history, or rules or code have changed since"
    )]
    Differs {
        /// In which topic.
        topic: &'static str,
        /// How many outputs there are.
        found: u64,
        /// How many there should be.
        expected: u64,
    },
    /// Input between the snapshot and the last output is gone.
    #[error("the input ends at offset {end}, but offset {needed} has caused an output")]
    InputMissing {
        /// The first offset that is not there.
        end: u64,
        /// An offset that was there once.
        needed: u64,
    },
}

impl Written {
    /// Takes in an output that `cause` had; outputs of one topic come in their order. A counter tells
    /// only how far the partition was: it must not be written again as of an earlier record.
    pub fn note(
        &mut self,
        topic: Topic,
        dead_letter: Option<DeadLetter>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        cause: Offset,
    ) {
        self.last_cause = self.last_cause.max(Some(cause));
        self.fold(topic, dead_letter, key, value);
    }

    fn fold(
        &mut self,
        topic: Topic,
        dead_letter: Option<DeadLetter>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) {
        if let Some(number) = TOPICS.iter().position(|candidate| *candidate == topic) {
            let chain = &mut self.topics[number];
            chain.outputs += 1;
            chain.digest.fold_one(topic, dead_letter, key, value);
        }
    }

    fn fold_all(&mut self, outputs: &Outputs) {
        for output in outputs.iter() {
            self.fold(output.topic, output.dead_letter, output.key, output.value);
        }
    }
}

/// Replays up to the last record that has caused an output, and compares.
pub struct Adoption {
    partition: Partition,
    engine: Engine,
    written: Written,
    derived: Written,
    outputs: Outputs,
}

impl std::fmt::Debug for Adoption {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Adoption").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl Adoption {
    /// Starts from the state of a snapshot and what was written from its offset on.
    pub fn new(partition: Partition, engine: Engine, written: Written) -> Adoption {
        Adoption {
            partition,
            engine,
            written,
            derived: Written::default(),
            outputs: Outputs::new(),
        }
    }

    /// Where the partition goes on: behind the last record that has caused an output, or at the
    /// snapshot.
    pub fn until(&self) -> Offset {
        let end = self.written.last_cause.map_or(Offset(0), |cause| Offset(cause.0 + 1));
        end.max(self.engine.next())
    }

    /// Applies the next input records, those below [`Adoption::until`] only.
    pub fn replay(&mut self, records: &[Record<'_>]) {
        self.engine.apply(records, &mut self.outputs);
        self.derived.fold_all(&self.outputs);
        self.outputs.clear();
    }

    /// The commit that continues the partition, if everything agrees.
    pub fn finish(self, rules: RulesHash, snapshot: Offset) -> Result<PartitionCommit, NotAdopted> {
        let (end, until) = (self.engine.next(), self.until());
        if end < until {
            return Err(NotAdopted::InputMissing { end: end.0, needed: until.0 - 1 });
        }
        for (number, topic) in TOPICS.iter().enumerate() {
            let (found, expected) = (self.written.topics[number], self.derived.topics[number]);
            if found != expected {
                return Err(NotAdopted::Differs {
                    topic: topic.default_name(),
                    found: found.outputs,
                    expected: expected.outputs,
                });
            }
        }
        let metadata = CommitMetadata {
            state_version: ledger::STATE_VERSION,
            rules,
            digest: self.engine.digest(),
            snapshot: Some(snapshot),
        };
        let metadata = metadata.to_string();
        Ok(PartitionCommit { partition: self.partition, offset: until, metadata })
    }
}
