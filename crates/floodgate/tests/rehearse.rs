//! `floodgate drill rehearse` with nothing installed: log and workers in its own process.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn rehearse(out: &Path, arguments: &[&str]) -> Output {
    rehearse_as("300/s for 2s, 600/s for 3s", out, arguments)
}

fn rehearse_as(profile: &str, out: &Path, arguments: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_floodgate");
    let mut command = Command::new(binary);
    command.args(["drill", "rehearse", "--profile", profile, "--seed", "3"]);
    command.args(arguments).arg("--out").arg(out);
    command.output().expect("the binary runs")
}

fn report(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().last().unwrap_or_else(|| panic!("it prints a line: {said}"));
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {text}{said}"))
}

#[test]
fn a_worker_that_crashes_at_the_peak_is_told_and_costs_nothing_but_time() {
    let out = tempfile::tempdir().expect("a directory");
    let output = rehearse(out.path(), &["--format", "json"]);
    let report = report(&output);
    assert!(output.status.success(), "{report:#}");
    assert_eq!(report["commands"]["orders"], 300 * 2 + 600 * 3);
    let answers: u64 =
        report["answers"].as_object().into_iter().flatten().filter_map(|it| it.1.as_u64()).sum();
    assert_eq!(report["latency"]["answers"], answers);

    let marks = report["marks"].as_array().expect("there are marks");
    assert_eq!(marks.len(), 1, "{report:#}");
    assert_eq!(marks[0]["what"], "crash of worker 0");
    assert!(marks[0]["second"].as_f64() >= Some(2.0), "{report:#}");
    assert_eq!(marks[0]["partitions"].as_array().map(Vec::len), Some(2), "{report:#}");
    assert!(marks[0]["recovered_ms"].is_u64(), "{report:#}");

    let stages = report["stages"].as_array().expect("there are stages");
    assert_eq!(stages.len(), 4, "{stages:#?}");
    assert!(stages.iter().all(|stage| stage["count"].as_u64() > Some(0)), "{stages:#?}");

    let page = std::fs::read_to_string(out.path().join("drill-report.html")).expect("a page");
    assert!(page.contains("Right, and fast enough") && page.contains("crash of worker 0"));
}

#[test]
fn a_threshold_that_fails_and_a_fault_that_never_comes_end_well() {
    let out = tempfile::tempdir().expect("a directory");
    let output = rehearse(out.path(), &["--no-faults", "--fail-if", "p50<1h", "--format", "json"]);
    assert_eq!(output.status.code(), Some(2), "an hour is no bound");
    let output = rehearse(out.path(), &["--no-faults", "--fail-if", "p50<9s", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(report(&output)["marks"], Value::Array(Vec::new()));
    let output = rehearse(out.path(), &["--kill-at", "9s"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the load is over after 5 s"));
}

/// Without a terminal what happens is told in lines of their own.
#[test]
fn a_crash_is_not_told_while_it_happens() {
    let out = tempfile::tempdir().expect("a directory");
    let output = rehearse(out.path(), &["--kill-at", "1s"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let told = said.lines().any(|line| line.contains("crash of worker 0, answers again after"));
    assert!(told && !said.contains('\r'), "{said}");
}

/// Whatever cannot come out well is refused before it takes its time.
#[test]
fn a_rehearsal_that_cannot_end_well_begins() {
    let out = tempfile::tempdir().expect("a directory");
    let refused = |out: &Path, arguments: &[&str], why: &str| {
        let output = rehearse(out, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(why) && !said.contains("catalogue"), "{said}");
    };
    let idle = ["--processes", "3", "--partitions", "2"];
    refused(out.path(), &idle, "some would have nothing to settle");
    let file = out.path().join("report");
    std::fs::write(&file, "somebody's").expect("it can be written");
    refused(&file, &[], "report");
    assert_eq!(std::fs::read(&file).expect("it is there"), b"somebody's");
}

/// The load cannot be had again: whatever becomes of the files, it is told what it was.
#[test]
fn a_report_that_cannot_be_written_is_lost() {
    let out = tempfile::tempdir().expect("a directory");
    let in_the_way = out.path().join("drill-report.json");
    std::fs::create_dir(&in_the_way).expect("a directory in the place of the file");
    let output = rehearse_as("50/s for 1s", out.path(), &["--no-faults", "--format", "json"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&in_the_way.display().to_string()), "{said}");
    let report = report(&output);
    assert_eq!(
        (&report["commands"]["orders"], &report["verdict"]["lost"]),
        (&50.into(), &0.into())
    );
}
