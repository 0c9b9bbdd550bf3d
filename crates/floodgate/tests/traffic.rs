//! `--traffic FILE`: one file for every command that makes traffic.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn floodgate(arguments: &[&str], traffic: &Path) -> Output {
    let binary = env!("CARGO_BIN_EXE_floodgate");
    let mut command = Command::new(binary);
    command.args(arguments).arg("--traffic").arg(traffic).output().expect("the binary runs")
}

fn demo(traffic: &Path) -> Value {
    let output =
        floodgate(&["demo", "--orders", "2000", "--seed", "7", "--format", "json"], traffic);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    serde_json::from_str(text.lines().last().expect("it prints a line")).expect("it is JSON")
}

#[test]
fn a_demo_settles_what_the_file_says() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("unpaid.toml");
    std::fs::write(&file, "[fates]\nnever_paid = 700\n").expect("a file");
    let documented = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/traffic.toml");
    let (usual, unpaid) = (demo(&documented), demo(&file));
    let count = |summary: &Value, name: &str| summary[name].as_u64().unwrap_or_default();
    assert!(count(&usual, "settled") > 1_500, "{usual}");
    assert!(count(&unpaid, "settled") < 700, "{unpaid}");
    assert!(count(&unpaid, "released") > 1_000, "{unpaid}");
}

#[test]
fn every_command_names_the_line_that_is_wrong() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("wrong.toml");
    std::fs::write(&file, "[carts]\n\nlines_max = 100\n").expect("a file");
    for command in [&["demo"][..], &["drill", "run"], &["drill", "rehearse"], &["drill", "knee"]] {
        let output = floodgate(command, &file);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{command:?}");
        assert!(
            said.contains("wrong.toml, line 3: lines_max is 100; write"),
            "{command:?}: {said}"
        );
    }
}
