//! `floodgate settle`, several times, as children of the rehearsal.
//!
//! Each has a name of its own that survives restarts, a port that the system chooses, and a log file.
//! Invariant: whichever way the rehearsal ends, its children end: a `sh` beside each holds the reading
//! end of a pipe, and kills the child when it closes.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use pipeline::log::Partition;
use serde_json::Value;

use super::Crew;
use crate::ask;

/// What a `settle` logs before its address.
const LISTENING: &str = "listening on http://";
/// Characters of a process' last line that are told.
const LAST_WORDS_MAX: usize = 500;
/// Neither a Ctrl-C at the terminal nor a polite stop ends it: only the pipe does.
const WARDEN: &str = "trap '' INT TERM HUP; read -r dismissed || kill -s KILL \"$1\"";

/// How the processes are started.
pub(in crate::drill) struct Start {
    /// Arguments of every `settle`, behind its own name.
    pub(in crate::drill) arguments: Vec<String>,
    /// Of snapshots and logs; removed by whoever made it.
    pub(in crate::drill) directory: PathBuf,
}

/// See the module's documentation.
pub(in crate::drill) struct Processes {
    start: Start,
    children: Vec<Settle>,
}

struct Settle {
    child: Child,
    warden: Option<Child>,
    log: PathBuf,
    /// Found in its log.
    address: Option<String>,
    /// How often it was started.
    starts: u32,
}

impl Processes {
    pub(in crate::drill) fn start(start: Start, count: usize) -> anyhow::Result<Processes> {
        let mut processes = Processes { start, children: Vec::with_capacity(count) };
        for number in 0..count {
            let settle = processes.start.settle(number, 0)?;
            processes.children.push(settle);
        }
        Ok(processes)
    }
}

impl Start {
    /// Starts one; `starts` is how often that has been done before.
    fn settle(&self, number: usize, starts: u32) -> anyhow::Result<Settle> {
        let log = self.directory.join(format!("settle-{number}-{starts}.log"));
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let program = std::env::current_exe().context("this program's file")?;
        let child = Command::new(program)
            .arg("settle")
            .args(&self.arguments)
            .args(["--instance", &format!("settle-{number}"), "--listen", "127.0.0.1:0"])
            .arg("--snapshots")
            .arg(self.directory.join("snapshots"))
            .env("FLOODGATE__LOG__FORMAT", "text")
            .env("FLOODGATE__LOG__LEVEL", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            // A Ctrl-C at the terminal is for the rehearsal, which stops in order.
            .process_group(0)
            .spawn()
            .context("starting settle")?;
        let warden = warden(child.id());
        Ok(Settle { child, warden, log, address: None, starts: starts + 1 })
    }
}

/// None where there is no shell: then a rehearsal that is killed leaves its children behind.
fn warden(ward: u32) -> Option<Child> {
    let mut command = Command::new("sh");
    command.args(["-c", WARDEN, "sh", &ward.to_string()]).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().ok()
}

impl Settle {
    fn end(&mut self) {
        // Of one that has ended nothing comes; its number is ours until it was waited for.
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(mut warden) = self.warden.take() {
            if let Some(mut pipe) = warden.stdin.take() {
                drop(pipe.write_all(b"dismissed\n"));
            }
            drop(warden.wait());
        }
    }

    fn get(&mut self, path: &str) -> Option<String> {
        if self.address.is_none() {
            self.address = address_in(&self.log);
        }
        let (status, body) = ask::get(self.address.as_deref()?, path).ok()?;
        (status == 200).then_some(body)
    }
}

/// The address that a process has logged.
fn address_in(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let rest = text.split(LISTENING).nth(1)?;
    // A line that is not ended yet may be half of it.
    let (address, _) = rest.split_once('\n')?;
    Some(address.trim().to_owned())
}

/// The last line of a log, which says why a process has ended.
fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().next_back().unwrap_or("it said nothing").chars().take(LAST_WORDS_MAX).collect()
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.children.iter_mut().for_each(Settle::end);
    }
}

impl Crew for Processes {
    fn size(&self) -> usize {
        self.children.len()
    }

    fn name(&self, number: usize) -> String {
        format!("settle {number}")
    }

    fn fault(&self) -> &'static str {
        "kill -9"
    }

    fn live(&mut self, number: usize) -> Vec<Partition> {
        let status = self.children[number].get("/status");
        let status: Value =
            status.and_then(|body| serde_json::from_str(&body).ok()).unwrap_or_default();
        let workers = status["workers"].as_array().into_iter().flatten();
        let partitions = workers.filter_map(|worker| worker["partitions"].as_array()).flatten();
        let live = partitions.filter(|partition| partition["phase"] == "live");
        live.filter_map(|it| Partition::try_from(it["partition"].as_u64()?).ok()).collect()
    }

    fn kill(&mut self, number: usize) -> anyhow::Result<()> {
        self.children[number].child.kill().context("kill -9")
    }

    fn restart(&mut self, number: usize) -> anyhow::Result<()> {
        self.children[number].end();
        self.children[number] = self.start.settle(number, self.children[number].starts)?;
        Ok(())
    }

    fn ended(&mut self, number: usize) -> Option<String> {
        let settle = &mut self.children[number];
        let status = settle.child.try_wait().ok().flatten()?;
        Some(format!("{status}: {}", last_words(&settle.log)))
    }

    fn metrics(&mut self) -> Vec<(String, String)> {
        let pages = self.children.iter_mut().enumerate().filter_map(|(number, settle)| {
            Some((format!("settle {number}"), settle.get("/metrics")?))
        });
        pages.collect()
    }

    fn log(&self, number: usize) -> String {
        format!("see {}", self.children[number].log.display())
    }

    fn logs(&self) -> String {
        format!("see the logs in {}", self.start.directory.display())
    }
}
