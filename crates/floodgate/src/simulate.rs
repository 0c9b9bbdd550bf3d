//! `floodgate simulate`: worlds of the deterministic simulator, seed by seed.
//!
//! Not the simulator, which is the drill's. Invariant: whatever fails is printed with the command that
//! makes it happen again.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use drill::simulator::{self, Campaign, Failure, Fault, Phase, Run, Tally};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::arguments::{Format, Simulate};
use crate::exit::Exit;
use crate::print::{grouped, say};

/// From so many seeds on, a fault that never struck in a phase in which it can is a failure: the
/// simulator would have tested less than it says.
const SEEDS_TO_REACH_ALL: u64 = 12_000;

/// Runs the seeds; exit code 1 if one fails, or if many leave something out.
pub(crate) fn run(arguments: &Simulate) -> anyhow::Result<Exit> {
    simulator::name_seed_on_panic();
    let first_seed = arguments.seed.unwrap_or_else(rand::random);
    if arguments.trace {
        let run = simulator::run_traced(first_seed);
        run.trace.iter().for_each(|line| say(line));
        say(&format!("trace hash {:016x}", run.trace_hash));
        run.failure.iter().for_each(|failure| explain(first_seed, failure));
        return Ok(if run.failure.is_some() { Exit::DoesNotHold } else { Exit::Well });
    }
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let hours = arguments.hours.unwrap_or_default();
    anyhow::ensure!((0.0..=100_000.0).contains(&hours), "--hours is between 0 and 100000");
    let campaign = Campaign {
        first_seed,
        seeds: arguments.seeds,
        time: Duration::from_secs_f64(hours * 3_600.0),
        threads: arguments.threads.unwrap_or_else(cores),
    };
    let began = Instant::now();
    let progress = progress(arguments);
    let tally = campaign.play(|tally| {
        progress.set_position(tally.seeds);
        progress.set_message(format!("{} faults", grouped(tally.matrix.faults())));
    });
    progress.finish_and_clear();
    let leaves_out = tally.seeds >= SEEDS_TO_REACH_ALL && !tally.matrix.missing().is_empty();
    match arguments.format {
        Format::Json => say(&summary(first_seed, &tally, began.elapsed()).to_string()),
        Format::Text => print(first_seed, &tally, leaves_out),
    }
    let holds = tally.failed.is_empty() && !leaves_out;
    Ok(if holds { Exit::Well } else { Exit::DoesNotHold })
}

fn progress(arguments: &Simulate) -> ProgressBar {
    if arguments.format == Format::Json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "  {bar:40.cyan/blue} {human_pos} seeds, {per_sec}, {msg}";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(arguments.seeds).with_style(style)
}

fn print(first_seed: u64, tally: &Tally, leaves_out: bool) {
    let matrix = &tally.matrix;
    let lines = [
        format!("{matrix}"),
        String::new(),
        format!("  seeds             {:>15}   from {first_seed} on", grouped(tally.seeds)),
        format!(
            "  faults            {:>15}   {:.0} a second and core",
            grouped(matrix.faults()),
            tally.faults_per_second()
        ),
        format!("  simulated         {:>15}   seconds", grouped(tally.simulated_ms / 1_000)),
        format!(
            "  judged            {:>15}   inputs and {} outputs",
            grouped(tally.inputs),
            grouped(tally.outputs)
        ),
        format!("  trace hash       {:016x}", tally.trace_hash),
    ];
    lines.iter().for_each(|line| say(line));
    for (fault, phase, why) in impossible_cells() {
        say(&format!("  never: {} while {}: {why}", fault.name(), phase.name()));
    }
    for (fault, phase) in matrix.missing().iter().filter(|_| leaves_out) {
        say(&format!("  never reached: {} while {}", fault.name(), phase.name()));
    }
    for Run { seed, failure, .. } in &tally.failed {
        failure.iter().for_each(|failure| explain(*seed, failure));
    }
}

fn explain(seed: u64, failure: &Failure) {
    say(&format!("\nseed {seed} fails: {}\n\nthe last events:", failure.what));
    failure.last_events.iter().for_each(|line| say(line));
    say(&format!("\nagain: {}", simulator::command(seed)));
}

fn impossible_cells() -> impl Iterator<Item = (Fault, Phase, &'static str)> {
    Fault::ALL.into_iter().flat_map(|fault| {
        Phase::ALL.into_iter().filter_map(move |phase| {
            simulator::impossible(fault, phase).map(|why| (fault, phase, why))
        })
    })
}

fn summary(first_seed: u64, tally: &Tally, took: Duration) -> Value {
    let matrix = &tally.matrix;
    let faults: serde_json::Map<String, Value> = Fault::ALL
        .into_iter()
        .map(|fault| (fault.name().to_owned(), json!(matrix.total(fault))))
        .collect();
    let cells: serde_json::Map<String, Value> = Fault::ALL
        .into_iter()
        .map(|fault| {
            let phases: serde_json::Map<String, Value> = Phase::ALL
                .into_iter()
                .map(|phase| (phase.name().to_owned(), json!(matrix.cell(fault, phase))))
                .collect();
            (fault.name().to_owned(), Value::Object(phases))
        })
        .collect();
    let names = |cells: Vec<(Fault, Phase)>| -> Vec<[&str; 2]> {
        cells.into_iter().map(|(fault, phase)| [fault.name(), phase.name()]).collect()
    };
    let failed: Vec<Value> = tally
        .failed
        .iter()
        .map(|run| {
            let what = run.failure.as_ref().map_or("", |failure| &failure.what);
            json!({ "seed": run.seed, "what": what, "again": simulator::command(run.seed) })
        })
        .collect();
    json!({
        "first_seed": first_seed,
        "seeds": tally.seeds,
        "failed": failed,
        "faults": matrix.faults(),
        "faults_per_core_second": tally.faults_per_second().round(),
        "seconds": took.as_secs_f64(),
        "simulated_seconds": tally.simulated_ms / 1_000,
        "events": tally.events,
        "inputs": tally.inputs,
        "outputs": tally.outputs,
        "trace_hash": format!("{:016x}", tally.trace_hash),
        "faults_by_kind": faults,
        "faults_by_phase": cells,
        "never_reached": names(matrix.missing()),
        "impossible": names(impossible_cells().map(|(fault, phase, _)| (fault, phase)).collect()),
    })
}
