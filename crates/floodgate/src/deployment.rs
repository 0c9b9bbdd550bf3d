//! Whether the files of `deploy/` fit this program: flags, ports, settings, times to stop.
//!
//! What they do cannot be tried without their platforms; what they say can. Invariant: every command
//! line in them is one that this program takes.

use std::path::{Path, PathBuf};

use clap::Parser as _;

use crate::arguments::Arguments;
use crate::configuration::{Configuration, Overrides};

const BINARY: &str = "/usr/local/bin/floodgate";

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn read(path: &str) -> String {
    let path = deploy().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn assert_taken(file: &str, line: &[String]) {
    let parsed =
        Arguments::try_parse_from(["floodgate"].into_iter().chain(line.iter().map(String::as_str)));
    if let Err(error) = parsed {
        panic!("{file}: floodgate {line:?}: {error}");
    }
}

/// The lists behind `key:` that begin with one of our commands.
fn command_lines(text: &str, key: &str) -> Vec<Vec<String>> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix(key)?.trim().strip_prefix(':'))
        .filter_map(|list| serde_json::from_str::<Vec<String>>(list.trim()).ok())
        .filter(|list| ["settle", "board", "topics"].contains(&list[0].as_str()))
        .collect()
}

#[test]
fn every_command_line_is_one_that_the_program_takes() {
    for (file, key, count) in [
        ("compose/compose.yaml", "command", 4),
        ("kubernetes/base/settle.yaml", "args", 1),
        ("kubernetes/base/board.yaml", "args", 1),
    ] {
        let lines = command_lines(&read(file), key);
        assert_eq!(lines.len(), count, "{file}: {lines:?}");
        lines.iter().for_each(|line| assert_taken(file, line));
    }
    for (file, count) in
        [("systemd/floodgate-settle@.service", 2), ("systemd/floodgate-board.service", 1)]
    {
        let text = read(file);
        let starts = text.lines().filter(|line| line.starts_with("ExecStart"));
        let lines: Vec<&str> = starts.filter_map(|line| Some(line.split_once('=')?.1)).collect();
        assert_eq!(lines.len(), count, "{file}");
        for line in lines {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(words[0], BINARY, "{file}");
            assert_taken(file, &words[1..]);
        }
    }
    let dockerfile = read("container/Dockerfile");
    assert!(dockerfile.contains(&format!("ENTRYPOINT [\"{BINARY}\"]")), "{dockerfile}");
    assert!(dockerfile.contains("--package floodgate --features tls,s3\n"), "{dockerfile}");
}

#[test]
fn ports_are_those_of_the_configuration() {
    let configuration = Configuration::load(None, &Overrides::default()).unwrap();
    let port = |listen: &str| listen.rsplit(':').next().unwrap().to_owned();
    let (settle, board) = (port(&configuration.settle.listen), port(&configuration.board.listen));
    let dockerfile = read("container/Dockerfile");
    assert!(dockerfile.contains(&format!("EXPOSE {settle} {board}\n")), "{dockerfile}");
    let pods = deploy().join("kubernetes/base/floodgate.toml");
    let pods = Configuration::load(Some(&pods), &Overrides::default()).unwrap();
    assert_eq!(
        (port(&pods.settle.listen), port(&pods.board.listen)),
        (settle.clone(), board.clone())
    );
    for (file, port) in [("settle", &settle), ("board", &board)] {
        let text = read(&format!("kubernetes/base/{file}.yaml"));
        assert!(text.contains(&format!("containerPort: {port}\n")), "{file}");
        assert!(text.contains(&format!("port: {port}\n")), "{file}");
    }
    let scraped = read("compose/prometheus.yml");
    for target in [format!("settle-a:{settle}"), format!("board:{board}")] {
        assert!(scraped.contains(&target), "{target}");
    }
}

#[test]
fn nobody_is_killed_while_draining() {
    let configuration = Configuration::load(None, &Overrides::default()).unwrap();
    // Commit, last snapshot, leaving the group: as long again, and ten seconds.
    let needed = configuration.worker(true).drain.as_secs() * 2 + 10;
    for (file, key) in [
        ("compose/compose.yaml", "stop_grace_period: "),
        ("kubernetes/base/settle.yaml", "terminationGracePeriodSeconds: "),
        ("systemd/floodgate-settle@.service", "TimeoutStopSec="),
    ] {
        let text = read(file);
        let given = text.lines().find_map(|line| line.trim().strip_prefix(key));
        let given: u64 = given.unwrap().trim_end_matches('s').parse().unwrap();
        assert!(given >= needed, "{file} gives {given} s, {needed} s may be needed");
    }
}

#[test]
fn what_is_scraped_with_compose_is_what_is_generated() {
    let generated = read("prometheus/prometheus.yml");
    let targets = generated
        .replace("[\"127.0.0.1:9464\"]", "[\"settle-a:9464\", \"settle-b:9464\"]")
        .replace("[\"127.0.0.1:9465\"]", "[\"board:9465\"]");
    let body = |text: &str| text.split_once("global:").unwrap().1.to_owned();
    assert_eq!(body(&read("compose/prometheus.yml")), body(&targets));
}
