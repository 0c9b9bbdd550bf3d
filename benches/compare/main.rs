//! Floodgate beside what a user could pick instead, measured with one command.
//!
//! Builds Floodgate and the peers, starts a broker, runs everybody on the same log, prints a table and
//! writes a page and the raw figures. Not a test, though a contender whose outputs are wrong ends it.
//! What is measured how, and what is fair: `benches/README.md`.
//!
//! ```text
//! cargo run --release -p benches --bin compare
//! cargo run --release -p benches --bin compare -- --records 600000 --rounds 1 --only settle50,passthrough
//! ```
//! Invariant: whatever is started here ends with this program, however it ends.
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

mod arguments;
mod conditions;
mod ground;
mod latency;
mod measured;
mod outcome;
mod page;
mod parts;
mod passthrough;
mod redis;
mod running;
mod table;
mod throughput;
mod workload;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::Parser as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use arguments::{Arguments, Command, Contender};
use ground::Ground;
use measured::{Figures, Written};

/// What a program returns that Ctrl-C has ended.
const INTERRUPTED: i32 = 130;

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(Command::Passthrough(arguments)) = &arguments.command {
        passthrough::run(arguments)?;
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(arguments.records > 0 && arguments.rounds > 0, "there is nothing to measure");
    ensure!(arguments.no_build || e2e::process::build(), "floodgate could not be built");
    if arguments.contenders().into_iter().any(Contender::is_java) {
        running::build_java()?;
    }
    let directory = tempfile::Builder::new().prefix("floodgate-compare-").tempdir()?;
    clean_up_when_interrupted(directory.path().to_owned())?;
    let figures = measure(&arguments, directory.path())?;
    println!("\n{}", table::of(&figures));
    write_files(&arguments.out, &figures)?;
    Ok(ExitCode::SUCCESS)
}

fn measure(arguments: &Arguments, directory: &Path) -> anyhow::Result<Figures> {
    let mut figures = Figures { conditions: conditions::of(arguments), ..Figures::default() };
    let ground = Ground::new(arguments.partitions, arguments.workers, directory)?;
    if !arguments.no_throughput {
        figures.throughput = throughput::measure(arguments, &ground)?;
    }
    if arguments.latency || arguments.all {
        let settled = figures.throughput.iter().filter(|one| one.contender.starts_with("settle"));
        let like = settled.flat_map(|one| &one.rounds).next_back().map(|round| round.written);
        let like = like.unwrap_or_else(|| Written::ordinary(arguments.records));
        figures.latency = latency::measure(arguments, &ground, &like)?;
    }
    drop(ground);
    if arguments.all {
        figures.parts = parts::measure()?;
    }
    Ok(figures)
}

fn write_files(out: &Path, figures: &Figures) -> anyhow::Result<()> {
    let failed = || format!("writing to {}", out.display());
    std::fs::create_dir_all(out).with_context(failed)?;
    let raw = out.join("compare.json");
    std::fs::write(&raw, serde_json::to_string_pretty(figures)?).with_context(failed)?;
    let page = out.join("compare.html");
    std::fs::write(&page, page::of(figures)).with_context(failed)?;
    println!("{} and {}", page.display(), raw.display());
    Ok(())
}

/// Children end with this program by themselves; what they have written is removed here.
fn clean_up_when_interrupted(directory: PathBuf) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            drop(std::fs::remove_dir_all(&directory));
            std::process::exit(INTERRUPTED);
        }
    });
    Ok(())
}
