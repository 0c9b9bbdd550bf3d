//! Latency by stage: what lies between the moment at which a command is due and its answer.
//!
//! The ends are the load's own measurement; what lies between is told by the histograms that `settle`
//! gives to Prometheus, added up over its processes. Invariant: only what was counted between the
//! first look at a process and the last one is told, and a process that starts again loses nothing
//! that was looked at before.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Latency of one stage, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// From where to where.
    pub stage: String,
    /// How often it was timed.
    pub count: u64,
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
}

/// Histograms of `settle`, and the stages that they tell of.
const FAMILIES: [(&str, &str); 2] = [
    (
        "floodgate_end_to_end_duration_seconds",
        "due to committed, the oldest command of each batch of up to 512",
    ),
    (
        "floodgate_commit_duration_seconds",
        "of it, from asking for the end of the transaction to the word of it",
    ),
];

/// Cumulative counts by upper bound; bounds as the text that they came in, for they are only compared.
type Buckets = BTreeMap<String, f64>;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Stages {
    /// What each process told last.
    last: BTreeMap<String, [Buckets; FAMILIES.len()]>,
    sums: [Buckets; FAMILIES.len()],
}

impl Stages {
    /// Takes in what a process tells now; the first page of a process that ran before is where its
    /// counting begins.
    pub fn take(&mut self, process: &str, page: &str) {
        let now = FAMILIES.map(|(family, _)| buckets(page, family));
        if let Some(last) = self.last.get(process) {
            for ((now, last), sum) in now.iter().zip(last).zip(&mut self.sums) {
                add_growth(now, last, sum);
            }
        }
        self.last.insert(process.to_owned(), now);
    }

    /// The stages of which anything is known, in the order of the way.
    #[must_use]
    pub fn told(&self) -> Vec<Stage> {
        let told = FAMILIES.iter().zip(&self.sums).filter_map(|((_, stage), sum)| {
            let mut bounds: Vec<(f64, f64)> = sum
                .iter()
                .map(|(bound, count)| (bound.parse().unwrap_or(f64::INFINITY), *count))
                .collect();
            bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
            let count = bounds.last()?.1;
            let at = |share: f64| quantile(&bounds, share * count) * 1_000.0;
            (count > 0.0).then(|| Stage {
                stage: (*stage).to_owned(),
                count: count as u64,
                p50_ms: at(0.5),
                p99_ms: at(0.99),
            })
        });
        told.collect()
    }
}

impl Stage {
    /// A stage that the load measured itself.
    #[must_use]
    pub fn measured(stage: &str, latency: &Histogram<u64>) -> Option<Stage> {
        let at = |share| latency.value_at_quantile(share) as f64;
        (!latency.is_empty()).then(|| Stage {
            stage: stage.to_owned(),
            count: latency.len(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
        })
    }
}

/// The counts that have grown; those of a process that started again have shrunk, and are new.
fn add_growth(now: &Buckets, last: &Buckets, sum: &mut Buckets) {
    let has_restarted = last.iter().any(|(bound, count)| now.get(bound).unwrap_or(&0.0) < count);
    for (bound, count) in now {
        let before = if has_restarted { 0.0 } else { *last.get(bound).unwrap_or(&0.0) };
        *sum.entry(bound.clone()).or_default() += count - before;
    }
}

/// The buckets of a family on a page in Prometheus' text format, added up over its other labels.
fn buckets(page: &str, family: &str) -> Buckets {
    let mut buckets = Buckets::new();
    for line in page.lines() {
        let sample = line.strip_prefix(family).and_then(|rest| rest.strip_prefix("_bucket{"));
        let Some((labels, value)) = sample.and_then(|sample| sample.rsplit_once(' ')) else {
            continue;
        };
        let bound = labels.split("le=\"").nth(1).and_then(|rest| rest.split('"').next());
        if let (Some(bound), Ok(value)) = (bound, value.parse::<f64>()) {
            *buckets.entry(bound.to_owned()).or_default() += value;
        }
    }
    buckets
}

/// Where so many lie below, in a straight line between a bucket's bounds; the last finite bound
/// where they lie above it.
fn quantile(bounds: &[(f64, f64)], rank: f64) -> f64 {
    let (mut from, mut below) = (0.0, 0.0);
    for (bound, count) in bounds {
        if !bound.is_finite() {
            break;
        }
        if *count >= rank {
            let within = (rank - below) / (count - below).max(f64::MIN_POSITIVE);
            return from + (bound - from) * within.clamp(0.0, 1.0);
        }
        (from, below) = (*bound, *count);
    }
    from
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page with so many commits below 10 ms, below 20 ms, and in all.
    fn page(counts: [u64; 3]) -> String {
        let lines = ["0.01", "0.02", "+Inf"].iter().zip(counts).map(|(bound, count)| {
            format!("floodgate_commit_duration_seconds_bucket{{le=\"{bound}\"}} {count}\n")
        });
        format!("# TYPE x histogram\n{}floodgate_records_total 7\n", lines.collect::<String>())
    }

    fn told(stages: &Stages) -> (u64, i64, i64) {
        let told = stages.told();
        assert_eq!(told.len(), 1, "{told:?}");
        (told[0].count, told[0].p50_ms.round() as i64, told[0].p99_ms.round() as i64)
    }

    #[test]
    fn what_was_counted_before_the_first_look_is_told() {
        let mut stages = Stages::default();
        stages.take("a", &page([1_000, 1_000, 1_000]));
        assert!(stages.told().is_empty());
        stages.take("a", &page([1_000, 1_100, 1_100]));
        assert_eq!(told(&stages), (100, 15, 20));
    }

    #[test]
    fn a_process_that_starts_again_takes_away_what_it_told_before() {
        let mut stages = Stages::default();
        stages.take("a", &page([0, 0, 0]));
        stages.take("b", &page([7, 7, 7]));
        stages.take("b", &page([57, 57, 57]));
        stages.take("a", &page([40, 40, 40]));
        // Killed, and back with ten.
        stages.take("a", &page([10, 10, 10]));
        assert_eq!(told(&stages), (100, 5, 10));
        // One above every bound.
        stages.take("a", &page([10, 10, 1_000]));
        assert_eq!(told(&stages), (1_090, 20, 20));
    }
}
