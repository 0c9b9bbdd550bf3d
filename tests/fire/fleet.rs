//! The processes that settle: started, killed, frozen, and started again as a supervisor would.
//!
//! Not their load, and no expectation of what they do. Invariant: a process that ends by itself is
//! noted, with the last that it said, before another takes its place.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::Failure;
use crate::process::{Process, floodgate};
use crate::stage::Stage;

/// Longest that an orderly stop may take, its drain of 10 s included.
const STOP_MAX: Duration = Duration::from_secs(60);
/// How many of its last lines a process shows.
const LAST_LINES: usize = 15;

/// See the module's documentation.
pub(super) struct Fleet {
    members: Vec<Member>,
    /// What ended by itself, and with what words.
    ended: Vec<String>,
    logs: Option<PathBuf>,
    started: u32,
}

/// A settling process.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) process: Process,
    /// Where its log is left when it is done with.
    log: Option<PathBuf>,
}

impl Member {
    /// A limit of the size of files must not end the process that it is set for.
    fn start(stage: &Stage, name: &str, log: Option<PathBuf>) -> Member {
        let mut command = Command::new("sh");
        let settle = floodgate();
        for (key, value) in settle.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(settle.get_program());
        command.args(stage.settle_arguments(&["--instance", name]));
        Member { name: name.to_owned(), process: Process::spawn(command), log }
    }

    /// Its only worker's client id, which is its transactional id too.
    pub(super) fn client_id(&self, stage: &Stage) -> String {
        format!("{}-{}-0", stage.group(), self.name)
    }

    /// The partitions that it works on; none if it cannot be asked.
    pub(super) fn live(&mut self) -> Vec<u64> {
        let shown = self.process.try_partitions().unwrap_or_default();
        let live = shown.iter().filter(|partition| partition["phase"] == "live");
        live.filter_map(|partition| partition["partition"].as_u64()).collect()
    }

    fn last_words(&self) -> String {
        let stderr = self.process.stderr();
        let lines: Vec<&str> = stderr.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(log) = &self.log {
            // A log that cannot be left behind is no reason to end a run.
            drop(std::fs::write(log, self.process.stderr()));
        }
    }
}

impl Fleet {
    /// Nobody yet; what each process logs is left in this directory, if one is given.
    pub(super) fn new(logs: Option<PathBuf>) -> Fleet {
        Fleet { members: Vec::new(), ended: Vec::new(), logs, started: 0 }
    }

    pub(super) fn members(&mut self) -> &mut [Member] {
        &mut self.members
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Starts a process under the lowest name that is free.
    pub(super) fn join(&mut self, stage: &Stage) -> String {
        let is_free = |name: &String| self.members.iter().all(|member| member.name != *name);
        let name = (0..).map(|number| format!("pod-{number}")).find(is_free);
        let name = name.expect("there are more numbers than members");
        self.join_as(stage, &name);
        name
    }

    pub(super) fn join_as(&mut self, stage: &Stage, name: &str) {
        self.started += 1;
        let file = format!("{:03}-{name}.log", self.started);
        let log = self.logs.as_ref().map(|directory| directory.join(file));
        self.members.push(Member::start(stage, name, log));
    }

    /// SIGKILL; returns the name.
    pub(super) fn kill(&mut self, at: usize) -> String {
        let mut member = self.members.swap_remove(at);
        member.process.kill();
        std::mem::take(&mut member.name)
    }

    /// Takes a member out; nobody looks after it until it is put back.
    pub(super) fn take(&mut self, at: usize) -> Member {
        self.members.swap_remove(at)
    }

    pub(super) fn put_back(&mut self, member: Member) {
        self.members.push(member);
    }

    /// SIGTERM, and waits for an end in order; returns the name.
    pub(super) fn leave(&mut self, at: usize) -> Result<String, Failure> {
        let member = self.members.swap_remove(at);
        self.stop(member)
    }

    fn stop(&mut self, mut member: Member) -> Result<String, Failure> {
        let name = member.name.clone();
        if !member.process.has_ended() {
            member.process.signal("TERM");
        }
        let Some(code) = member.process.ends_within(STOP_MAX) else {
            let (what, said) = (format!("the end of {name}"), member.last_words());
            return Err(Failure::InVain { what, waited: STOP_MAX, said });
        };
        if code != Some(0) {
            self.note_end(&member);
        }
        Ok(name)
    }

    /// Starts again what ended by itself.
    pub(super) fn look_after(&mut self, stage: &Stage) {
        while let Some(at) = self.members.iter_mut().position(|member| member.process.has_ended()) {
            let member = self.members.swap_remove(at);
            self.note_end(&member);
            self.join_as(stage, &member.name);
        }
    }

    fn note_end(&mut self, member: &Member) {
        let words = member.last_words();
        let last = words.lines().next_back().unwrap_or_default();
        self.ended.push(format!("{} ended by itself: {last}", member.name));
    }

    /// Looks until there is something to see, and after the members meanwhile.
    pub(super) fn await_some<T>(
        &mut self,
        stage: &Stage,
        what: &str,
        patience: Duration,
        mut look: impl FnMut(&mut Fleet) -> Option<T>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(seen) = look(self) {
                return Ok(seen);
            }
            if Instant::now() >= deadline {
                let (what, said) = (what.to_owned(), self.last_words());
                return Err(Failure::InVain { what, waited: patience, said });
            }
            self.look_after(stage);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops everybody in order.
    pub(super) fn stop_all(&mut self) -> Result<(), Failure> {
        while !self.members.is_empty() {
            self.leave(0)?;
        }
        Ok(())
    }

    /// What ended by itself so far.
    pub(super) fn ended(&self) -> &[String] {
        &self.ended
    }

    /// The last that everybody said.
    pub(super) fn last_words(&self) -> String {
        let each = self
            .members
            .iter()
            .map(|member| format!("--- {} said last\n{}\n", member.name, member.last_words()));
        let ended = self.ended.iter().map(|words| format!("--- {words}\n"));
        ended.chain(each).collect()
    }
}
