//! The figures as text for a terminal.
//!
//! Invariant: nothing is computed here but ratios of what was measured.

use std::fmt::Write as _;

use crate::measured::{Contended, Figures, Latencies};

/// All tables.
pub(crate) fn of(figures: &Figures) -> String {
    let mut out = String::new();
    for (name, value) in &figures.conditions {
        // Writing to a String does not fail.
        _ = writeln!(out, "{name:>10}  {value}");
    }
    throughput(&mut out, &figures.throughput);
    latency(&mut out, &figures.latency);
    for part in &figures.parts {
        _ = writeln!(out, "\n{} ({})\n{}", part.title, part.command, part.output);
    }
    out
}

fn throughput(out: &mut String, contended: &[Contended]) {
    if contended.is_empty() {
        return;
    }
    let of = |word: &str| {
        let found = contended.iter().find(|one| one.contender == word);
        found.map_or(f64::NAN, |one| one.median(|round| round.orders_per_second))
    };
    let (yardstick, floodgate) = (of("passthrough"), of("settle50"));
    _ = writeln!(
        out,
        "\n{:32} {:>9} {:>10} {:>19} {:>11} {:>12} {:>12} {:>9} {:>9}",
        "end to end, exactly once",
        "orders",
        "orders/s",
        "least .. most",
        "2nd half",
        "of the bare",
        "Floodgate is",
        "CPU us",
        "memory"
    );
    for one in contended {
        let rates = one.rates();
        let median = one.median(|round| round.orders_per_second);
        let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
        let most = rates.iter().copied().fold(0.0, f64::max);
        _ = writeln!(
            out,
            "{:32} {:>9} {:>10.0} {:>9.0} ..{:>8.0} {:>11.0} {:>12} {:>12} {:>9} {:>9}",
            one.title,
            one.rounds.first().map_or(0, |round| round.orders),
            median,
            least,
            most,
            one.median(|round| round.second_half_per_second),
            ratio(median / yardstick, 2),
            format!("{} x", ratio(floodgate / median, 1)),
            ratio(one.median(|round| round.cpu_seconds_per_million), 2),
            format!("{:.0} MB", one.median(|round| round.resident_bytes as f64) / 1e6),
        );
    }
}

/// A ratio, or a dash where something was not measured.
pub(crate) fn ratio(ratio: f64, digits: usize) -> String {
    if ratio.is_finite() && ratio > 0.0 { format!("{ratio:.digits$}") } else { "-".to_owned() }
}

fn latency(out: &mut String, latencies: &[Latencies]) {
    if latencies.is_empty() {
        return;
    }
    let of_bare = |at: usize| {
        let bare = latencies.iter().find(|one| one.contender == "passthrough")?;
        bare.steps.get(at)
    };
    _ = writeln!(
        out,
        "\n{:32} {:>9} {:>6} {:>10} {:>8} {:>8} {:>9} {:>8} {:>15} {:>7}",
        "order due to answer read, ms",
        "highest",
        "of it",
        "orders/s",
        "p50",
        "p99",
        "p99.9",
        "max",
        "p50, p99 : bare",
        "late"
    );
    for one in latencies {
        for (at, step) in one.steps.iter().enumerate() {
            let beside = |of: fn(&crate::measured::Step) -> u64| {
                let bare = of_bare(at).map_or(f64::NAN, |bare| of(bare) as f64);
                ratio(of(step) as f64 / bare, 2)
            };
            _ = writeln!(
                out,
                "{:32} {:>9.0} {:>4} % {:>10.0} {:>8} {:>8} {:>9} {:>8} {:>15} {:>5.1} %",
                format!("{}, {} ms", one.title, one.commit_ms),
                one.highest,
                step.percent,
                step.orders_per_second,
                step.p50_ms,
                step.p99_ms,
                step.p999_ms,
                step.max_ms,
                format!("{}, {}", beside(|step| step.p50_ms), beside(|step| step.p99_ms)),
                step.late * 100.0
            );
        }
    }
}
