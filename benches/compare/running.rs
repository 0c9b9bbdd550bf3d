//! Contenders as child processes.
//!
//! How each is started and with which settings, nothing of what it does. Invariant: no child outlives
//! its [`Running`], nor this program.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::process::{Process, floodgate};

use crate::arguments::Contender;
use crate::ground::{Ground, Place};
use crate::measured::Written;

/// Between two checkpoints of Flink, at which its outputs are committed.
pub(crate) const FLINK_COMMIT_MS: u64 = 1_000;
const STREAMS_COMMIT_MS: u64 = 50;
const JAVA_HEAP: &str = "-Xmx6g";
/// How long a child may take to stop in order.
const STOP_WAIT: Duration = Duration::from_secs(20);

/// A contender at work.
#[derive(Debug)]
pub(crate) struct Running {
    process: Process,
    contender: Contender,
}

/// What it took of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    /// Processor seconds of all its threads.
    pub(crate) cpu_seconds: f64,
    /// Largest resident memory.
    pub(crate) resident_bytes: u64,
}

impl Contender {
    /// Milliseconds between two commits.
    pub(crate) fn commit_ms(self) -> u64 {
        match self {
            Contender::Settle20 => 20,
            Contender::Passthrough | Contender::Settle50 => 50,
            Contender::Streams => STREAMS_COMMIT_MS,
            Contender::Flink => FLINK_COMMIT_MS,
            Contender::Redis => 0,
        }
    }
}

impl Running {
    /// Starts one with the outputs of `place`; the yardstick writes what `like` tells.
    pub(crate) fn start(
        contender: Contender,
        commit_ms: u64,
        ground: &Ground,
        place: &Place,
        like: &Written,
    ) -> anyhow::Result<Running> {
        let mut command = match contender {
            Contender::Passthrough => passthrough(commit_ms, ground, place, like)?,
            Contender::Settle20 | Contender::Settle50 => settle(commit_ms, ground, place)?,
            Contender::Streams | Contender::Flink => java(contender, commit_ms, ground, place),
            Contender::Redis => anyhow::bail!("Redis reads no Kafka"),
        };
        // The terminal's Ctrl-C is for this program, whose end ends its children.
        command.process_group(0);
        Ok(Running { process: Process::spawn(command), contender })
    }

    /// Fails if it has ended, with what it said.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let title = self.contender.title();
        ensure!(!self.process.has_ended(), "{title} has ended:\n{}", self.process.stderr());
        Ok(())
    }

    /// What it used so far; nothing where the system does not tell.
    pub(crate) fn used(&self) -> Used {
        used(self.process.id()).unwrap_or_default()
    }

    /// Ends it.
    pub(crate) fn stop(self) {
        self.process.terminate();
        // One that does not stop in time is killed when it is dropped.
        drop(self.process.wait_within(STOP_WAIT));
    }
}

fn passthrough(
    commit_ms: u64,
    ground: &Ground,
    place: &Place,
    like: &Written,
) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["passthrough", "--brokers", ground.brokers()]);
    command.args(["--input", &place.topics.orders, "--prefix", &place.prefix]);
    command.args(["--commit-ms", &commit_ms.to_string()]);
    for (flag, topic) in
        [("--settled", &like.settled), ("--status", &like.status), ("--gmv", &like.gmv)]
    {
        let each = topic.records as f64 / like.orders.max(1) as f64;
        let bytes = topic.value_bytes / topic.records.max(1);
        command.args([flag, &format!("{each:.6}:{bytes}")]);
    }
    Ok(command)
}

fn settle(commit_ms: u64, ground: &Ground, place: &Place) -> anyhow::Result<Command> {
    let file = place.directory.join("floodgate.toml");
    let topics = &place.topics;
    let configuration = format!(
        "[kafka]\ngroup = '{}settle'\n[kafka.topics]\norders = '{}'\nstatus = '{}'\nsettled = '{}'\n\
         dead_letters = '{}'\ngmv = '{}'\n[settle]\ncommit_interval_ms = {commit_ms}\n[log]\nlevel = 'warn'\n",
        place.prefix, topics.orders, topics.status, topics.settled, topics.dead_letters, topics.gmv
    );
    std::fs::write(&file, configuration).context("writing a configuration")?;
    let mut command = floodgate();
    command.arg("settle").arg("--config").arg(file).args(["--brokers", ground.brokers()]);
    command.arg("--snapshots").arg(place.directory.join("snapshots"));
    command.args(["--instance", "bench", "--listen", "127.0.0.1:0"]);
    command.args(["--workers", &ground.workers.to_string()]);
    Ok(command)
}

fn java(contender: Contender, commit_ms: u64, ground: &Ground, place: &Place) -> Command {
    let word = contender.word();
    let built = java_directory().join(word);
    let class_path =
        format!("{}:{}", built.join("classes").display(), built.join("lib/*").display());
    let mut command = Command::new("java");
    command.args([JAVA_HEAP, "-XX:+UseParallelGC", "-cp", &class_path]);
    command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
    for package in ["java.util", "java.lang", "java.time"] {
        command.arg(format!("--add-opens=java.base/{package}=ALL-UNNAMED"));
    }
    command.arg(format!("floodgate.peers.{word}.Main"));
    command.arg(format!("brokers={}", ground.brokers()));
    command.arg(format!("input={}", place.topics.orders));
    command.arg(format!("prefix={}", place.prefix));
    command.arg(format!("threads={}", ground.workers));
    command.arg(format!("commit_ms={commit_ms}"));
    command.arg(format!("state={}", place.directory.display()));
    command
}

/// Where the peers in Java are built.
fn java_directory() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.ancestors().nth(2).unwrap_or_else(|| Path::new("target"));
    target.join("peers")
}

/// Builds the peers in Java; says why it could not.
pub(crate) fn build_java() -> anyhow::Result<()> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/pom.xml");
    let mut command = Command::new("mvn");
    command.args(["-q", "-B", "-f"]).arg(project);
    command.arg(format!("-Dpeers.target={}", java_directory().display())).arg("package");
    let ended = command.output().context("`mvn` cannot be run; install Apache Maven")?;
    let said = String::from_utf8_lossy(&ended.stdout);
    ensure!(ended.status.success(), "the peers could not be built:\n{said}");
    Ok(())
}

fn used(process: u32) -> Option<Used> {
    // The kernel counts in hundredths of a second on every Linux that this runs on.
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = peak.trim().split(' ').next()?.parse().ok()?;
    Some(Used {
        cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS_A_SECOND,
        resident_bytes: kib * 1_024,
    })
}
