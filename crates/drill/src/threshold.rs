//! Conditions under which a load counts as failed, as in `p99>80ms`.
//!
//! Not the verdict on correctness, which fails a load by itself. Invariant: a condition that cannot be
//! judged, since nothing was measured, counts as met: silence is no success.

use std::fmt;
use std::str::FromStr;

use crate::report::Report;

/// What a threshold looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Figure {
    /// A quantile of the latency, in milliseconds.
    Latency(f64),
    LatencyMax,
    /// Late commands in percent.
    Late,
    /// Commands that could not be delivered.
    Failed,
    /// Most commands at a second's end that were not decided yet.
    Behind,
    /// Commands published in a second, on average.
    Rate,
}

const FIGURES: [(&str, Figure); 10] = [
    ("p50", Figure::Latency(0.5)),
    ("p90", Figure::Latency(0.9)),
    ("p99", Figure::Latency(0.99)),
    ("p99.9", Figure::Latency(0.999)),
    ("p99.99", Figure::Latency(0.999_9)),
    ("max", Figure::LatencyMax),
    ("late", Figure::Late),
    ("failed", Figure::Failed),
    ("behind", Figure::Behind),
    ("rate", Figure::Rate),
];

/// A condition under which a load has failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    text: String,
    figure: Figure,
    is_above: bool,
    bound: f64,
}

/// Why a text is no threshold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no threshold; write FIGURE>BOUND or FIGURE<BOUND, for instance `p99>80ms`, `late>1%`, \
     `behind>50000`, `failed>0` or `rate<10000`. The figures are p50, p90, p99, p99.9, p99.99 and max \
     (with ms or s), late (in %), failed, behind and rate"
)]
pub struct ThresholdError(String);

/// How a threshold was met.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Judged {
    /// The threshold as it was given.
    pub threshold: String,
    /// The figure that it looks at; none if nothing was measured.
    pub value: Option<f64>,
    /// Whether the load failed by it.
    pub failed: bool,
}

impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Threshold, ThresholdError> {
        let wrong = || ThresholdError(text.to_owned());
        let at = text.find(['>', '<']).ok_or_else(wrong)?;
        let (name, bound) = (text[..at].trim(), text[at + 1..].trim());
        let figure = FIGURES.iter().find(|(figure, _)| *figure == name).ok_or_else(wrong)?.1;
        let (number, factor) = match figure {
            Figure::Latency(_) | Figure::LatencyMax => match bound.strip_suffix("ms") {
                Some(number) => (number, 1.0),
                None => (bound.strip_suffix('s').ok_or_else(wrong)?, 1_000.0),
            },
            Figure::Late => (bound.strip_suffix('%').ok_or_else(wrong)?, 1.0),
            Figure::Failed | Figure::Behind | Figure::Rate => (bound, 1.0),
        };
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        if !number.is_finite() {
            return Err(wrong());
        }
        let is_above = text.as_bytes()[at] == b'>';
        Ok(Threshold { text: text.to_owned(), figure, is_above, bound: number * factor })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Threshold {
    /// Looks at a report's figures.
    #[must_use]
    pub fn judge(&self, report: &Report) -> Judged {
        let value = self.value(report);
        let failed = value.is_none_or(|value| self.is_met_by(value));
        Judged { threshold: self.text.clone(), value, failed }
    }

    /// Whether the condition is true of a value of its figure.
    pub(crate) fn is_met_by(&self, value: f64) -> bool {
        if self.is_above { value > self.bound } else { value < self.bound }
    }

    /// The figure; none if it could not be measured.
    pub(crate) fn value(&self, report: &Report) -> Option<f64> {
        let latency = &report.latency;
        match self.figure {
            Figure::Latency(quantile) => latency.at(quantile).map(|value| value as f64),
            Figure::LatencyMax => (latency.answers > 0).then_some(latency.max_ms as f64),
            Figure::Late => {
                let sent = report.commands.sent;
                (sent > 0).then(|| report.commands.late as f64 * 100.0 / sent as f64)
            }
            Figure::Failed => Some(report.commands.failed as f64),
            Figure::Behind => {
                report.series.iter().map(|second| second.behind as f64).reduce(f64::max)
            }
            Figure::Rate => Some(report.commands.per_second),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn a_threshold_fails_on_the_side_that_it_names() {
        // p50 is 10 ms, p99 is 80 ms, the longest 95 ms; 2 of 1,000 are late; 500 a second.
        let cases = [
            ("p99>80ms", false),
            ("p99>79ms", true),
            ("p99 > 0.08s", false),
            ("p50>9ms", true),
            ("max>95ms", false),
            ("max>94ms", true),
            ("late>0.2%", false),
            ("late>0.1%", true),
            ("failed>0", true),
            ("behind>39", true),
            ("behind>40", false),
            ("rate<500", false),
            ("rate<501", true),
        ];
        for (text, failed) in cases {
            let judged = text.parse::<Threshold>().unwrap().judge(&report());
            assert_eq!(judged.failed, failed, "{text}: {:?}", judged.value);
        }
    }

    #[test]
    fn a_load_without_answers_fails_every_bound_on_latency() {
        let mut report = report();
        report.latency = crate::report::Latency::default();
        for text in ["p99>80ms", "max>1s", "p50<1ms"] {
            assert!(text.parse::<Threshold>().unwrap().judge(&report).failed, "{text}");
        }
    }

    #[test]
    fn what_is_no_threshold_is_refused_with_what_to_write() {
        for text in
            ["", "p99", "p99>80", "p98>80ms", "late>1", "p99>eighty ms", "rate<inf", "p99=80ms"]
        {
            let error = text.parse::<Threshold>().unwrap_err().to_string();
            assert!(error.contains("p99>80ms"), "{text}: {error}");
        }
    }
}
