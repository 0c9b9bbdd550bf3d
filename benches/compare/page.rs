//! The figures as one page that needs nothing else: no script, no font, no request.
//!
//! Style and charts are the drill report's. Invariant: the page shows no number that is not in the raw
//! figures or a ratio of two of them.

use std::fmt::Write as _;

use drill::report::page::STYLE;
use drill::report::plot::{Chart, Line, escaped, round_step};

use crate::measured::{Contended, Figures, Latencies, QUANTILES};
use crate::table::ratio;

/// More lines than a drill has, and bars.
const MORE_STYLE: &str = "\
:root{--d:#7a4fb5;--e:#2f8f7f}
@media (prefers-color-scheme:dark){:root{--d:#b794f0;--e:#5fd0bd}}
.line.d{stroke:var(--d)}.line.e{stroke:var(--e)}.key.d::before{border-color:var(--d)}.key.e::before{border-color:var(--e)}
.bars{display:grid;grid-template-columns:auto 1fr auto;gap:8px 14px;align-items:center;background:var(--card);border:1px solid var(--line);border-radius:12px;padding:16px}
.bars i{display:block;height:20px;border-radius:4px;min-width:2px}
.bars i.a{background:var(--a)}.bars i.b{background:var(--b)}.bars i.c{background:var(--c)}.bars i.d{background:var(--d)}.bars i.e{background:var(--e)}
.bars b{font-variant-numeric:tabular-nums;text-align:right}
.scroll{overflow-x:auto;margin-top:14px}
.scroll th,.scroll td{white-space:nowrap;padding:6px 11px}
pre{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:12px 16px;overflow-x:auto;font-size:13px}
.conditions td{text-align:left}";

/// The page.
pub(crate) fn of(figures: &Figures) -> String {
    let mut out = String::with_capacity(64 * 1024);
    // Writing to a String does not fail.
    _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Floodgate beside others</title>\
         <style>{STYLE}{MORE_STYLE}</style></head><body><main><h1>Floodgate beside others</h1>\
         <p class=\"dim\">The same orders, on one machine with its broker, each effect exactly once.</p>"
    );
    throughput(&mut out, &figures.throughput);
    latency(&mut out, &figures.latency);
    for part in &figures.parts {
        let (title, command) = (escaped(&part.title), escaped(&part.command));
        let output = escaped(&part.output);
        _ = write!(out, "<h2>{title}</h2><p><code>{command}</code></p><pre>{output}</pre>");
    }
    conditions(&mut out, &figures.conditions);
    out.push_str("</main></body></html>\n");
    out
}

fn class(contender: &str) -> &'static str {
    match contender {
        "settle50" | "settle20" => "a",
        "streams" => "b",
        "flink" => "d",
        "redis" => "e",
        _ => "c",
    }
}

fn throughput(out: &mut String, contended: &[Contended]) {
    if contended.is_empty() {
        return;
    }
    let median = |one: &Contended| one.median(|round| round.orders_per_second);
    let of = |word: &str| {
        let found = contended.iter().find(|one| one.contender == word);
        found.map_or(f64::NAN, median)
    };
    let most = contended.iter().map(median).fold(0.0, f64::max);
    out.push_str("<h2>Orders a second, end to end</h2><div class=\"bars\">");
    for one in contended {
        let (name, class) = (escaped(&one.title), class(&one.contender));
        let share = 100.0 * median(one) / most;
        let rate = thousands(median(one));
        _ = write!(
            out,
            "<span>{name}</span><i class=\"{class}\" style=\"width:{share:.1}%\"></i><b>{rate}</b>"
        );
    }
    out.push_str(
        "</div><div class=\"scroll\"><table><tr><th></th><th>orders</th><th>orders/s</th>\
         <th>least to most</th><th>second half</th><th>of the bare</th><th>Floodgate is</th>\
         <th>µs CPU</th><th>memory</th></tr>",
    );
    for one in contended {
        row(out, one, of("passthrough"), of("settle50"));
    }
    out.push_str("</table></div>");
    progress(out, contended);
}

fn row(out: &mut String, one: &Contended, bare: f64, floodgate: f64) {
    let rate = one.median(|round| round.orders_per_second);
    let rates = one.rates();
    let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let most = rates.iter().copied().fold(0.0, f64::max);
    _ = write!(
        out,
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{} to {}</td><td>{}</td><td>{}</td><td>{} ×</td>\
         <td>{}</td><td>{:.0} MB</td></tr>",
        escaped(&one.title),
        thousands(one.rounds.first().map_or(0.0, |round| round.orders as f64)),
        thousands(rate),
        thousands(least),
        thousands(most),
        thousands(one.median(|round| round.second_half_per_second)),
        ratio(rate / bare, 2),
        ratio(floodgate / rate, 1),
        ratio(one.median(|round| round.cpu_seconds_per_million), 2),
        one.median(|round| round.resident_bytes as f64) / 1e6
    );
}

/// The last round, as it went.
fn progress(out: &mut String, contended: &[Contended]) {
    let lines: Vec<Line<'_>> = contended
        .iter()
        .filter_map(|one| {
            let last = one.rounds.last().filter(|round| round.progress.len() > 1)?;
            let point = |(seconds, share): &(f64, f64)| (*seconds, share * last.orders as f64);
            let points = last.progress.iter().map(point).collect();
            let class = if one.contender == "settle20" { "a then" } else { class(&one.contender) };
            Some(Line { name: &one.title, class, points })
        })
        .collect();
    let longest = lines.iter().flat_map(|line| &line.points).map(|(x, _)| *x).fold(0.0, f64::max);
    let step = round_step(longest / 8.0);
    let ticks = (0..=(longest / step) as u32).map(|tick| f64::from(tick) * step);
    let chart = Chart {
        bound: None,
        title: "orders committed over time, last round",
        lines,
        marks: Vec::new(),
        x_ticks: ticks.map(|at| (at, format!("{at} s"))).collect(),
        y_text: thousands,
    };
    _ = write!(
        out,
        "<h2>Orders committed, from the first commit on (last round)</h2>{}",
        chart.draw()
    );
}

fn latency(out: &mut String, latencies: &[Latencies]) {
    let Some(steps) = latencies.first().map(|one| one.steps.len()) else { return };
    out.push_str(
        "<h2>Latency, order due to answer read</h2><p class=\"dim\">At 10, 50 and 80 % of the highest \
         rate that holds with generator and reader on the machine: Floodgate's for Floodgate and the \
         pass-through, each peer's own for the peers.</p><div class=\"scroll\"><table><tr><th></th>\
         <th>orders/s</th><th>of highest</th><th>p50</th><th>p99</th><th>p99.9</th><th>max</th>\
         <th>sent late</th></tr>",
    );
    for one in latencies {
        for step in &one.steps {
            _ = write!(
                out,
                "<tr><td>{}, commit {} ms</td><td>{}</td><td>{} %</td><td>{} ms</td><td>{} ms</td>\
                 <td>{} ms</td><td>{} ms</td><td>{:.1} %</td></tr>",
                escaped(&one.title),
                one.commit_ms,
                thousands(step.orders_per_second),
                step.percent,
                step.p50_ms,
                step.p99_ms,
                step.p999_ms,
                step.max_ms,
                step.late * 100.0
            );
        }
    }
    out.push_str("</table></div>");
    for at in 0..steps {
        curve(out, latencies, at);
    }
}

/// Latency by quantile of all contenders at one share of the highest rate.
fn curve(out: &mut String, latencies: &[Latencies], at: usize) {
    let Some(percent) = latencies[0].steps.get(at).map(|step| step.percent) else { return };
    let line = |one: &'_ Latencies| -> Option<Vec<(f64, f64)>> {
        let quantiles = &one.steps.get(at)?.quantiles;
        Some((0_u32..).map(f64::from).zip(quantiles.iter().map(|ms| *ms as f64)).collect())
    };
    let lines = latencies.iter().filter_map(|one| {
        Some(Line { name: &one.title, class: class(&one.contender), points: line(one)? })
    });
    let title = format!("latency by quantile at {percent} %");
    let ticks = (0_u32..).map(f64::from).zip(QUANTILES);
    let chart = Chart {
        bound: None,
        title: &title,
        lines: lines.collect(),
        marks: Vec::new(),
        x_ticks: ticks.skip(1).map(|(x, quantile)| (x, quantile_text(quantile))).collect(),
        y_text: |value| format!("{value} ms"),
    };
    _ = write!(
        out,
        "<h2>Latency by quantile at {percent} % of the highest rate</h2>{}",
        chart.draw()
    );
}

fn quantile_text(quantile: f64) -> String {
    if quantile >= 1.0 { "max".to_owned() } else { format!("p{}", (quantile * 1e3).round() / 10.0) }
}

fn conditions(out: &mut String, conditions: &[(String, String)]) {
    out.push_str("<h2>Conditions</h2><table class=\"conditions\">");
    for (name, value) in conditions {
        _ = write!(out, "<tr><td>{}</td><td>{}</td></tr>", escaped(name), escaped(value));
    }
    out.push_str(
        "</table><p>A run's time goes from its first commit that held outputs to its last; what the first \
         held is left out of the count. Every run's outputs were read back and compared with what the \
         log must give. µs CPU are the contender's own for one order, the broker's apart, start-up \
         included. What is measured how, and what is fair: benches/README.md.</p>",
    );
}

fn thousands(value: f64) -> String {
    match value {
        1e6.. => format!("{:.2} M", value / 1e6),
        1e4.. => format!("{:.0} k", value / 1e3),
        1e3.. => format!("{:.1} k", value / 1e3),
        value if value.is_finite() => format!("{value:.0}"),
        _ => "-".to_owned(),
    }
}
