//! `floodgate drill report`: a report's figures as a page, beside an earlier one if asked for.

use std::path::Path;

use anyhow::{Context, ensure};
use drill::knee::Knee;
use drill::report::page::page;
use drill::report::{Report, VERSION, schema};
use drill::stages::Stage;

use crate::arguments::{DrillReport, Format};
use crate::exit::Exit;
use crate::print::{grouped, say};

/// Names of a report's files.
pub(super) const FIGURES: &str = "drill-report.json";
pub(super) const PAGE: &str = "drill-report.html";

/// Draws a report again; exit code 1 unless it passes.
pub(crate) fn run(arguments: &DrillReport) -> anyhow::Result<Exit> {
    if arguments.schema {
        say(&serde_json::to_string_pretty(&schema()).context("schema")?);
        return Ok(Exit::Well);
    }
    let file = arguments.report.as_deref().context("name the report's JSON file")?;
    let mut report = read(file)?;
    if !arguments.fail_if.is_empty() {
        report.judge(&arguments.fail_if);
    }
    let earlier = arguments.compare.as_deref().map(read).transpose()?;
    if let Some(out) = &arguments.out {
        write(out, &page(&report, earlier.as_ref()))?;
    }
    match arguments.format {
        Format::Json => say(&serde_json::to_string(&report).context("report")?),
        Format::Text => {
            summary(&report).iter().for_each(|line| say(line));
            if let Some(earlier) = &earlier {
                say("\nearlier:");
                summary(earlier).iter().for_each(|line| say(line));
            }
        }
    }
    Ok(if report.passes() { Exit::Well } else { Exit::DoesNotHold })
}

/// Makes the directory of a report: before the load, which would be run for nothing without.
pub(super) fn make_out(out: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("--out {}", out.display()))
}

/// Writes figures and page of a load that has just ended.
pub(super) fn write_files(out: &Path, report: &Report) -> anyhow::Result<()> {
    let figures = serde_json::to_string_pretty(report).context("report")? + "\n";
    write(&out.join(FIGURES), &figures)?;
    write(&out.join(PAGE), &page(report, None))
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

fn read(file: &Path) -> anyhow::Result<Report> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let told: serde_json::Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?;
    let version = told["version"].as_u64();
    ensure!(
        version == Some(u64::from(VERSION)),
        "{} is not a drill's report of version {VERSION}",
        file.display()
    );
    serde_json::from_value(told).with_context(|| format!("{} is no report", file.display()))
}

/// A report in a few lines.
pub(super) fn summary(report: &Report) -> Vec<String> {
    let (commands, latency, verdict) = (&report.commands, &report.latency, &report.verdict);
    let mut lines = vec![
        format!(
            "{} commands, {} orders among them, {} a second on average, {} in the busiest second",
            grouped(commands.sent),
            grouped(commands.orders),
            grouped(commands.per_second as u64),
            grouped(commands.sent_per_second_max)
        ),
        format!(
            "{} sent late (at most by {} ms), {} not delivered",
            grouped(commands.late),
            grouped(commands.late_ms_max),
            grouped(commands.failed)
        ),
    ];
    let told = |share: f64| latency.at(share).map_or("none".to_owned(), |ms| format!("{ms} ms"));
    lines.push(format!(
        "latency of {} answers: p50 {}, p99 {}, p99.9 {}, longest {} ms",
        grouped(latency.answers),
        told(0.5),
        told(0.99),
        told(0.999),
        latency.max_ms
    ));
    for stage in &report.stages {
        let Stage { stage, p50_ms, p99_ms, .. } = stage;
        lines.push(format!("  {stage}: p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms"));
    }
    lines.extend(
        report.marks.iter().map(|mark| format!("at {:.1} s: {}", mark.second, mark.told())),
    );
    lines.extend(report.knee.iter().map(Knee::told));
    lines.push(format!(
        "{} oversold, {} lost, {} duplicated, {} miscounted, {} different, {} undecided",
        verdict.oversold,
        verdict.lost,
        verdict.duplicated,
        verdict.miscounted,
        verdict.different,
        verdict.undecided
    ));
    lines.extend(verdict.findings.iter().cloned());
    for judged in &report.thresholds {
        let value = judged.value.map_or("nothing".to_owned(), |value| format!("{value:.2}"));
        let word = if judged.failed { "FAILED" } else { "holds" };
        lines.push(format!("fails if {}: measured {value}, {word}", judged.threshold));
    }
    lines
}
