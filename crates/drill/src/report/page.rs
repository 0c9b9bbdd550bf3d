//! A report as one page that needs nothing else: no script, no font, no request.
//!
//! Not the figures: those are the report's, and the page shows no number that is not in it. Invariant:
//! the verdict comes first, in words.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::plot::{Chart, Line, Mark, escaped, round_step};
use super::{Quantile, Report, Verdict, grouped};
use crate::knee::{Knee, Step};
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
    knee(&mut out, report);
    cards(&mut out, report, earlier);
    marks(&mut out, report);
    charts(&mut out, report, earlier);
    stages(&mut out, report);
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
        let marks = report.marks.iter().map(|mark| Mark {
            at: mark.second,
            until: mark.recovered_ms.map(|ms| mark.second + ms as f64 / 1_000.0),
            what: &mark.what,
        });
        let marks = marks.collect();
        let x_ticks = seconds_ticks(report.series.len());
        Chart { title, lines, marks, x_ticks, y_text, bound: None }.draw()
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
        bound: None,
    }
    .draw()
}

/// What was done to the pipeline, and how it got over it.
fn marks(out: &mut String, report: &Report) {
    if report.marks.is_empty() {
        return;
    }
    out.push_str(
        "<h2>What was done to it</h2><table class=\"words\"><tr><th>at</th><th>what</th><th>partitions</th>\
         <th>answers again after</th></tr>",
    );
    for mark in &report.marks {
        let partitions: Vec<String> = mark.partitions.iter().map(u32::to_string).collect();
        let after = match (mark.recovered_ms, mark.partitions.is_empty()) {
            (Some(ms), _) => format!("{} ms", grouped(ms)),
            (None, false) => "<span class=\"bad\">never</span>".to_owned(),
            (None, true) => "—".to_owned(),
        };
        _ = write!(
            out,
            "<tr><td>{:.1} s</td><td>{}</td><td>{}</td><td>{after}</td></tr>",
            mark.second,
            escaped(&mark.what),
            partitions.join(", ")
        );
    }
    out.push_str("</table>");
}

fn stages(out: &mut String, report: &Report) {
    if report.stages.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Latency by stage</h2><table><tr><th>stage</th><th>median</th><th>99 % within</th>\
         <th>timed</th></tr>",
    );
    for stage in &report.stages {
        _ = write!(
            out,
            "<tr><td>{}</td><td>{:.1} ms</td><td>{:.1} ms</td><td>{}</td></tr>",
            escaped(&stage.stage),
            stage.p50_ms,
            stage.p99_ms,
            grouped(stage.count)
        );
    }
    out.push_str("</table>");
}

/// The search for the highest rate: what was found, latency over rate, every step.
fn knee(out: &mut String, report: &Report) {
    let Some(knee) = &report.knee else { return };
    _ = write!(out, "<h2>The knee</h2><p><b>{}</b></p>", escaped(&knee.told()));
    out.push_str(&knee_chart(knee));
    out.push_str(
        "<table><tr><th>orders a second</th><th>commands a second</th><th>median</th>\
         <th>99 % within</th><th>longest</th><th>sent late</th><th>most behind</th><th></th></tr>",
    );
    let ms = |ms: Option<u64>| ms.map_or("—".to_owned(), |ms| format!("{} ms", grouped(ms)));
    for step in &knee.steps {
        let (class, word) = if step.held { ("good-text", "held") } else { ("bad", "did not hold") };
        _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td class=\"{class}\">{word}</td></tr>",
            grouped(step.rate as u64),
            grouped(step.commands_per_second as u64),
            ms(step.p50_ms),
            ms(step.p99_ms),
            ms(Some(step.max_ms)),
            grouped(step.late),
            grouped(step.behind)
        );
    }
    out.push_str("</table><h2>The load at the knee</h2>");
}

fn knee_chart(knee: &Knee) -> String {
    let mut steps: Vec<&Step> = knee.steps.iter().collect();
    steps.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let line = |name, class, figure: fn(&Step) -> Option<u64>| Line {
        name,
        class,
        points: steps.iter().filter_map(|at| Some((at.rate, figure(at)? as f64))).collect(),
    };
    let last = steps.last().map_or(1.0, |step| step.rate);
    let step = round_step(last / 8.0);
    let ticks = (0..=8).map(|number| f64::from(number) * step).take_while(|at| *at <= last);
    // What did not hold can be a hundred times longer, and would make a flat line of the rest.
    let held = steps.iter().filter(|step| step.held).filter_map(|step| step.p99_ms).max();
    Chart {
        title: "Latency over the rate",
        lines: vec![
            line("99 % within", "a dots", |step| step.p99_ms),
            line("median", "b dots", |step| step.p50_ms),
        ],
        marks: knee
            .rate
            .map(|rate| Mark { at: rate, until: None, what: "the knee" })
            .into_iter()
            .collect(),
        x_ticks: ticks.map(|at| (at, format!("{}/s", short(at)))).collect(),
        y_text: milliseconds,
        bound: held.map(|held| held as f64 * 4.0),
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
         <p><b>Answers again after</b> runs from the moment at which something was done to the moment \
         at which each partition that it hit has answered a command that was due later.</p>\
         <p><b>Stages</b>: <i>due to sent</i> and <i>due to answer read</i> are measured by the load \
         itself; the others are told by the processes that settle.</p>\
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

    /// Where the label of an axis begins and ends, at 12 pixels and the 0.6 em of a wide font's digits.
    fn extent(label: &str) -> (f64, f64) {
        let attribute = |name: &str| {
            let (_, rest) = label.split_once(&format!("{name}=\"")).unwrap();
            rest.split('"').next().unwrap()
        };
        let (_, text) = label.split_once('>').unwrap();
        let width = text.chars().count() as f64 * 12.0 * 0.6;
        let x: f64 = attribute("x").parse().unwrap();
        match attribute("text-anchor") {
            "middle" => (x - width / 2.0, x + width / 2.0),
            "end" => (x - width, x),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_labels_of_an_axis_have_room_in_the_picture() {
        let mut told = report();
        let busy = Second { max_ms: 999_000, behind: 900_000, ..told.series[0].clone() };
        // A load of four hours and more, whose last label stands at the very end.
        told.series = vec![busy; 16_001];
        let shown = page(&told, None);
        let labels: Vec<&str> = shown
            .split("<text class=\"tick\"")
            .skip(1)
            .map(|rest| rest.split_once("</text>").unwrap().0)
            .collect();
        assert!(
            labels.len() > 20 && labels.iter().any(|it| it.ends_with(">16000 s")),
            "{labels:?}"
        );
        for label in labels {
            let (begins, ends) = extent(label);
            assert!(begins >= 0.0 && ends <= 860.0, "{label}: from {begins} to {ends}");
        }
    }

    #[test]
    fn a_page_asks_nobody_for_anything() {
        let shown = page(&report(), Some(&report()));
        for outside in ["http:", "https:", "<script", "<link", "@import", "url("] {
            assert!(!shown.contains(outside), "{outside}");
        }
        assert!(shown.contains("kill -9 &lt;settle&gt;") && shown.contains("earlier 80 ms"));
    }

    #[test]
    fn what_was_done_is_shown_with_how_long_it_was_felt() {
        let mut told = report();
        let shown = page(&told, None);
        assert!(shown.contains("<td>0, 3</td><td>1,234 ms</td>"), "{shown}");
        told.marks[0].recovered_ms = None;
        assert!(page(&told, None).contains(">never<"));
        told.marks[0].partitions.clear();
        assert!(!page(&told, None).contains(">never<"));
    }

    #[test]
    fn a_knee_is_shown_with_every_rate_that_was_tried() {
        let step = |rate, p99_ms, held| Step {
            rate,
            commands_per_second: rate * 2.0,
            p50_ms: Some(5),
            p99_ms: Some(p99_ms),
            max_ms: p99_ms + 9,
            late: 0,
            behind: 70,
            held,
        };
        let steps = vec![step(1_000.0, 30, true), step(4_000.0, 700, false)];
        let target = "p99<60ms".to_owned();
        let mut told = report();
        told.knee = Some(Knee { target: target.clone(), rate: Some(1_000.0), steps });
        let shown = page(&told, None);
        let found = "p99&lt;60ms held at 1,000 orders a second, and no more at 4,000";
        assert!(shown.contains(found), "{shown}");
        assert!(shown.contains("<td>8,000</td>") && shown.contains("did not hold"));
        told.knee = Some(Knee { target, rate: None, steps: vec![step(1_000.0, 90, false)] });
        assert!(page(&told, None).contains("p99&lt;60ms held at no rate that was tried"));
    }
}
