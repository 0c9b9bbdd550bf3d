//! What an audit found: figures, and sentences for the first findings.
//!
//! Bounded: however broken the outputs are, at most [`FINDINGS_MAX`] findings are kept in words.

use serde::Serialize;

use crate::record::Topic;

/// How many findings are kept in words, for each partition and for a whole audit.
pub const FINDINGS_MAX: usize = 20;

/// The figures of an audit. All but the first three must be 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Input records that were judged.
    pub inputs: u64,
    /// Output records that were judged, of all four topics.
    pub outputs: u64,
    /// Output records that were not, since their input lies before the state that the audit began
    /// with. Of the counters the last record of each is compared with that state nevertheless.
    pub outputs_not_checked: u64,
    /// Holds, and settlements on placement, that took a cell's on_hand below zero.
    pub oversold: u64,
    /// Outputs that should be there and are not.
    pub lost: u64,
    /// Outputs that are there again.
    pub duplicated: u64,
    /// Counter records with wrong totals, and counters whose last record is missing or outdated.
    pub miscounted: u64,
    /// Outputs with other content than they should have, out of their order, or that nothing
    /// explains.
    pub different: u64,
}

impl Verdict {
    /// Whether everything that was judged is as the contract says.
    pub fn clean(&self) -> bool {
        let Verdict { oversold, lost, duplicated, miscounted, different, .. } = *self;
        [oversold, lost, duplicated, miscounted, different] == [0; 5]
    }

    /// Adds the figures of another part of the same audit.
    pub fn add(&mut self, other: &Verdict) {
        self.inputs += other.inputs;
        self.outputs += other.outputs;
        self.outputs_not_checked += other.outputs_not_checked;
        self.oversold += other.oversold;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.miscounted += other.miscounted;
        self.different += other.different;
    }
}

/// The verdict on one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionVerdict {
    /// The partition.
    pub partition: u32,
    /// The input offset that the audit started at.
    pub starts_at: u64,
    /// The committed offset that it ended before.
    pub committed: u64,
    /// The figures.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The first findings, as sentences that name topic, partition and offset.
    pub findings: Vec<String>,
}

/// The verdict on all partitions together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// The figures of all partitions, added up.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// How many partitions were judged.
    pub partitions: u32,
    /// The highest input offset that the audit of a partition started at; 0 when every partition
    /// was judged from its beginning.
    pub starts_at: u64,
    /// The first findings.
    pub findings: Vec<String>,
}

impl AuditReport {
    /// Adds the verdict on one partition.
    pub fn add(&mut self, partition: PartitionVerdict) {
        self.verdict.add(&partition.verdict);
        self.partitions += 1;
        self.starts_at = self.starts_at.max(partition.starts_at);
        let room = FINDINGS_MAX - self.findings.len();
        self.findings.extend(partition.findings.into_iter().take(room));
    }
}

/// Which figure a finding belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Oversold,
    Lost,
    Duplicated,
    Miscounted,
    Different,
}

/// Collects the findings on one partition.
#[derive(Debug)]
pub(crate) struct Findings {
    partition: u32,
    pub(crate) verdict: Verdict,
    pub(crate) sentences: Vec<String>,
}

impl Findings {
    pub(crate) fn new(partition: u32) -> Findings {
        Findings { partition, verdict: Verdict::default(), sentences: Vec::new() }
    }

    /// Counts a fault; `offset` is that of the output record, if there is one. The words are only
    /// made while there is room for them.
    pub(crate) fn add(
        &mut self,
        fault: Fault,
        topic: Topic,
        offset: Option<u64>,
        words: impl FnOnce() -> String,
    ) {
        let (figure, name) = match fault {
            Fault::Oversold => (&mut self.verdict.oversold, "oversold"),
            Fault::Lost => (&mut self.verdict.lost, "lost"),
            Fault::Duplicated => (&mut self.verdict.duplicated, "duplicated"),
            Fault::Miscounted => (&mut self.verdict.miscounted, "miscounted"),
            Fault::Different => (&mut self.verdict.different, "different"),
        };
        *figure += 1;
        if self.sentences.len() < FINDINGS_MAX {
            let (topic, partition) = (topic.name(), self.partition);
            let place = offset.map_or(String::new(), |offset| format!(", offset {offset}"));
            let words = words();
            self.sentences.push(format!("{name}: {topic}, partition {partition}{place}: {words}"));
        }
    }
}
