//! How a partition is opened: committed offset, its metadata, the newest usable snapshot, and the
//! decision whether the input between the two can be replayed.
//!
//! Runs off the worker's thread; the replay itself is the worker's. Skipping input or continuing a
//! foreign history silently is the worst that could happen here, so whatever does not fit exactly
//! is refused by name. Invariant: a partition that is opened stands at an offset S <= C, and
//! everything in [S, C) is still in the input.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ledger::rules::Rules;
use ledger::units::Offset;
use ledger::{Ledger, STATE_VERSION};

use crate::digest::Digest;
use crate::engine::Engine;
use crate::log::{Committed, LogError, Offsets, Partition};
use crate::metadata::{CommitMetadata, RulesHash, rules_text, rules_with_hash};
use crate::snapshot::{self, Header};
use crate::stock_view::PartitionView;
use crate::store::{Place, SnapshotStore, StoreError};

/// Longest wait for a transaction of somebody else to be decided, for each try.
const COMMITTED_WAIT: Duration = Duration::from_secs(2);

/// What all partitions of a pipeline have in common.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Id of the Kafka cluster.
    pub cluster: String,
    /// The consumer group.
    pub group: String,
    /// Name of the input topic.
    pub topic: String,
    /// The rules that this process is configured with.
    pub rules: Rules,
}

impl Pipeline {
    /// Where the snapshots of one of its partitions are.
    pub fn place(&self, partition: Partition) -> Place {
        Place {
            cluster: self.cluster.clone(),
            group: self.group.clone(),
            topic: self.topic.clone(),
            partition,
        }
    }

    /// A partition's machine as a snapshot has it, under this pipeline's rules.
    pub fn engine_from(&self, partition: Partition, header: &Header, mut ledger: Ledger) -> Engine {
        ledger.set_rules(self.rules);
        let digest = Digest::from_bits(header.digest);
        Engine::resume(partition, &self.topic, self.rules, ledger, digest, header.offset)
    }
}

/// A partition that can be worked on, after a replay where there is one.
#[derive(Debug)]
pub struct Opened {
    /// Its state at the snapshot, or a new one.
    pub engine: Engine,
    /// The committed offset, if there is one.
    pub committed: Option<Offset>,
    /// What is to be replayed before live work begins.
    pub replay: Option<Replay>,
    /// The newest snapshot, if there is one.
    pub snapshot: Option<Offset>,
    /// Its stock, for readers.
    pub view: Arc<PartitionView>,
    /// Snapshots that were passed over, and why.
    pub skipped: Vec<String>,
}

/// Input that was answered already and is applied again, with its outputs dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// The committed offset: where live work begins.
    pub until: Offset,
    /// The digest that the replay must reach.
    pub digest: Digest,
}

/// Why a partition was not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    /// In passing: it is tried again.
    #[error("{0}")]
    Trouble(String),
    /// Somebody has to do something first.
    #[error("{0}")]
    Refused(#[from] Refusal),
}

impl From<LogError> for NotOpened {
    fn from(error: LogError) -> NotOpened {
        NotOpened::Trouble(error.to_string())
    }
}

impl From<StoreError> for NotOpened {
    fn from(error: StoreError) -> NotOpened {
        NotOpened::Trouble(error.to_string())
    }
}

/// Why a partition may not be worked on before somebody has decided what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Refusal {
    #[error(
        "partition {partition}: the group has no commit of ours for it (found {found}), but {evidence}. \
         Its offsets were lost or reset; starting at 0 would settle every order again. \
         Run `floodgate snapshot adopt --partition {partition}` to continue from a snapshot"
    )]
    HistoryWithoutCommit { partition: Partition, found: String, evidence: String },
    #[error(
        "partition {partition}: the input begins at offset {oldest}, but offset {needed} is needed. \
         Input that was never answered is gone; raise the retention of the input topic, and restore \
         the topic or a newer snapshot"
    )]
    InputTruncated { partition: Partition, needed: u64, oldest: u64 },
    #[error(
        "partition {partition}: offset {committed} is committed, but the input ends at {next}. \
         The topic was truncated or made anew under its old name; use a new group for a new topic"
    )]
    InputBehindCommit { partition: Partition, committed: u64, next: u64 },
    #[error(
        "partition {partition}: offset {committed} is committed and no usable snapshot lies at or \
         below it, nor does the input reach back to its beginning. Restore the snapshots ({skipped})"
    )]
    NoSnapshot { partition: Partition, committed: u64, skipped: String },
    #[error(
        "partition {partition} was decided with {recorded} partitions, the topics have {actual}. \
         The number of partitions is fixed for life: give the topics their old number back, or start \
         a new pipeline with new topics and a new group"
    )]
    PartitionCount { partition: Partition, recorded: u32, actual: u32 },
    #[error(
        "partition {partition}: {count} records since the last snapshot were decided under other \
         rules and cannot be replayed under these.\n  recorded:   {recorded}\n  configured: {configured}\n\
         Start with the recorded rules, stop cleanly (SIGTERM), then start with the new ones"
    )]
    RulesDiffer { partition: Partition, count: u64, recorded: String, configured: String },
    #[error(
        "partition {partition}: {count} records since the last snapshot were decided by state \
         version {recorded}, this program is version {own}. Start the program that wrote them, stop \
         it cleanly (SIGTERM), then start this one"
    )]
    StateVersion { partition: Partition, count: u64, recorded: u32, own: u32 },
    #[error(
        "partition {partition}: the replay from offset {from} to {until} ended with digest {found}, \
         committed was {expected}. Determinism was lost, the code was changed without a new state \
         version, or input or snapshot are damaged. Nothing was written. Run `floodgate audit`, keep \
         the snapshots, and start the program that wrote the commits"
    )]
    DigestDiffers { partition: Partition, from: u64, until: u64, expected: Digest, found: Digest },
    #[error(
        "partition {partition}: the input ended at {position} during the replay to {until}; records \
         that were answered are gone. Restore the topic"
    )]
    ReplayCutShort { partition: Partition, position: u64, until: u64 },
}

impl Refusal {
    /// A short name of each kind, in the order of their numbers.
    pub(crate) const KINDS: [&str; 8] = [
        "history_without_commit",
        "input_truncated",
        "input_behind_commit",
        "no_snapshot",
        "partition_count",
        "rules_differ",
        "state_version",
        "digest_differs",
    ];

    pub(crate) fn number(&self) -> usize {
        match self {
            Refusal::HistoryWithoutCommit { .. } => 0,
            // Either way, input that is needed is gone.
            Refusal::InputTruncated { .. } | Refusal::ReplayCutShort { .. } => 1,
            Refusal::InputBehindCommit { .. } => 2,
            Refusal::NoSnapshot { .. } => 3,
            Refusal::PartitionCount { .. } => 4,
            Refusal::RulesDiffer { .. } => 5,
            Refusal::StateVersion { .. } => 6,
            Refusal::DigestDiffers { .. } => 7,
        }
    }

    /// Whether the configuration (or the program) is what does not fit: the process exits 78.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Refusal::RulesDiffer { .. }
                | Refusal::StateVersion { .. }
                | Refusal::PartitionCount { .. }
        )
    }
}

/// Opens partitions; owned by the thread that does.
pub struct Opener {
    pipeline: Pipeline,
    offsets: Box<dyn Offsets>,
    store: Arc<dyn SnapshotStore>,
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Opener").field("pipeline", &self.pipeline).finish_non_exhaustive()
    }
}

impl Opener {
    /// An opener for one pipeline.
    pub fn new(
        pipeline: Pipeline,
        offsets: Box<dyn Offsets>,
        store: Arc<dyn SnapshotStore>,
    ) -> Opener {
        Opener { pipeline, offsets, store }
    }

    /// The committed offsets of these partitions; waits a while for open transactions on them.
    pub fn committed(&mut self, partitions: &[Partition]) -> Result<Vec<Committed>, LogError> {
        self.offsets.committed(partitions, COMMITTED_WAIT)
    }

    /// Loads what there is of a partition and decides where it goes on.
    pub fn open(&mut self, partition: Partition) -> Result<Opened, NotOpened> {
        let committed = self.committed(&[partition])?;
        let [committed] = committed.as_slice() else {
            return Err(NotOpened::Trouble("no answer about the committed offset".to_owned()));
        };
        let ours = committed.metadata.parse::<CommitMetadata>().ok();
        match (committed.offset, ours) {
            (Some(offset), Some(metadata)) => self.resume(partition, offset, metadata),
            (found, _) => self.first_start(partition, found, &committed.metadata),
        }
    }

    fn first_start(
        &mut self,
        partition: Partition,
        found: Option<Offset>,
        metadata: &str,
    ) -> Result<Opened, NotOpened> {
        let snapshots = self.store.list(&self.pipeline.place(partition))?;
        let evidence = match snapshots.first() {
            Some(Offset(offset)) => Some(format!("there is a snapshot at offset {offset}")),
            None if self.offsets.outputs_are_empty(partition)? => None,
            None => Some("its output partitions are not empty".to_owned()),
        };
        if let Some(evidence) = evidence {
            let found = match found {
                Some(Offset(offset)) => format!("offset {offset} with metadata {metadata:?}"),
                None => "none".to_owned(),
            };
            return Err(Refusal::HistoryWithoutCommit { partition, found, evidence }.into());
        }
        self.check_input(partition, Offset(0), Offset(0))?;
        Ok(self.opened_new(partition, None, Vec::new()))
    }

    fn resume(
        &mut self,
        partition: Partition,
        committed: Offset,
        metadata: CommitMetadata,
    ) -> Result<Opened, NotOpened> {
        let mut skipped = Vec::new();
        let loaded = newest_snapshot(
            &*self.store,
            &self.pipeline.place(partition),
            committed,
            &mut skipped,
        )?;
        let start = loaded.as_ref().map_or(Offset(0), |(header, _)| header.offset);
        let recorded = loaded.as_ref().map(|(header, _)| header.rules);
        self.check_rules(partition, committed, start, &metadata, recorded)?;
        if let Err(refusal) = self.check_input(partition, start, committed) {
            return Err(match (refusal, loaded.is_none()) {
                (NotOpened::Refused(Refusal::InputTruncated { .. }), true) => Refusal::NoSnapshot {
                    partition,
                    committed: committed.0,
                    skipped: describe_skipped(&skipped),
                }
                .into(),
                (refusal, _) => refusal,
            });
        }
        let replay = Replay { until: committed, digest: metadata.digest };
        let mut opened = match loaded {
            Some((header, ledger)) => {
                self.opened_from(partition, &header, ledger, committed, skipped)
            }
            None => self.opened_new(partition, Some(committed), skipped),
        };
        if start < committed {
            opened.replay = Some(replay);
        } else if opened.engine.digest() != metadata.digest {
            return Err(Refusal::DigestDiffers {
                partition,
                from: start.0,
                until: committed.0,
                expected: metadata.digest,
                found: opened.engine.digest(),
            }
            .into());
        }
        Ok(opened)
    }

    fn check_rules(
        &self,
        partition: Partition,
        committed: Offset,
        start: Offset,
        metadata: &CommitMetadata,
        recorded: Option<Rules>,
    ) -> Result<(), Refusal> {
        let own = &self.pipeline.rules;
        if let Some(recorded) = recorded
            && recorded.partitions != own.partitions
        {
            let (recorded, actual) = (recorded.partitions, own.partitions);
            return Err(Refusal::PartitionCount { partition, recorded, actual });
        }
        let count = committed.0 - start.0;
        if count > 0 && metadata.state_version != STATE_VERSION {
            let (recorded, own) = (metadata.state_version, STATE_VERSION);
            return Err(Refusal::StateVersion { partition, count, recorded, own });
        }
        if count > 0 && metadata.rules != RulesHash::of(own) {
            let known: Vec<Rules> = [*own, Rules::default()].into_iter().chain(recorded).collect();
            let recorded = match rules_with_hash(metadata.rules, &known) {
                Some(rules) if rules.partitions != own.partitions => {
                    let (recorded, actual) = (rules.partitions, own.partitions);
                    return Err(Refusal::PartitionCount { partition, recorded, actual });
                }
                Some(rules) => rules_text(&rules),
                None => format!(
                    "their hash is {}, and no snapshot says more; they are no mixture of the \
                     configured ones and the defaults. A start with them logged `joining the \
                     group` with this rules_hash and the rules themselves",
                    metadata.rules
                ),
            };
            let configured = format!("{} (their hash is {})", rules_text(own), RulesHash::of(own));
            return Err(Refusal::RulesDiffer { partition, count, recorded, configured });
        }
        Ok(())
    }

    fn check_input(
        &mut self,
        partition: Partition,
        needed: Offset,
        committed: Offset,
    ) -> Result<(), NotOpened> {
        let bounds = self.offsets.input_bounds(partition)?;
        if bounds.oldest > needed {
            let (needed, oldest) = (needed.0, bounds.oldest.0);
            return Err(Refusal::InputTruncated { partition, needed, oldest }.into());
        }
        if bounds.next < committed {
            let (committed, next) = (committed.0, bounds.next.0);
            return Err(Refusal::InputBehindCommit { partition, committed, next }.into());
        }
        Ok(())
    }

    fn opened_new(
        &self,
        partition: Partition,
        committed: Option<Offset>,
        skipped: Vec<String>,
    ) -> Opened {
        let engine = Engine::new(partition, &self.pipeline.topic, self.pipeline.rules);
        let view = Arc::new(PartitionView::of(engine.ledger()));
        Opened { engine, committed, replay: None, snapshot: None, view, skipped }
    }

    fn opened_from(
        &self,
        partition: Partition,
        header: &Header,
        ledger: Ledger,
        committed: Offset,
        skipped: Vec<String>,
    ) -> Opened {
        let engine = self.pipeline.engine_from(partition, header, ledger);
        let view = Arc::new(PartitionView::of(engine.ledger()));
        Opened {
            engine,
            committed: Some(committed),
            replay: None,
            snapshot: Some(header.offset),
            view,
            skipped,
        }
    }
}

/// The newest snapshot at or below `at_most` that can be used; what was passed over, and why, is
/// added to `skipped`.
pub fn newest_snapshot(
    store: &dyn SnapshotStore,
    place: &Place,
    at_most: Offset,
    skipped: &mut Vec<String>,
) -> Result<Option<(Header, Ledger)>, StoreError> {
    for offset in store.list(place)? {
        if offset > at_most {
            skipped.push(format!("{offset:?} lies beyond the commit"));
            continue;
        }
        let bytes = store.read(place, offset)?;
        match snapshot::decode(place, offset, &bytes) {
            Ok(loaded) => return Ok(Some(loaded)),
            Err(damage) => skipped.push(format!("{}: {damage}", offset.0)),
        }
    }
    Ok(None)
}

/// The oldest snapshot within these offsets from which everything that follows was decided under
/// `rules`: one that was taken under others ends the search. What was passed over, and why, is added
/// to `skipped`.
pub fn oldest_snapshot(
    store: &dyn SnapshotStore,
    place: &Place,
    within: RangeInclusive<Offset>,
    rules: &Rules,
    skipped: &mut Vec<String>,
) -> Result<Option<(Header, Ledger)>, StoreError> {
    let mut oldest = None;
    for offset in store.list(place)? {
        if !within.contains(&offset) {
            skipped.push(format!("{} lies outside", offset.0));
            continue;
        }
        // A running pipeline may remove it while it is being read.
        let loaded =
            store.read(place, offset).map_err(|error| error.to_string()).and_then(|bytes| {
                snapshot::decode(place, offset, &bytes).map_err(|damage| damage.to_string())
            });
        match loaded {
            Ok(loaded) => {
                let is_under_others = loaded.0.rules != *rules;
                oldest = Some(loaded);
                if is_under_others {
                    break;
                }
            }
            Err(why) => skipped.push(format!("{}: {why}", offset.0)),
        }
    }
    Ok(oldest)
}

/// In words, what was passed over.
pub fn describe_skipped(skipped: &[String]) -> String {
    if skipped.is_empty() { "none was found".to_owned() } else { skipped.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ObjectSnapshots;

    fn place() -> Place {
        let [cluster, group, topic] = ["c", "g", "orders"].map(str::to_owned);
        Place { cluster, group, topic, partition: 3 }
    }

    fn keep(store: &ObjectSnapshots, offset: u64, rules: Rules) {
        let state = Ledger::new(rules).snapshot();
        let offset = Offset(offset);
        let header = Header { state_version: STATE_VERSION, offset, digest: 0, rules };
        let bytes = snapshot::encode(&place(), &header, &state).unwrap();
        store.create(&place(), offset, bytes).unwrap();
    }

    /// The oldest of snapshots at 10, 20, ... that were taken under these skews and can be used under
    /// a skew of 1; the one at 40 is damaged.
    fn oldest(within: RangeInclusive<u64>, skews: &[u64]) -> (Option<u64>, usize) {
        let store = ObjectSnapshots::in_memory().unwrap();
        let rules = |skew_ms| Rules { skew_ms, ..Rules::default() };
        for (number, skew) in skews.iter().enumerate() {
            let offset = 10 * (number as u64 + 1);
            if offset == 40 {
                store.create(&place(), Offset(offset), b"damaged".to_vec()).unwrap();
            } else {
                keep(&store, offset, rules(*skew));
            }
        }
        let within = Offset(*within.start())..=Offset(*within.end());
        let mut skipped = Vec::new();
        let found = oldest_snapshot(&store, &place(), within, &rules(1), &mut skipped).unwrap();
        (found.map(|(header, _)| header.offset.0), skipped.len())
    }

    #[test]
    fn the_oldest_snapshot_between_input_and_commit_is_found_past_damaged_ones() {
        assert_eq!(oldest(0..=99, &[1, 1, 1]), (Some(10), 0));
        assert_eq!(oldest(10..=30, &[1, 1, 1]), (Some(10), 0));
        assert_eq!(oldest(11..=30, &[1, 1, 1]), (Some(20), 1));
        assert_eq!(oldest(0..=9, &[1, 1, 1]), (None, 3));
        assert_eq!(oldest(31..=60, &[1, 1, 1, 1, 1]), (Some(50), 4));
        assert_eq!(oldest(31..=49, &[1, 1, 1, 1, 1]), (None, 5));
        // The input begins behind the commit.
        assert_eq!(oldest(RangeInclusive::new(11, 5), &[1]), (None, 1));
    }

    #[test]
    fn nothing_that_was_decided_under_other_rules_lies_behind_the_oldest_snapshot() {
        assert_eq!(oldest(0..=99, &[2, 2, 1]), (Some(20), 0));
        assert_eq!(oldest(0..=99, &[2, 1, 2]), (Some(30), 0));
        assert_eq!(oldest(0..=99, &[1, 2, 1, 1, 1]), (Some(20), 1));
        assert_eq!(oldest(0..=15, &[1, 2]), (Some(10), 1));
    }
}
