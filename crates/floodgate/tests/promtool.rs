//! What `floodgate generate` prints, and `deploy/`, judged by Prometheus' own promtool.
//!
//! promtool comes with Debian's package `prometheus`; it is looked for in `PROMTOOL`, in
//! `target/tools`, and in `PATH`. Where it is missing this says loudly that it did not run;
//! `FLOODGATE_REQUIRE_PROMTOOL=1` makes that a failure.

use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::prometheus::{program, queries};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn assert_runs(mut command: Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}:\n{said}\n{complained}");
    said
}

fn generate(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_floodgate"));
    command.arg("generate").args(arguments);
    assert_runs(command)
}

fn check(promtool: &Path, what: &[&str], file: &Path) {
    let mut command = Command::new(promtool);
    command.arg("check").args(what).arg(file);
    assert_runs(command);
}

const LINT: [&str; 3] = ["rules", "--lint=all", "--lint-fatal"];

#[test]
fn what_is_generated_is_what_prometheus_takes() {
    let Some(promtool) = program("promtool") else { return };
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let prefix = ["--topic-prefix", "shadow."];
    let alerts = [&["alerts", "--runbook", "https://runbook.example/"], &prefix[..]].concat();
    let alerts = generate(&alerts);
    assert!(alerts.contains("runbook_url: https://runbook.example/#floodgatelagging"), "{alerts}");
    assert!(alerts.contains("shadow.floodgate-settle"), "{alerts}");
    // The scrape configuration names two files; one holds everything.
    write("rules.yml", "groups: []\n".to_owned());
    check(&promtool, &LINT, &write("alerts.yml", alerts));
    let watched = ["prometheus", "--settle", "a:1", "--settle", "b:2", "--merchant", "7"];
    let configuration = generate(&[&watched, &prefix[..]].concat());
    assert!(configuration.contains("targets: [\"a:1\", \"b:2\"]"), "{configuration}");
    check(&promtool, &["config"], &write("prometheus.yml", configuration));
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    let Some(promtool) = program("promtool") else { return };
    let folder = root().join("deploy/prometheus");
    for rules in ["rules.yml", "alerts.yml"] {
        check(&promtool, &LINT, &folder.join(rules));
    }
    check(&promtool, &["config"], &folder.join("prometheus.yml"));
    let mut command = Command::new(promtool);
    command.args(["test", "rules"]).arg(folder.join("tests.yml"));
    assert_runs(command);
}

/// A query is checked as the expression of a rule, with something in place of each variable.
#[test]
fn every_query_of_a_dashboard_is_one_that_prometheus_takes() {
    let Some(promtool) = program("promtool") else { return };
    let directory = tempfile::tempdir().unwrap();
    for dashboard in ["sale-day", "pipeline-health", "merchant"] {
        let text = generate(&["grafana", "--dashboard", dashboard]);
        let mut rules = "groups:\n  - name: queries\n    rules:\n".to_owned();
        for (number, query) in queries(&serde_json::from_str(&text).unwrap()).iter().enumerate() {
            let query = query.replace("$job", "a").replace("$board", "b").replace("$merchant", "1");
            assert!(!query.contains('$'), "{dashboard}: {query}");
            rules.push_str(&format!("      - record: query:{number}\n        expr: {query:?}\n"));
        }
        let file = directory.path().join(format!("{dashboard}.yml"));
        std::fs::write(&file, rules).unwrap();
        check(&promtool, &["rules"], &file);
    }
}
