//! `floodgate demo`: the whole pipeline in one process, on the embedded log, then the audit.
//!
//! The workers are those of `settle`, with its loop and its codecs; only the log is another.
//! Invariant: the traffic, and so every figure, depends on orders, seed and traffic settings alone, except for times and
//! for how many counter records the rhythm of the run made (they are among `outputs`).

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use drill::traffic::{Sent, Settings as TrafficSettings, Traffic};
use indicatif::{ProgressBar, ProgressStyle};
use ledger::rules::Rules;
use ledger::units::Offset;
use model::AuditReport;
use pipeline::embedded::{EmbeddedBroker, Isolation, Topic};
use serde::Serialize;
use wire::Record;

use crate::arguments::{self, Format};
use crate::embedded::{self, OnEmbedded};
use crate::exit::Exit;
use crate::fleet::{Fleet, LOOK};
use crate::print::{grouped, money, say};
use crate::totals::totals_of_all;

const PARTITIONS: u32 = 4;
const WORKERS: usize = 2;
/// 2025-11-10 23:59:00 +8: the traffic's midnight is that of Double 11.
const STARTS_AT_MS: i64 = 1_762_790_340_000;
/// Without records for this long, everything that was published is settled.
const SETTLED_AFTER: Duration = Duration::from_millis(1_500);

/// What a demo ends with.
#[derive(Debug, Clone, Default, Serialize)]
struct Summary {
    orders: u64,
    held: u64,
    settled: u64,
    rejected: u64,
    released: u64,
    refunded: u64,
    dead_letters: u64,
    duplicates: u64,
    oversold: u64,
    lost: u64,
    duplicated: u64,
    miscounted: u64,
    different: u64,
    inputs: u64,
    outputs: u64,
    orders_per_second: u64,
    records_per_second: u64,
    seconds: f64,
    settled_amount: u128,
    refunded_amount: u128,
}

/// Runs the demo; exit code 1 unless the verdict is clean.
pub(crate) fn run(arguments: &arguments::Demo) -> anyhow::Result<Exit> {
    let show = arguments.format == Format::Text;
    let settings = arguments.traffic.settings()?;
    let broker = embedded::broker(PARTITIONS);
    let rules = Rules { partitions: PARTITIONS, ..Rules::default() };
    if show {
        let orders = grouped(arguments.orders);
        say(&format!("Floodgate settles {orders} orders of a sale day (seed {}).", arguments.seed));
    }
    let plan = embedded::plan(rules)?;
    let fleet = Fleet::start(&plan, WORKERS, OnEmbedded(Arc::clone(&broker)))?;
    let published = publish(&broker, arguments, settings, &fleet, show)?;
    let busy = settle_rest(fleet, published.records)?;
    let report = audit(&broker, rules, show)?;
    let mut summary = summarise(&broker, &report);
    summary.orders = published.orders;
    summary.seconds = busy.as_secs_f64();
    let per_second = |count: u64| (count as f64 / busy.as_secs_f64().max(1e-9)) as u64;
    summary.orders_per_second = per_second(published.orders);
    summary.records_per_second = per_second(published.records);
    match arguments.format {
        Format::Json => say(&serde_json::to_string(&summary).context("summary")?),
        Format::Text => print_summary(&summary, &report),
    }
    Ok(if report.verdict.clean() { Exit::Well } else { Exit::DoesNotHold })
}

struct Published {
    orders: u64,
    records: u64,
}

fn publish(
    broker: &EmbeddedBroker,
    arguments: &arguments::Demo,
    settings: TrafficSettings,
    fleet: &Fleet,
    show: bool,
) -> anyhow::Result<Published> {
    let mut traffic =
        Traffic::new(settings, arguments.orders, arguments.seed, PARTITIONS, STARTS_AT_MS);
    let progress = progress(arguments.orders, show);
    let mut sent = Sent::new();
    let mut records = 0_u64;
    while traffic.next_into(&mut sent) {
        embedded::append(broker, &sent);
        records += 1;
        if records.is_multiple_of(4096) {
            progress.set_position(traffic.summary().orders);
            let lag = records.saturating_sub(fleet.records());
            progress.set_message(format!("{} records behind", grouped(lag)));
            anyhow::ensure!(!fleet.has_ended(), "a worker ended early");
        }
    }
    progress.finish_and_clear();
    Ok(Published { orders: traffic.summary().orders, records })
}

fn progress(orders: u64, show: bool) -> ProgressBar {
    if !show || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "  {bar:40.cyan/blue} {human_pos} of {human_len} orders, {per_sec}, {msg}";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(orders).with_style(style)
}

/// Waits until everything is settled and every counter written, stops the workers, and tells for
/// how long they were at work.
fn settle_rest(mut fleet: Fleet, records: u64) -> anyhow::Result<Duration> {
    while fleet.records() < records || fleet.idle().is_none_or(|idle| idle < SETTLED_AFTER) {
        anyhow::ensure!(!fleet.has_ended(), "a worker ended early");
        anyhow::ensure!(fleet.stalled(Duration::from_secs(60)).is_none(), "a worker stands still");
        std::thread::sleep(LOOK);
    }
    let busy = fleet.busy();
    fleet.stop();
    fleet.join()?;
    Ok(busy)
}

fn audit(broker: &EmbeddedBroker, rules: Rules, show: bool) -> anyhow::Result<AuditReport> {
    if show {
        say("Now the audit derives every output again from the input, with other code ...");
    }
    let began = Instant::now();
    let end = |partition| broker.bounds(Topic::Input, partition).next;
    let ends: Vec<Offset> = (0..PARTITIONS).map(end).collect();
    let report = embedded::audit(broker, rules, &ends)?;
    if show {
        let seconds = began.elapsed().as_secs_f64();
        say(&format!("  done in {seconds:.1} s"));
    }
    Ok(report)
}

/// Counts what the topics hold; the counters' totals come from the gmv topic itself.
fn summarise(broker: &EmbeddedBroker, report: &AuditReport) -> Summary {
    let verdict = &report.verdict;
    let mut summary = Summary {
        oversold: verdict.oversold,
        lost: verdict.lost,
        duplicated: verdict.duplicated,
        miscounted: verdict.miscounted,
        different: verdict.different,
        inputs: verdict.inputs,
        outputs: verdict.outputs,
        ..Summary::default()
    };
    for partition in 0..PARTITIONS {
        let mut count = |record: &Record<'_>| {
            summary.held += u64::from(is_type(record, "hold.placed"));
        };
        let status = Topic::Output(wire::Topic::Status);
        broker.read(status, partition, Offset(0), Isolation::ReadCommitted, &mut count);
        let mut days = std::collections::BTreeMap::new();
        let gmv = Topic::Output(wire::Topic::Gmv);
        broker.read(gmv, partition, Offset(0), Isolation::ReadCommitted, &mut |record| {
            if let Some(totals) = record.value.and_then(totals_of_all) {
                days.insert(totals.day.clone(), totals);
            }
        });
        for totals in days.values() {
            summary.settled += totals.orders_settled;
            summary.rejected += totals.orders_rejected;
            summary.released += totals.orders_released;
            summary.refunded += totals.orders_refunded;
            summary.dead_letters += totals.dead_letters;
            summary.duplicates += totals.duplicates;
            summary.settled_amount += totals.settled;
            summary.refunded_amount += totals.refunded;
        }
    }
    summary
}

fn is_type(record: &Record<'_>, name: &str) -> bool {
    let value = record.value.unwrap_or_default();
    value.strip_prefix(br#"{"type":""#).is_some_and(|rest| rest.starts_with(name.as_bytes()))
}

fn print_summary(summary: &Summary, report: &AuditReport) {
    let Summary { orders, held, settled, rejected, released, .. } = summary;
    let lines = [
        String::new(),
        format!("  orders placed     {:>15}", grouped(*orders)),
        format!("  held              {:>15}", grouped(*held)),
        format!("  settled           {:>15}", grouped(*settled)),
        format!("  rejected          {:>15}", grouped(*rejected)),
        format!("  released          {:>15}", grouped(*released)),
        format!("  refunded          {:>15}", grouped(summary.refunded)),
        format!("  duplicates        {:>15}   swallowed", grouped(summary.duplicates)),
        format!("  dead letters      {:>15}   kept", grouped(summary.dead_letters)),
        format!("  net GMV           {:>15}   yuan", net(summary)),
        format!(
            "  throughput        {:>15}   orders/s ({} records/s, generator included)",
            grouped(summary.orders_per_second),
            grouped(summary.records_per_second)
        ),
        String::new(),
        format!(
            "  verdict: {} oversold, {} lost, {} duplicated, {} miscounted, {} different, of {} \
             inputs and {} outputs",
            summary.oversold,
            summary.lost,
            summary.duplicated,
            summary.miscounted,
            summary.different,
            grouped(summary.inputs),
            grouped(summary.outputs)
        ),
    ];
    lines.iter().chain(&report.findings).for_each(|line| say(line));
}

fn net(summary: &Summary) -> String {
    let (settled, refunded) = (summary.settled_amount, summary.refunded_amount);
    if settled >= refunded {
        money(settled - refunded)
    } else {
        format!("-{}", money(refunded - settled))
    }
}
