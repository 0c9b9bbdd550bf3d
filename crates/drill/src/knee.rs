//! The knee: the highest rate at which a pipeline holds its target.
//!
//! Not a load: this says which rate is to be tried next, and keeps what became of those that were.
//! First the rate doubles (or halves) until one holds and one does not, then the space between them
//! is halved. Invariant: the knee is a rate that was tried and held, and none that was tried below it
//! did not.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::report::{Report, grouped};
use crate::threshold::{Threshold, ThresholdError};

/// What a pipeline has to hold, as in `p99<60ms`.
#[derive(Debug, Clone, PartialEq)]
pub struct Target(Threshold);

impl FromStr for Target {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Target, ThresholdError> {
        text.parse().map(Target)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Target {
    /// Whether a load held it: what could not be measured did not, nor did what was not decided or
    /// not delivered.
    #[must_use]
    pub fn holds(&self, report: &Report) -> bool {
        let is_whole = report.verdict.undecided == 0 && report.commands.failed == 0;
        is_whole && self.0.value(report).is_some_and(|value| self.0.is_met_by(value))
    }
}

/// Within which bounds the knee is searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The first rate, in orders a second.
    pub from: f64,
    /// No rate is higher.
    pub up_to: f64,
    /// The search ends when the lowest rate that did not hold is at most so much above the highest that
    /// did, in percent.
    pub precision: f64,
    /// Most rates that are tried.
    pub steps_max: usize,
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct Search {
    bounds: Bounds,
    held: Option<f64>,
    failed: Option<f64>,
    steps: usize,
}

impl Search {
    /// Nothing has been tried.
    #[must_use]
    pub fn new(bounds: Bounds) -> Search {
        Search { bounds, held: None, failed: None, steps: 0 }
    }

    /// The rate to be tried, in whole orders a second; none when the knee is found, or cannot be.
    #[must_use]
    pub fn next_rate(&self) -> Option<f64> {
        let Bounds { from, up_to, precision, steps_max } = self.bounds;
        let next = match (self.held, self.failed) {
            (None, None) => from.min(up_to),
            (Some(held), None) => (held * 2.0).min(up_to),
            (None, Some(failed)) => (failed / 2.0).floor(),
            (Some(held), Some(failed)) if failed - held > held * precision / 100.0 => {
                f64::midpoint(held, failed).round()
            }
            (Some(_), Some(_)) => return None,
        };
        let is_new = Some(next) != self.held && Some(next) != self.failed;
        (self.steps < steps_max && is_new && next >= 1.0).then_some(next)
    }

    /// Takes note of what became of a rate that was tried.
    pub fn tried(&mut self, rate: f64, held: bool) {
        self.steps += 1;
        let side = if held { &mut self.held } else { &mut self.failed };
        *side = Some(rate);
    }

    /// The highest rate that held.
    #[must_use]
    pub fn knee(&self) -> Option<f64> {
        self.held
    }
}

/// A search, told in a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Knee {
    /// What was to be held.
    pub target: String,
    /// The highest rate that held, in orders a second; none if none did.
    pub rate: Option<f64>,
    /// Every rate that was tried, in the order in which it was.
    pub steps: Vec<Step>,
}

/// A rate that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Orders a second that were due.
    pub rate: f64,
    /// Commands a second that were sent.
    pub commands_per_second: f64,
    /// Median latency in milliseconds, if anything was answered.
    pub p50_ms: Option<u64>,
    /// 99th percentile in milliseconds.
    pub p99_ms: Option<u64>,
    /// The longest, in milliseconds.
    pub max_ms: u64,
    /// Commands that were published late: many of them mean that the publisher is the limit.
    pub late: u64,
    /// Most commands at a second's end that were not decided yet.
    pub behind: u64,
    /// Whether the target was held.
    pub held: bool,
}

impl Knee {
    /// What was found, in words.
    #[must_use]
    pub fn told(&self) -> String {
        let Some(rate) = self.rate else {
            return format!("{} held at no rate that was tried", self.target);
        };
        let failed = self.steps.iter().filter(|step| !step.held).map(|step| step.rate);
        let least = failed.fold(f64::INFINITY, f64::min);
        let text = |rate: f64| grouped(rate as u64);
        match least.is_finite() {
            true => format!(
                "{} held at {} orders a second, and no more at {}",
                self.target,
                text(rate),
                text(least)
            ),
            false => format!("{} held at every rate, up to {}", self.target, text(rate)),
        }
    }
}

impl Step {
    /// What a load at `rate` came to.
    #[must_use]
    pub fn of(rate: f64, report: &Report, target: &Target) -> Step {
        Step {
            rate,
            commands_per_second: report.commands.per_second,
            p50_ms: report.latency.at(0.5),
            p99_ms: report.latency.at(0.99),
            max_ms: report.latency.max_ms,
            late: report.commands.late,
            behind: report.series.iter().map(|second| second.behind).max().unwrap_or(0),
            held: target.holds(report),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    const BOUNDS: Bounds = Bounds { from: 1_000.0, up_to: 1e6, precision: 5.0, steps_max: 40 };

    /// Searches the knee of a pipeline that holds up to `limit`; gives it with all that was tried.
    fn search(bounds: Bounds, limit: f64) -> (Option<f64>, Vec<f64>) {
        let mut search = Search::new(bounds);
        let mut tried = Vec::new();
        while let Some(rate) = search.next_rate() {
            search.tried(rate, rate <= limit);
            tried.push(rate);
            assert!(tried.len() <= bounds.steps_max);
        }
        (search.knee(), tried)
    }

    #[test]
    fn the_knee_is_missed_by_more_than_was_asked_for() {
        for limit in [1.0, 7.0, 999.0, 1_000.0, 1_001.0, 12_345.0, 99_999.0, 750_000.0] {
            let (knee, tried) = search(BOUNDS, limit);
            let knee = knee.unwrap();
            assert!(knee <= limit && limit < (knee * 1.05).max(knee + 1.0), "{limit}: {tried:?}");
        }
    }

    #[test]
    fn rates_double_until_one_does_not_hold() {
        let (_, tried) = search(BOUNDS, 5_000.0);
        assert_eq!(tried[..5], [1_000.0, 2_000.0, 4_000.0, 8_000.0, 6_000.0]);
    }

    #[test]
    fn a_search_goes_on_where_there_is_nothing_to_be_found() {
        assert_eq!(search(BOUNDS, 0.0).0, None);
        let (knee, tried) = search(Bounds { up_to: 3_000.0, ..BOUNDS }, 1e9);
        assert_eq!((knee, tried), (Some(3_000.0), vec![1_000.0, 2_000.0, 3_000.0]));
        let (knee, tried) = search(Bounds { steps_max: 2, ..BOUNDS }, 1e9);
        assert_eq!((knee, tried.len()), (Some(2_000.0), 2));
    }

    #[test]
    fn a_target_is_held_by_what_was_not_measured_or_not_decided() {
        // p99 is 80 ms.
        let target = |text: &str| text.parse::<Target>().unwrap();
        let mut report = report();
        report.commands.failed = 0;
        assert!(target("p99<81ms").holds(&report));
        assert!(!target("p99<80ms").holds(&report));
        report.verdict.undecided = 1;
        assert!(!target("p99<81ms").holds(&report));
        report.verdict.undecided = 0;
        report.commands.failed = 1;
        assert!(!target("p99<81ms").holds(&report));
        report.commands.failed = 0;
        report.latency = crate::report::Latency::default();
        assert!(!target("p99<81ms").holds(&report));
    }
}
