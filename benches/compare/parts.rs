//! The programs that measure parts of Floodgate, run one after the other.
//!
//! Each prints a table of its own, which is shown as it is. Invariant: every one of them can be run
//! alone, with the command that stands beside its output.

use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::measured::Part;

/// What each tells, and how it is run.
const PROGRAMS: [(&str, &[&str]); 7] = [
    (
        "The state machine alone: orders over SKUs uniformly, by Zipf's law, all to one",
        &["run", "-p", "ledger", "--example", "measure", "--", "speed"],
    ),
    (
        "Memory: bytes for an open hold and a remembered id",
        &["run", "-p", "ledger", "--example", "measure", "--", "memory"],
    ),
    ("An order's nanoseconds, stage by stage", &["run", "-p", "benches", "--bin", "stages"]),
    ("Each stage by itself, by criterion", &["bench", "-p", "benches", "--bench", "each_stage"]),
    ("Stock shared by threads", &["run", "-p", "benches", "--bin", "contention"]),
    ("Growth", &["run", "-p", "benches", "--bin", "growth"]),
    ("A large state: growing, frozen, loaded", &["run", "-p", "benches", "--bin", "state"]),
];

/// Runs all of them.
pub(crate) fn measure() -> anyhow::Result<Vec<Part>> {
    PROGRAMS.iter().map(|(title, arguments)| run(title, arguments)).collect()
}

#[expect(clippy::print_stderr, reason = "long work shows where it stands")]
fn run(title: &str, arguments: &[&str]) -> anyhow::Result<Part> {
    let mut arguments: Vec<&str> = arguments.to_vec();
    if arguments[0] == "run" {
        arguments.splice(1..1, ["--release"]);
    }
    let shown = format!("cargo {}", arguments.join(" "));
    eprintln!("{shown}");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let ended = Command::new(cargo).arg("--quiet").args(&arguments).output();
    let ended = ended.with_context(|| shown.clone())?;
    ensure!(ended.status.success(), "{shown}:\n{}", String::from_utf8_lossy(&ended.stderr));
    let output = String::from_utf8_lossy(&ended.stdout).trim_end().to_owned();
    Ok(Part { title: title.to_owned(), command: shown, output })
}
