//! `floodgate drill rehearse` on a real Kafka: its processes, what becomes of them, and what it finds.

use std::net::TcpStream;
use std::path::{Path, PathBuf};

use crate::process::{Process, await_some, floodgate, run};
use crate::stage::{Stage, Stamps};

/// A rehearsal with topics of its own, beside those of the stage.
struct Rehearsal {
    prefix: String,
    out: PathBuf,
    process: Process,
}

fn rehearse(stage: &Stage, profile: &str, more: &[&str]) -> Rehearsal {
    let prefix = format!("{}rehearsal.", stage.prefix);
    let out = stage.snapshots().with_file_name("rehearsal");
    let mut command = floodgate();
    command.args(["drill", "rehearse", "--brokers", &stage.brokers, "--topic-prefix", &prefix]);
    command.args(["--profile", profile, "--seed", "3", "--format", "json", "--out"]);
    command.arg(&out).args(more);
    Rehearsal { prefix, out, process: Process::spawn(command) }
}

impl Rehearsal {
    fn workplace(&self) -> PathBuf {
        self.out.join(self.prefix.trim_end_matches('.'))
    }

    /// Waits until both processes listen.
    fn await_addresses(&self) -> [String; 2] {
        [0, 1].map(|number| {
            let log = self.workplace().join(format!("settle-{number}-0.log"));
            await_some("an address in a log", || address_in(&log))
        })
    }
}

fn address_in(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let (address, _) = text.split("listening on http://").nth(1)?.split_once('\n')?;
    Some(address.to_owned())
}

/// Waits until nobody listens there any more.
fn await_silence(addresses: &[String]) {
    for address in addresses {
        await_some("the end of a child", || TcpStream::connect(address).err());
    }
}

#[test]
fn a_process_that_is_killed_at_the_peak_is_told_and_costs_nothing_but_time() {
    let Some(stage) = Stage::new(1, Stamps::Create) else { return };
    let rehearsal = rehearse(&stage, "300/s for 3s, 600/s for 4s", &[]);
    let (prefix, workplace) = (rehearsal.prefix.clone(), rehearsal.workplace());
    let ended = rehearsal.process.wait().expect_code(0);
    let report = ended.json();
    assert_eq!(report["commands"]["orders"], 300 * 3 + 600 * 4, "{ended:#?}");
    let mark = &report["marks"][0];
    assert_eq!(mark["what"], "kill -9 of settle 0", "{ended:#?}");
    assert!(mark["second"].as_f64() >= Some(3.0), "{ended:#?}");
    assert_eq!(mark["partitions"].as_array().map(Vec::len), Some(2), "{ended:#?}");
    // Nothing of it can be decided before it is back.
    let recovered_ms = mark["recovered_ms"].as_u64();
    let longest_ms = report["latency"]["max_ms"].as_u64();
    assert!(recovered_ms > Some(0) && longest_ms >= recovered_ms.map(|ms| ms / 2), "{ended:#?}");
    assert_eq!(report["stages"].as_array().map(Vec::len), Some(4), "{ended:#?}");
    assert!(!workplace.exists(), "snapshots and logs of what went well are left behind");

    // Another one looks at the same topics.
    let audit = run(&["audit", "--brokers", &stage.brokers, "--topic-prefix", &prefix]);
    audit.expect_code(0);
    let again = rehearse(&stage, "10/s for 1s", &[]).process.wait();
    assert!(again.stderr.contains("already") && again.code == Some(1), "{again:#?}");
}

/// A directory of that name may be anybody's.
#[test]
fn a_rehearsal_moves_into_a_directory_that_exists() {
    let Some(stage) = Stage::new(1, Stamps::Create) else { return };
    let file = |workplace: &Path| workplace.join("diary.txt");
    let prefix = format!("{}rehearsal.", stage.prefix);
    let out = stage.snapshots().with_file_name("rehearsal");
    let workplace = out.join(prefix.trim_end_matches('.'));
    std::fs::create_dir_all(&workplace).unwrap();
    std::fs::write(file(&workplace), "mine").unwrap();
    let ended = rehearse(&stage, "10/s for 1s", &["--no-faults"]).process.wait().expect_code(1);
    assert!(ended.stderr.contains("is there already"), "{ended:#?}");
    assert!(file(&workplace).exists(), "it was removed");
    let check = run(&["topics", "check", "--brokers", &stage.brokers, "--topic-prefix", &prefix]);
    let told = format!("{}{}", check.stdout, check.stderr);
    assert!(told.contains("orders does not exist"), "topics were made: {check:#?}");
}

#[test]
fn a_pipeline_that_is_slow_fails_the_rehearsal_and_leaves_its_logs() {
    let Some(stage) = Stage::new(1, Stamps::Create) else { return };
    let file = stage.snapshots().with_file_name("slow.toml");
    std::fs::write(&file, "[settle]\ncommit_interval_ms = 2000\n").unwrap();
    let config = file.display().to_string();
    let slow = ["--config", &config, "--no-faults", "--fail-if", "p50>300ms"];
    let rehearsal = rehearse(&stage, "200/s for 4s", &slow);
    let workplace = rehearsal.workplace();
    let ended = rehearsal.process.wait().expect_code(1);
    let report = ended.json();
    assert_eq!(report["thresholds"][0]["failed"], true, "{ended:#?}");
    assert_eq!(report["verdict"]["undecided"], 0, "{ended:#?}");
    assert!(workplace.join("settle-1-0.log").exists());
}

#[test]
fn a_rehearsal_that_is_interrupted_leaves_a_process_behind() {
    let Some(stage) = Stage::new(1, Stamps::Create) else { return };
    let rehearsal = rehearse(&stage, "100/s for 10m", &["--no-faults"]);
    let addresses = rehearsal.await_addresses();
    rehearsal.process.signal("INT");
    rehearsal.process.wait().expect_code(1);
    await_silence(&addresses);
}

#[test]
fn a_rehearsal_that_is_killed_leaves_a_process_behind() {
    let Some(stage) = Stage::new(1, Stamps::Create) else { return };
    let mut rehearsal = rehearse(&stage, "100/s for 10m", &["--no-faults"]);
    let addresses = rehearsal.await_addresses();
    rehearsal.process.kill();
    await_silence(&addresses);
}
