//! What came of a run: recoveries by fault, records, and the verdict of the audit.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::Fault;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Report {
    /// Strikes of each kind.
    pub strikes: BTreeMap<Fault, u32>,
    /// How long recovery took, each time.
    pub recoveries: BTreeMap<Fault, Vec<Duration>>,
    /// What could not be played here, and why.
    pub skipped: BTreeMap<Fault, String>,
    /// Processes that ended without having been killed, and what they said last.
    pub ended: Vec<String>,
    /// Transactions committed by thawed processes before they knew what they had lost.
    pub zombie_commits: u64,
    /// Records that the broker acknowledged to the publisher.
    pub published: u64,
    /// How long the run took, its audit included.
    pub took: Duration,
    /// What the audit found.
    pub verdict: Verdict,
}

/// What `floodgate audit` found.
#[derive(Debug, Default, Clone)]
pub struct Verdict {
    /// Records judged.
    pub inputs: u64,
    /// Outputs judged.
    pub outputs: u64,
    /// Figures that have to be 0, by name.
    pub zeros: BTreeMap<&'static str, u64>,
    /// What it had to say about those that are not.
    pub findings: Vec<String>,
}

impl Verdict {
    const ZEROS: [&str; 5] = ["oversold", "lost", "duplicated", "miscounted", "different"];

    /// Out of the audit's own words.
    pub(super) fn of(audit: &Value) -> Option<Verdict> {
        let zeros = Self::ZEROS.iter().map(|name| Some((*name, audit[*name].as_u64()?)));
        let findings = audit["findings"].as_array().into_iter().flatten();
        Some(Verdict {
            inputs: audit["inputs"].as_u64()?,
            outputs: audit["outputs"].as_u64()?,
            zeros: zeros.collect::<Option<_>>()?,
            findings: findings.filter_map(Value::as_str).map(str::to_owned).collect(),
        })
    }
}

impl Report {
    /// Whether everything is as it has to be.
    pub fn is_clean(&self) -> bool {
        self.zombie_commits == 0
            && self.ended.is_empty()
            && !self.verdict.zeros.is_empty()
            && self.verdict.zeros.values().all(|figure| *figure == 0)
    }

    pub(super) fn add(&mut self, fault: Fault, strikes: u32, recovery: Duration) {
        *self.strikes.entry(fault).or_default() += strikes;
        self.recoveries.entry(fault).or_default().push(recovery);
    }

    /// For programs; every recovery is in it, in milliseconds.
    pub fn json(&self) -> Value {
        let faults: Vec<Value> = self
            .recoveries
            .iter()
            .map(|(fault, recoveries)| {
                let recoveries: Vec<u128> = recoveries.iter().map(Duration::as_millis).collect();
                json!({
                    "fault": fault.name(), "count": self.strikes[fault], "recoveries_ms": recoveries,
                })
            })
            .collect();
        let skipped: Vec<&str> = self.skipped.keys().map(|fault| fault.name()).collect();
        let mut all = json!({
            "faults": faults,
            "skipped": skipped,
            "ended": self.ended,
            "published": self.published,
            "inputs": self.verdict.inputs,
            "outputs": self.verdict.outputs,
            "seconds": self.took.as_secs_f64(),
            "zombie_commits": self.zombie_commits,
        });
        for (name, figure) in &self.verdict.zeros {
            all[*name] = (*figure).into();
        }
        all
    }
}

/// The middle of a sorted list, or the one before.
fn median(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["fault", "count", "recovery p50", "max", "counted from its"];
        let [fault, count, p50, max, from] = header;
        writeln!(f, "{fault:<46}{count:>7}{p50:>14}{max:>9}  {from}")?;
        for (fault, recoveries) in &self.recoveries {
            let mut sorted = recoveries.clone();
            sorted.sort();
            let p50 = format!("{:.1} s", median(&sorted).as_secs_f64());
            let max = format!("{:.1} s", sorted.last().copied().unwrap_or_default().as_secs_f64());
            let (title, count, from) = (fault.title(), self.strikes[fault], fault.counts_from());
            writeln!(f, "{title:<46}{count:>7}{p50:>14}{max:>9}  {from}")?;
        }
        for (fault, why) in &self.skipped {
            writeln!(f, "*** NOT PLAYED: {}: {why} ***", fault.title())?;
        }
        for ended in &self.ended {
            writeln!(f, "{ended}")?;
        }
        let Verdict { inputs, outputs, zeros, findings } = &self.verdict;
        writeln!(
            f,
            "\n{} records published, {inputs} with the ticks; {outputs} outputs; {:.0} s",
            self.published,
            self.took.as_secs_f64()
        )?;
        let zeros: Vec<String> =
            zeros.iter().map(|(name, figure)| format!("{figure} {name}")).collect();
        writeln!(f, "{}, {} committed by a zombie", zeros.join(", "), self.zombie_commits)?;
        findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))
    }
}
