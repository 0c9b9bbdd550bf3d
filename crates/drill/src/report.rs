//! What a load ends with: one report on how fast the pipeline was and whether it was right.
//!
//! The figures as JSON, whose schema is `docs/drill-report.schema.json`; as a page they are drawn in
//! [`page`]. Not a measurement: it is made of what [`Meter`](crate::load::Meter) measured and of the
//! audit's verdict. Invariant: a report passes only if the verdict is clean and no threshold failed.

pub mod page;
mod plot;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::knee::Knee;
use crate::load::{Measured, Second};
use crate::stages::Stage;
use crate::threshold::{Judged, Threshold};

/// Version of the report's form; readers refuse another one.
pub const VERSION: u32 = 1;
/// The quantiles that a report tells.
const QUANTILES: [f64; 6] = [0.5, 0.9, 0.99, 0.999, 0.999_9, 0.999_99];

/// The report on one load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Version of this form.
    pub version: u32,
    /// What was asked for.
    pub plan: PlanTold,
    /// Commands published.
    pub commands: Commands,
    /// From the moment at which a command was due to the moment at which its answer was read.
    pub latency: Latency,
    /// The same stage by stage, where it is known.
    #[serde(default)]
    pub stages: Vec<Stage>,
    /// Answers by their type.
    pub answers: BTreeMap<String, u64>,
    /// Rejected orders by reason.
    pub rejections: BTreeMap<String, u64>,
    /// Dead letters by code.
    pub dead_letters: BTreeMap<String, u64>,
    /// Each second from the sale's opening on.
    pub series: Vec<Second>,
    /// What was done to the pipeline, and when.
    pub marks: Vec<Mark>,
    /// Whether the pipeline was right.
    pub verdict: Verdict,
    /// The thresholds and how they were met.
    pub thresholds: Vec<Judged>,
    /// The search for the highest rate, if this is one; the load is then the one at the knee.
    #[serde(default)]
    pub knee: Option<Knee>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanTold {
    /// The shape of the load.
    pub profile: String,
    /// How long the load lasted, in seconds.
    pub seconds: f64,
    /// Seed of the traffic.
    pub seed: u64,
    /// Partitions of the input.
    pub partitions: u32,
    /// When the sale opened, in milliseconds since 1970.
    pub opened_at_ms: i64,
    /// Records published before the sale opened.
    pub catalogue: u64,
}

/// Commands published.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Commands {
    /// Orders among them, each counted once.
    pub orders: u64,
    /// All of them.
    pub sent: u64,
    /// Sent by the second, on average.
    pub per_second: f64,
    /// Most that were due in one second.
    pub due_per_second_max: u64,
    /// Most that were sent in one second.
    pub sent_per_second_max: u64,
    /// Published later than due by more than 10 ms.
    pub late: u64,
    /// The most that one was late, in milliseconds.
    pub late_ms_max: u64,
    /// Not delivered.
    pub failed: u64,
}

/// Latency of answers, in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Answers that were timed.
    pub answers: u64,
    /// Arithmetic mean.
    pub mean_ms: f64,
    /// Quantiles with the latency that they are reached at, the quantile growing.
    pub quantiles: Vec<Quantile>,
    /// The longest.
    pub max_ms: u64,
    /// The whole distribution for a plot: latencies with the share of answers that took no longer.
    pub distribution: Vec<Quantile>,
}

/// A share of all answers and the latency that none of them exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quantile {
    /// Between 0 and 1.
    pub share: f64,
    /// In milliseconds.
    pub ms: u64,
}

/// Something that was done to the pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Seconds after the sale's opening.
    pub second: f64,
    /// What, in a few words.
    pub what: String,
    /// The partitions that it hit.
    #[serde(default)]
    pub partitions: Vec<u32>,
    /// After how many milliseconds each of these had answered a command that was due later; none if
    /// one never did, or if no partition was hit.
    #[serde(default)]
    pub recovered_ms: Option<u64>,
}

impl Mark {
    /// What was done and how long it took to get over it, in words.
    #[must_use]
    pub fn told(&self) -> String {
        match (self.recovered_ms, self.partitions.is_empty()) {
            (Some(ms), _) => format!("{}, answers again after {:.1} s", self.what, ms as f64 / 1e3),
            (None, false) => format!("{}, no answers since", self.what),
            (None, true) => self.what.clone(),
        }
    }
}

/// The audit's figures; all are 0 if the pipeline was right.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Units sold that were not there.
    pub oversold: u64,
    /// Effects that are missing.
    pub lost: u64,
    /// Effects that came twice.
    pub duplicated: u64,
    /// Counters that are not the sum of what they count.
    pub miscounted: u64,
    /// Outputs that are not what the input demands.
    pub different: u64,
    /// Commands that the pipeline had not answered when the load was given up.
    pub undecided: u64,
    /// The first of what was found, in words.
    pub findings: Vec<String>,
}

impl Verdict {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn clean(&self) -> bool {
        let Verdict { oversold, lost, duplicated, miscounted, different, undecided, .. } = self;
        [oversold, lost, duplicated, miscounted, different, undecided]
            .iter()
            .all(|figure| **figure == 0)
    }
}

impl Latency {
    fn of(latency: &Histogram<u64>) -> Latency {
        if latency.is_empty() {
            return Latency::default();
        }
        let at = |share| Quantile { share, ms: latency.value_at_quantile(share) };
        let told = latency
            .iter_quantiles(5)
            .map(|step| Quantile { share: step.quantile(), ms: step.value_iterated_to() });
        Latency {
            answers: latency.len(),
            mean_ms: latency.mean(),
            quantiles: QUANTILES.into_iter().map(at).collect(),
            max_ms: latency.max(),
            distribution: told.collect(),
        }
    }

    /// The latency of one of the quantiles that a report tells.
    #[must_use]
    pub fn at(&self, share: f64) -> Option<u64> {
        let found = self.quantiles.iter().find(|told| (told.share - share).abs() < 1e-9);
        found.map(|told| told.ms)
    }
}

impl Report {
    /// The report on what was measured, without a verdict.
    #[must_use]
    pub fn new(plan: PlanTold, measured: Measured, orders: u64) -> Report {
        let Measured { seconds: series, latency, lateness, sent, late, failed, .. } = measured;
        let most = |figure: fn(&Second) -> u64| series.iter().map(figure).max().unwrap_or(0);
        let commands = Commands {
            orders,
            sent,
            per_second: sent as f64 / plan.seconds.max(f64::MIN_POSITIVE),
            due_per_second_max: most(|second| second.due),
            sent_per_second_max: most(|second| second.sent),
            late,
            late_ms_max: lateness.max(),
            failed,
        };
        let ends = [("due to sent", &lateness), ("due to answer read", &latency)];
        Report {
            version: VERSION,
            plan,
            commands,
            latency: Latency::of(&latency),
            stages: ends.into_iter().filter_map(|(name, it)| Stage::measured(name, it)).collect(),
            answers: measured.answers,
            rejections: measured.rejections,
            dead_letters: measured.dead_letters,
            series,
            marks: measured.marks,
            verdict: Verdict::default(),
            thresholds: Vec::new(),
            knee: None,
        }
    }

    /// Puts the stages that the pipeline told of between those that the load measured.
    pub fn add_stages(&mut self, told: Vec<Stage>) {
        let at = self.stages.len().min(1);
        self.stages.splice(at..at, told);
    }

    /// Looks at the thresholds.
    pub fn judge(&mut self, thresholds: &[Threshold]) {
        let judged = thresholds.iter().map(|threshold| threshold.judge(self)).collect();
        self.thresholds = judged;
    }

    /// Whether the verdict is clean, no threshold failed, and a knee that was searched is found.
    #[must_use]
    pub fn passes(&self) -> bool {
        let holds = self.thresholds.iter().all(|judged| !judged.failed);
        let found = self.knee.as_ref().is_none_or(|knee| knee.rate.is_some());
        self.verdict.clean() && holds && found
    }
}

/// A number as people read it: with a comma before every third digit.
#[must_use]
pub fn grouped(number: impl std::fmt::Display) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The schema of a report's JSON.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Report).to_value()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn report() -> Report {
        let quantile = |share, ms| Quantile { share, ms };
        let second = |due, p99_ms, behind| Second {
            due,
            sent: due,
            late: 0,
            answered: due,
            p50_ms: 10,
            p99_ms,
            max_ms: p99_ms + 5,
            behind,
        };
        Report {
            version: VERSION,
            plan: PlanTold {
                profile: "500/s for 2s".to_owned(),
                seconds: 2.0,
                seed: 7,
                partitions: 4,
                opened_at_ms: 1_762_790_400_000,
                catalogue: 90,
            },
            commands: Commands {
                orders: 480,
                sent: 1_000,
                per_second: 500.0,
                due_per_second_max: 600,
                sent_per_second_max: 600,
                late: 2,
                late_ms_max: 14,
                failed: 1,
            },
            latency: Latency {
                answers: 900,
                mean_ms: 12.5,
                quantiles: vec![quantile(0.5, 10), quantile(0.9, 40), quantile(0.99, 80)],
                max_ms: 95,
                distribution: vec![quantile(0.5, 10), quantile(0.99, 80), quantile(1.0, 95)],
            },
            answers: BTreeMap::from([("hold.placed".to_owned(), 400)]),
            rejections: BTreeMap::from([("out_of_stock".to_owned(), 12)]),
            dead_letters: BTreeMap::from([("invalid".to_owned(), 3)]),
            series: vec![second(600, 60, 40), second(400, 90, 0)],
            stages: vec![Stage {
                stage: "due to sent".to_owned(),
                count: 1_000,
                p50_ms: 0.0,
                p99_ms: 2.0,
            }],
            marks: vec![Mark {
                second: 1.0,
                what: "kill -9 <settle>".to_owned(),
                partitions: vec![0, 3],
                recovered_ms: Some(1_234),
            }],
            verdict: Verdict::default(),
            thresholds: Vec::new(),
            knee: None,
        }
    }

    #[test]
    fn a_report_passes_only_if_it_is_right_and_fast_enough() {
        let mut report = report();
        report.judge(&["p99>80ms".parse().unwrap()]);
        assert!(report.passes());
        report.judge(&["p99>80ms".parse().unwrap(), "p50>1ms".parse().unwrap()]);
        assert!(!report.passes());
        report.judge(&[]);
        let wrong: [fn(&mut Verdict) -> &mut u64; 6] = [
            |verdict| &mut verdict.oversold,
            |verdict| &mut verdict.lost,
            |verdict| &mut verdict.duplicated,
            |verdict| &mut verdict.miscounted,
            |verdict| &mut verdict.different,
            |verdict| &mut verdict.undecided,
        ];
        for figure in wrong {
            *figure(&mut report.verdict) = 1;
            assert!(!report.passes(), "{:?}", report.verdict);
            *figure(&mut report.verdict) = 0;
        }
        let target = "p99<60ms".to_owned();
        report.knee = Some(Knee { target, rate: None, steps: Vec::new() });
        assert!(!report.passes(), "no rate held the target");
        report.knee = None;
        assert!(report.passes());
    }

    #[test]
    fn a_report_comes_back_from_its_json_as_it_was() {
        let json = serde_json::to_string(&report()).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report());
    }

    #[test]
    fn latency_tells_the_quantiles_of_what_was_recorded() {
        let mut recorded = Histogram::new_with_max(10_000, 3).unwrap();
        (1..=1_000).for_each(|ms| recorded.saturating_record(ms));
        let latency = Latency::of(&recorded);
        assert_eq!(
            (latency.at(0.5), latency.at(0.99), latency.max_ms),
            (Some(500), Some(990), 1_000)
        );
        assert!(latency.distribution.is_sorted_by(|a, b| a.share <= b.share && a.ms <= b.ms));
        assert_eq!(latency.distribution.last().map(|last| last.ms), Some(1_000));
    }

    #[test]
    fn numbers_are_grouped_in_threes() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    /// Whoever reads reports relies on the published schema.
    #[test]
    fn the_published_schema_is_that_of_the_report() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/drill-report.schema.json");
        let published = std::fs::read_to_string(path).unwrap_or_default();
        let now = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        assert!(
            published == now,
            "docs/drill-report.schema.json should be what `floodgate drill report --schema` prints:\n{now}"
        );
    }
}
