//! `fire`: the pipeline on a real Kafka under fire, for as long as one likes; ends with a table.
//!
//! Only the command line and the build of what it plays with. Invariant: exit code 0 means that
//! every fault asked for was played or named as not played, and that the audit found nothing.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program that prints")]

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Parser;
use e2e::fire::{Fault, Scenario, play};
use e2e::process::{build, choose_binary};

/// Put the pipeline on a real Kafka under fire, and print what came of it.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  fire --kills 100\n  fire --only zombie --count 10 --seed 7")]
struct Arguments {
    /// Occasions on which processes are killed; on some of them two at once, or a second one while the
    /// first is recovered from.
    #[arg(long, value_name = "N", default_value_t = 25)]
    kills: u32,
    /// How often each other kind of fault is played.
    #[arg(long, value_name = "N", default_value_t = 1)]
    count: u32,
    /// Play one kind of fault only, `--count` times (`--kills` for kill).
    #[arg(long, value_name = "KIND", value_parser = fault)]
    only: Option<Fault>,
    /// Fewest and most processes.
    #[arg(long, value_name = "N..M", default_value = "2..4", value_parser = range)]
    processes: RangeInclusive<usize>,
    /// Decides the order of the faults and what is drawn for them. Random if left out.
    #[arg(long)]
    seed: Option<u64>,
    /// Play everything again and again until so much time has passed.
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    minutes: f64,
    /// Orders placed in a second; twice as many records.
    #[arg(long, value_name = "N", default_value_t = 400)]
    rate: u64,
    /// Partitions of every topic.
    #[arg(long, value_name = "N", default_value_t = 4)]
    partitions: u32,
    /// Play with this `floodgate`, as it is, instead of building one.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Leave what each process logged in this directory.
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// The last line of standard output is one JSON object with every recovery in it.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_there = match arguments.binary.clone() {
        Some(file) => file.is_file() && choose_binary(file),
        None => build(),
    };
    if !is_there {
        eprintln!("floodgate could not be built, or is not where --binary says");
        return ExitCode::FAILURE;
    }
    let scenario = scenario(&arguments);
    println!("seed {}", scenario.seed);
    if let Some(Err(error)) = scenario.logs.as_ref().map(std::fs::create_dir_all) {
        eprintln!("the directory of the logs cannot be made: {error}");
        return ExitCode::FAILURE;
    }
    match play(&scenario, &mut |line| println!("{line}")) {
        Ok(report) => {
            println!("\n{report}");
            if arguments.json {
                println!("{}", report.json());
            }
            if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn scenario(arguments: &Arguments) -> Scenario {
    let Arguments { kills, count, only, .. } = *arguments;
    let times = |fault: Fault| (fault, if fault == Fault::Kill { kills } else { count });
    let faults = Fault::ALL.into_iter().filter(|fault| only.is_none_or(|only| only == *fault));
    Scenario {
        seed: arguments.seed.unwrap_or_else(clock),
        faults: faults.map(times).collect(),
        at_least: Duration::from_secs_f64(arguments.minutes.max(0.0) * 60.0),
        processes: arguments.processes.clone(),
        partitions: arguments.partitions.max(1),
        orders_per_second: arguments.rate.max(1),
        configuration: String::new(),
        logs: arguments.logs.clone(),
    }
}

/// A seed that nobody chose.
fn clock() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::from(since_1970.subsec_nanos())
}

fn fault(text: &str) -> Result<Fault, String> {
    let names = Fault::ALL.map(Fault::name).join(", ");
    let found = Fault::ALL.into_iter().find(|fault| fault.name() == text);
    found.ok_or_else(|| format!("one of {names}"))
}

fn range(text: &str) -> Result<RangeInclusive<usize>, String> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| text.parse().map_err(|_| "two numbers, such as 2..4".to_owned());
    let (from, to): (usize, usize) = (number(from)?, number(to)?);
    if (1..=to).contains(&from) {
        Ok(from..=to)
    } else {
        Err("at least 1, and in order".to_owned())
    }
}
