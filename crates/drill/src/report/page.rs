//! A report as one page that needs nothing else: no script, no font, no request.
//!
//! Not the figures: those are the report's, and the page shows no number that is not in it. Invariant:
//! the verdict comes first, in words.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::plot::{Chart, Line, escaped, round_step};
use super::{Quantile, Report, Verdict, grouped};
use crate::load::Second;

/// How a page of figures looks.
pub const STYLE: &str = include_str!("page.css");

/// The page of a report, beside an earlier one if there is one.
#[must_use]
pub fn page(report: &Report, earlier: Option<&Report>) -> String {
    let mut out = String::with_capacity(64 * 1024);
    // Writing to a String does not fail.
    _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Drill report</title>\
         <style>{STYLE}</style></head><body><main><h1>Drill report</h1>"
    );
    let plan = &report.plan;
    _ = write!(
        out,
        "<p class=\"dim\">Profile <code>{}</code>, seed {}, {} partitions, {:.0} s</p>",
        escaped(&plan.profile),
        plan.seed,
        plan.partitions,
        plan.seconds
    );
    verdict(&mut out, report);
    cards(&mut out, report, earlier);
    charts(&mut out, report, earlier);
    out.push_str("<h2>Answers</h2><div class=\"columns\">");
    table(&mut out, "answer", &report.answers);
    table(&mut out, "rejected because", &report.rejections);
    table(&mut out, "dead letter", &report.dead_letters);
    out.push_str("</div>");
    thresholds(&mut out, report);
    explanations(&mut out);
    out.push_str("</main></body></html>\n");
    out
}

fn verdict(out: &mut String, report: &Report) {
    let Verdict { oversold, lost, duplicated, miscounted, different, undecided, findings } =
        &report.verdict;
    let failed = report.thresholds.iter().filter(|judged| judged.failed).count();
    let (class, head) = match (report.verdict.clean(), failed) {
        (true, 0) => ("verdict good", "Right, and fast enough".to_owned()),
        (true, 1) => ("verdict", "Right, but a threshold failed".to_owned()),
        (true, failed) => ("verdict", format!("Right, but {failed} thresholds failed")),
        (false, _) => ("verdict", "The pipeline was not right".to_owned()),
    };
    _ = write!(
        out,
        "<section class=\"{class}\"><b>{head}</b>{oversold} oversold, {lost} lost, {duplicated} \
         duplicated, {miscounted} miscounted, {different} different, {undecided} undecided"
    );
    for finding in findings {
        _ = write!(out, "<br>{}", escaped(finding));
    }
    out.push_str("</section>");
}

fn cards(out: &mut String, report: &Report, earlier: Option<&Report>) {
    out.push_str("<div class=\"cards\">");
    let commands = &report.commands;
    for (share, name) in [(0.5, "median latency"), (0.99, "99 % within"), (0.999, "99.9 % within")]
    {
        let told = |report: &Report| report.latency.at(share);
        let text = told(report).map_or("—".to_owned(), |ms| format!("{} ms", grouped(ms)));
        let then = earlier.and_then(told).map(|ms| format!("earlier {} ms", grouped(ms)));
        card(out, name, &text, then.as_deref(), false);
    }
    let longest = format!("{} ms", grouped(report.latency.max_ms));
    card(out, "longest", &longest, None, false);
    let then =
        earlier.map(|earlier| format!("earlier {}", grouped(earlier.commands.per_second as u64)));
    card(out, "commands a second", &grouped(commands.per_second as u64), then.as_deref(), false);
    let due = format!("{} due", grouped(commands.due_per_second_max));
    card(out, "in the busiest second", &grouped(commands.sent_per_second_max), Some(&due), false);
    let late = format!("at most by {} ms", grouped(commands.late_ms_max));
    card(out, "sent late", &grouped(commands.late), Some(&late), commands.late > 0);
    card(out, "not delivered", &grouped(commands.failed), None, commands.failed > 0);
    out.push_str("</div>");
}

fn card(out: &mut String, name: &str, figure: &str, note: Option<&str>, is_wrong: bool) {
    let class = if is_wrong { "card wrong" } else { "card" };
    let note = note.map(|note| format!("<i>{}</i>", escaped(note))).unwrap_or_default();
    _ = write!(out, "<div class=\"{class}\"><span>{name}</span><b>{figure}</b>{note}</div>");
}

fn charts(out: &mut String, report: &Report, earlier: Option<&Report>) {
    let over_time = |title: &'static str, lines: Vec<Line<'static>>, y_text| {
        let marks = report.marks.iter().map(|mark| (mark.second, mark.what.as_str())).collect();
        Chart { title, lines, marks, x_ticks: seconds_ticks(report.series.len()), y_text }.draw()
    };
    let of = |report: &Report, name, class, figure: fn(&Second) -> u64| Line {
        name,
        class,
        points: (0..)
            .zip(&report.series)
            .map(|(second, at)| (f64::from(second), figure(at) as f64))
            .collect(),
    };
    let mut latency = vec![
        of(report, "longest", "c", |second| second.max_ms),
        of(report, "99 % within", "a", |second| second.p99_ms),
        of(report, "median", "b", |second| second.p50_ms),
    ];
    if let Some(earlier) = earlier {
        latency.push(of(earlier, "99 % within, earlier", "a then", |second| second.p99_ms));
    }
    out.push_str("<h2>Latency of the answers read in each second</h2>");
    out.push_str(&over_time("Latency by the second", latency, milliseconds));
    out.push_str("<h2>Commands and answers a second</h2>");
    let rates = vec![
        of(report, "due", "c", |second| second.due),
        of(report, "sent", "b", |second| second.sent),
        of(report, "answered", "a", |second| second.answered),
    ];
    out.push_str(&over_time("Commands and answers by the second", rates, short));
    out.push_str("<h2>Commands not decided yet</h2>");
    let behind = vec![of(report, "not decided yet", "a", |second| second.behind)];
    out.push_str(&over_time("Commands not decided yet at each second's end", behind, short));
    out.push_str("<h2>How many answers took how long</h2>");
    out.push_str(&distribution(report, earlier));
}

/// Latency over the share of answers, the share drawn so that each nine takes the same room.
fn distribution(report: &Report, earlier: Option<&Report>) -> String {
    /// Nines that are drawn.
    const NINES: u32 = 6;
    let nines = |told: &Quantile| {
        let nines = -(1.0 - told.share).max(0.1_f64.powi(NINES as i32)).log10();
        (nines, told.ms as f64)
    };
    let line = |report: &Report, name, class| Line {
        name,
        class,
        points: report.latency.distribution.iter().map(nines).collect(),
    };
    let mut lines = vec![line(report, "this load", "a")];
    lines.extend(earlier.map(|earlier| line(earlier, "earlier", "b then")));
    let tick = |nines: u32| {
        let text = match nines {
            0 => "0 %".to_owned(),
            1 => "90 %".to_owned(),
            2 => "99 %".to_owned(),
            more => format!("99.{} %", "9".repeat(more as usize - 2)),
        };
        (f64::from(nines), text)
    };
    Chart {
        title: "Latency over the share of answers",
        lines,
        marks: Vec::new(),
        x_ticks: (0..NINES).map(tick).collect(),
        y_text: milliseconds,
    }
    .draw()
}

fn seconds_ticks(seconds: usize) -> Vec<(f64, String)> {
    let last = seconds.saturating_sub(1) as f64;
    let step = round_step(last / 8.0).max(1.0);
    let ticks = (0..=8).map(|number| f64::from(number) * step).take_while(|at| *at <= last);
    ticks.map(|at| (at, format!("{at:.0} s"))).collect()
}

fn table(out: &mut String, head: &str, counts: &BTreeMap<String, u64>) {
    if counts.is_empty() {
        return;
    }
    _ = write!(out, "<table><tr><th>{head}</th><th>count</th></tr>");
    for (name, count) in counts {
        _ = write!(out, "<tr><td>{}</td><td>{}</td></tr>", escaped(name), grouped(*count));
    }
    out.push_str("</table>");
}

fn thresholds(out: &mut String, report: &Report) {
    if report.thresholds.is_empty() {
        return;
    }
    out.push_str("<h2>Thresholds</h2><table><tr><th>fails if</th><th>measured</th><th></th></tr>");
    for judged in &report.thresholds {
        let value = judged.value.map_or("nothing".to_owned(), |value| format!("{value:.2}"));
        let (class, word) = if judged.failed { ("bad", "failed") } else { ("good-text", "holds") };
        let text = escaped(&judged.threshold);
        _ = write!(
            out,
            "<tr><td>{text}</td><td>{value}</td><td class=\"{class}\">{word}</td></tr>"
        );
    }
    out.push_str("</table>");
}

fn explanations(out: &mut String) {
    out.push_str(
        "<h2>What the words mean</h2>\
         <p><b>Latency</b> runs from the moment at which a command was due, not from when it was \
         sent, to the moment at which its committed answer was read. A publisher that falls behind \
         makes it longer.</p>\
         <p><b>Late</b> is what was sent more than 10 ms after it was due.</p>\
         <p><b>Not decided yet</b> are commands behind the last one that an answer has named.</p>\
         <p><b>Oversold, lost, duplicated, miscounted, different</b> are the audit's: every output is \
         derived from the input again, by other code, and compared. <b>Undecided</b> are commands that \
         the pipeline had not answered when the load was given up.</p>",
    );
}

fn milliseconds(value: f64) -> String {
    if value >= 10_000.0 { format!("{:.0} s", value / 1_000.0) } else { format!("{value} ms") }
}

fn short(value: f64) -> String {
    match value {
        1e6.. => format!("{} M", value / 1e6),
        1e3.. => format!("{} k", value / 1e3),
        _ => format!("{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn the_verdict_is_told_first_and_in_words() {
        let mut told = report();
        let shown = page(&told, None);
        let at = |text: &str| shown.find(text).unwrap_or_else(|| panic!("no {text}"));
        assert!(at("Right, and fast enough") < at("median latency"));
        told.judge(&["p50>1ms".parse().unwrap()]);
        assert!(page(&told, None).contains("Right, but a threshold failed"));
        told.verdict.oversold = 3;
        told.verdict.findings.push("partition 2: <b>bold</b>".to_owned());
        let shown = page(&told, None);
        assert!(shown.contains("The pipeline was not right</b>3 oversold"));
        assert!(shown.contains("partition 2: &lt;b&gt;bold"));
    }

    #[test]
    fn a_page_asks_nobody_for_anything() {
        let shown = page(&report(), Some(&report()));
        for outside in ["http:", "https:", "<script", "<link", "@import", "url("] {
            assert!(!shown.contains(outside), "{outside}");
        }
        assert!(shown.contains("kill -9 &lt;settle&gt;") && shown.contains("earlier 80 ms"));
    }
}
