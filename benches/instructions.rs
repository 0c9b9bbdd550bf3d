//! What one order costs in each stage of a worker, in instructions: they do not jitter, whatever else
//! the machine does.
//!
//! Runs itself under valgrind with few orders and with more; the difference is what the orders cost,
//! without start-up and catalogue. Not time, which is in `stages`: it is how a fast path that has grown
//! slower is noticed at once.
//!
//! ```text
//! cargo run --release -p benches --bin instructions              # prints a table
//! cargo run --release -p benches --bin instructions -- --check   # fails if a stage has become dearer
//! cargo run --release -p benches --bin instructions -- --record  # writes the baseline
//! ```
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

mod stage;

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use stage::Input;
use wire::Record;

/// The baseline, in instructions for each order.
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.json");
const FEW: u64 = 5_000;
const MORE: u64 = 25_000;
const MERCHANTS: u64 = 100;
/// By how much a stage may differ from its baseline before somebody has to look.
const SLACK: f64 = 0.03;

/// Instructions for each order by stage.
type Figures = BTreeMap<String, f64>;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => print(&measure()?, &recorded()?),
        ["--check"] => check()?,
        ["--record"] => {
            std::fs::write(BASELINE, serde_json::to_string_pretty(&measure()?)? + "\n")?;
        }
        ["run", what, orders] => run(what, orders.parse()?)?,
        _ => bail!("usage: instructions [--check | --record]"),
    }
    Ok(())
}

/// Runs one stage with those before it; this is what valgrind counts.
fn run(what: &str, orders: u64) -> anyhow::Result<()> {
    let input = Input::new(orders, MERCHANTS);
    let stage: fn(&[Record<'_>]) = match what {
        "input" => |_| (),
        "decode" => stage::decode,
        "decide" => stage::decide,
        "work" => stage::work,
        "fold again" => stage::fold_again,
        _ => bail!("no such stage"),
    };
    stage(&input.records());
    Ok(())
}

fn measure() -> anyhow::Result<Figures> {
    let [input, decode, decide, work, folded] =
        ["input", "decode", "decide", "work", "fold again"].map(each);
    let (input, decode, decide, work) = (input?, decode?, decide?, work?);
    let digest = folded? - work;
    let stages = [
        ("decode", decode - input),
        ("decide", decide - decode),
        ("encode", work - decide - digest),
        ("digest", digest),
        ("all", work - input),
    ];
    Ok(stages.map(|(stage, figure)| (stage.to_owned(), figure.round())).into())
}

/// What an order costs in a run.
fn each(what: &str) -> anyhow::Result<f64> {
    let [few, more] = [FEW, MORE].map(|orders| counted(what, orders));
    Ok((more? - few?) / (MORE - FEW) as f64)
}

fn counted(what: &str, orders: u64) -> anyhow::Result<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["run", what, &orders.to_string()])
        .output()
        .context("valgrind cannot be run: is it installed?")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind failed:\n{told}");
    let figure = told.lines().find_map(|line| line.split_once("Collected : "));
    let (_, figure) = figure.with_context(|| format!("valgrind told no figure:\n{told}"))?;
    Ok(figure.trim().parse()?)
}

fn recorded() -> anyhow::Result<Figures> {
    let text = std::fs::read_to_string(BASELINE).unwrap_or_else(|_| "{}".to_owned());
    serde_json::from_str(&text).with_context(|| format!("{BASELINE} is damaged"))
}

fn print(figures: &Figures, recorded: &Figures) {
    println!("instructions for each order of two lines");
    for (stage, figure) in figures {
        let was = recorded.get(stage).map_or(String::new(), |was| format!("{was:9.0} recorded"));
        println!("{stage:>8} {figure:7.0}{was}");
    }
}

/// Fails if a stage differs from the baseline: dearer is to be mended, cheaper to be recorded.
fn check() -> anyhow::Result<()> {
    let (figures, recorded) = (measure()?, recorded()?);
    print(&figures, &recorded);
    for (stage, figure) in &figures {
        let was = recorded.get(stage).with_context(|| format!("{stage} has no baseline"))?;
        ensure!(
            (figure - was).abs() <= was * SLACK,
            "{stage} takes {figure:.0} instructions for each order instead of {was:.0}: look why, or \
             record them with `cargo run --release -p benches --bin instructions -- --record`"
        );
    }
    Ok(())
}
