//! How each fault is played, and how a run begins and ends.
//!
//! Invariant: a fault strikes while every partition is being answered, at a random moment, and the next
//! one comes only when every partition is answered again.

use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use drill::recording::moment;
use rand::Rng as _;
use rand::rngs::StdRng;

use super::fleet::{Fleet, Member};
use super::ground::Ground;
use super::load::Load;
use super::reader::{Reader, Recovery};
use super::report::{Report, Verdict};
use super::{Failure, Fault, Scenario};
use crate::process::{Process, floodgate};
use crate::proxy::{COMMIT_OFFSETS, END_TRANSACTION, Loss};

/// Longest that a recovery, or anything else, may take before the run fails: no measure of what is
/// good, only of what comes at all.
const PATIENCE: Duration = Duration::from_secs(180);
/// Longest that the audit may take.
const AUDIT_MAX: Duration = Duration::from_secs(1_200);
/// Most members while a storm lasts, beyond those that there are.
const STORM_GUESTS_MAX: usize = 2;
/// How long a storm lasts.
const STORM: Duration = Duration::from_secs(12);
/// How long messages are delayed.
const DELAY_LASTS: Duration = Duration::from_secs(6);
/// What a full disk still takes.
const FULL_DISK_BYTES: u64 = 1_024;

const NOT_PUBLISHED: &str = "snapshot not published";
const PUBLISHED: &str = "snapshot published";

/// See the module's documentation. The processes go before the broker does.
pub(super) struct Battle {
    fleet: Fleet,
    load: Load,
    reader: Reader,
    ground: Ground,
    scenario: Scenario,
    report: Report,
    began: Instant,
    played: u32,
}

/// What a fault has done.
struct Struck {
    strikes: u32,
    recovery: Recovery,
    how: String,
}

impl Struck {
    fn once(recovery: Recovery, how: impl Into<String>) -> Struck {
        Struck { strikes: 1, recovery, how: how.into() }
    }
}

/// Milliseconds, drawn.
fn pause(draw: &mut StdRng, from_ms: u64, to_ms: u64) -> Duration {
    Duration::from_millis(draw.random_range(from_ms..=to_ms))
}

fn broken(what: &str) -> impl Fn(std::io::Error) -> Failure {
    move |error| Failure::Broken(format!("{what}: {error}"))
}

impl Battle {
    /// Starts processes, load and reader, and waits until everything is answered.
    pub(super) fn begin(
        scenario: &Scenario,
        ground: Ground,
        say: &mut dyn FnMut(&str),
    ) -> Result<Battle, Failure> {
        let mut fleet = Fleet::new(scenario.logs.clone());
        for _ in 0..*scenario.processes.start() {
            fleet.join(&ground.stage);
        }
        let load = Load::start(&ground.stage, scenario.orders_per_second, scenario.seed);
        let mut battle = Battle {
            fleet,
            load,
            reader: Reader::start(&ground.stage),
            ground,
            scenario: scenario.clone(),
            report: Report::default(),
            began: Instant::now(),
            played: 0,
        };
        say(&format!(
            "{} processes, {} partitions, {} orders a second",
            battle.fleet.len(),
            scenario.partitions,
            scenario.orders_per_second
        ));
        battle.calm()?;
        Ok(battle)
    }

    /// Plays one fault at a random moment and waits until it is overcome.
    pub(super) fn play(
        &mut self,
        fault: Fault,
        draw: &mut StdRng,
        say: &mut dyn FnMut(&str),
    ) -> Result<(), Failure> {
        self.resize(draw)?;
        self.calm()?;
        self.pass(pause(draw, 0, 4_000));
        let struck = match fault {
            Fault::Kill => self.kill(draw),
            Fault::Replace => self.replace(draw),
            Fault::Zombie => self.zombie(draw)?,
            Fault::BrokerKill => self.kill_broker(draw)?,
            Fault::BrokerRestart => self.restart_broker(draw)?,
            Fault::BrokerPause => self.pause_broker(draw),
            Fault::Cut => self.cut(draw),
            Fault::Delay => self.delay(draw),
            Fault::LostEnd => self.lose_ends(draw)?,
            Fault::Storm => self.storm(draw)?,
            Fault::SnapshotsFull => match self.fill_disk()? {
                Ok(struck) => struck,
                Err(why) => {
                    say(&format!("*** NOT PLAYED: {}: {why} ***", fault.title()));
                    self.report.skipped.insert(fault, why);
                    return Ok(());
                }
            },
            Fault::SnapshotsGone => self.hide_snapshots(draw)?,
        };
        let took = self.recovered(&struck.recovery, fault.title())?;
        self.report.add(fault, struck.strikes, took);
        self.played += 1;
        say(&format!(
            "{}. {} ({}): recovered in {:.1} s; {} records, {} answers",
            self.played,
            fault.title(),
            struck.how,
            took.as_secs_f64(),
            self.load.acknowledged(),
            self.reader.answers()
        ));
        Ok(())
    }

    /// Another number of processes, now and then.
    fn resize(&mut self, draw: &mut StdRng) -> Result<(), Failure> {
        if draw.random_bool(0.7) {
            return Ok(());
        }
        let wanted = draw.random_range(self.scenario.processes.clone());
        while self.fleet.len() < wanted {
            self.fleet.join(&self.ground.stage);
        }
        while self.fleet.len() > wanted {
            self.fleet.leave(draw.random_range(0..self.fleet.len()))?;
        }
        Ok(())
    }

    /// Waits until every partition answers what comes in from now on.
    fn calm(&mut self) -> Result<(), Failure> {
        let recovery = self.reader.watch();
        self.recovered(&recovery, "calm")?;
        Ok(())
    }

    fn recovered(&mut self, recovery: &Recovery, after: &str) -> Result<Duration, Failure> {
        let look = |_: &mut Fleet| recovery.took();
        let waited = self.fleet.await_some(&self.ground.stage, "answers", PATIENCE, look);
        waited.map_err(|failure| match failure {
            Failure::InVain { waited, said, .. } => {
                let what = format!("answers of {:?} after {after}", recovery.missing());
                Failure::InVain { what, waited, said }
            }
            other => other,
        })
    }

    /// Lets time pass, and looks after the processes meanwhile.
    fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.fleet.look_after(&self.ground.stage);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// One process or two at once, and now and then another while the group recovers.
    fn kill(&mut self, draw: &mut StdRng) -> Struck {
        let (mut strikes, mut names) = (0, Vec::new());
        loop {
            let recovery = self.reader.watch();
            let victims = if self.fleet.len() > 2 && draw.random_bool(0.2) { 2 } else { 1 };
            let mut killed = Vec::new();
            for _ in 0..victims {
                killed.push(self.fleet.kill(draw.random_range(0..self.fleet.len())));
            }
            strikes += victims;
            names.push(killed.join(" and "));
            self.pass(pause(draw, 0, 1_000));
            for name in killed {
                self.fleet.join_as(&self.ground.stage, &name);
            }
            if strikes >= 3 || draw.random_bool(0.75) {
                return Struck { strikes, recovery, how: names.join(", then ") };
            }
            self.pass(pause(draw, 0, 5_000));
        }
    }

    /// A process that nobody will hear of again: its session and its transaction have to time out.
    fn replace(&mut self, draw: &mut StdRng) -> Struck {
        let recovery = self.reader.watch();
        let name = self.fleet.kill(draw.random_range(0..self.fleet.len()));
        self.pass(pause(draw, 0, 1_000));
        self.fleet.join_as(&self.ground.stage, &format!("{name}x"));
        Struck::once(recovery, name)
    }

    /// Freezes an owner until others answer for all partitions; thawed, it must not commit before it
    /// knows what it has lost.
    fn zombie(&mut self, draw: &mut StdRng) -> Result<Struck, Failure> {
        let owner = |fleet: &mut Fleet| {
            fleet.members().iter_mut().position(|member| !member.live().is_empty())
        };
        let at = self.fleet.await_some(&self.ground.stage, "an owner", PATIENCE, owner)?;
        if self.fleet.len() < 2 {
            self.fleet.join(&self.ground.stage);
            self.calm()?;
        }
        let mut zombie = self.fleet.take(at);
        let owned = zombie.live();
        let losses = zombie.process.times_said(LOST);
        zombie.process.signal("STOP");
        let recovery = self.reader.watch();
        self.recovered(&recovery, "freezing an owner")?;
        self.pass(pause(draw, 0, 2_000));
        let thawed = SystemTime::now();
        zombie.process.signal("CONT");
        let commits = self.commits_before_knowing(&mut zombie, losses, thawed)?;
        self.report.zombie_commits += commits;
        let how = format!("{}, owner of {owned:?}, thawed: {commits} commits", zombie.name);
        self.fleet.put_back(zombie);
        Ok(Struck::once(recovery, how))
    }

    /// Transactions that the broker committed for the zombie since it was thawed and before it learnt
    /// of its loss, by its own log. One that ends instead has learnt of nothing.
    fn commits_before_knowing(
        &mut self,
        zombie: &mut Member,
        losses: usize,
        thawed: SystemTime,
    ) -> Result<u64, Failure> {
        let learnt = |_: &mut Fleet| {
            let knows = zombie.process.times_said(LOST) > losses;
            (knows || zombie.process.has_ended()).then_some(())
        };
        let what = "the zombie hears of its loss";
        let waited = self.fleet.await_some(&self.ground.stage, what, PATIENCE, learnt);
        waited.map_err(|failure| match failure {
            Failure::InVain { what, waited, said } => {
                let said = format!("{said}--- the zombie said\n{}", zombie.process.stderr());
                Failure::InVain { what, waited, said }
            }
            other => other,
        })?;
        let line =
            zombie.process.stderr().lines().filter(|line| line.contains(LOST)).nth(losses).map(
                |line| {
                    serde_json::from_str::<serde_json::Value>(line).unwrap_or_default()["timestamp"]
                        .clone()
                },
            );
        let known_at =
            line.as_ref().and_then(serde_json::Value::as_str).unwrap_or("9999").to_owned();
        let commits = self.ground.proxy.commits_of(&zombie.client_id(&self.ground.stage));
        let early =
            commits.iter().filter(|commit| commit.at > thawed && rfc3339(commit.at) < known_at);
        Ok(early.count() as u64)
    }

    fn kill_broker(&mut self, draw: &mut StdRng) -> Result<Struck, Failure> {
        self.ground.server.kill();
        let down = pause(draw, 0, 3_000);
        self.pass(down);
        self.ground.server.restart()?;
        Ok(Struck::once(
            self.reader.watch(),
            format!("down for {:.1} s and its start", down.as_secs_f64()),
        ))
    }

    /// An upgrade of the broker: it has time to say farewell to its clients, and to close its logs.
    fn restart_broker(&mut self, draw: &mut StdRng) -> Result<Struck, Failure> {
        let stopping = Instant::now();
        if !self.ground.server.stop() {
            let log = self.ground.server.log_tail();
            return Err(Failure::Broken(format!("the broker did not stop in order\n{log}")));
        }
        let stopped = stopping.elapsed();
        let down = pause(draw, 0, 3_000);
        self.pass(down);
        self.ground.server.restart()?;
        Ok(Struck::once(
            self.reader.watch(),
            format!(
                "stopped in {:.1} s, down for {:.1} s and its start",
                stopped.as_secs_f64(),
                down.as_secs_f64()
            ),
        ))
    }

    fn pause_broker(&mut self, draw: &mut StdRng) -> Struck {
        let frozen = pause(draw, 2_000, 15_000);
        self.ground.server.pause();
        self.pass(frozen);
        self.ground.server.resume();
        Struck::once(self.reader.watch(), format!("for {:.1} s", frozen.as_secs_f64()))
    }

    fn cut(&mut self, draw: &mut StdRng) -> Struck {
        let refused = pause(draw, 0, 4_000);
        self.ground.proxy.cut();
        self.pass(refused);
        self.ground.proxy.restore();
        Struck::once(self.reader.watch(), format!("refused for {:.1} s", refused.as_secs_f64()))
    }

    fn delay(&mut self, draw: &mut StdRng) -> Struck {
        let delay = pause(draw, 20, 150);
        self.ground.proxy.delay(delay);
        self.pass(DELAY_LASTS);
        self.ground.proxy.restore();
        Struck::once(self.reader.watch(), format!("{} ms each", delay.as_millis()))
    }

    /// The end of a transaction is decided, or not, and its producer does not hear of it.
    fn lose_ends(&mut self, draw: &mut StdRng) -> Result<Struck, Failure> {
        let losses = [
            Loss::Answer(END_TRANSACTION),
            Loss::Request(END_TRANSACTION),
            Loss::Answer(COMMIT_OFFSETS),
        ];
        let count = draw.random_range(1..=3);
        let mut recovery = self.reader.watch();
        for number in 0..count {
            let other = losses[draw.random_range(0..losses.len())];
            let loss = if number == 0 { losses[0] } else { other };
            self.ground.proxy.lose(loss);
            let proxy = self.ground.proxy.clone();
            let lost = move |_: &mut Fleet| proxy.has_lost().then_some(());
            self.fleet.await_some(&self.ground.stage, "a transaction's end", PATIENCE, lost)?;
            recovery = self.reader.watch();
            self.pass(pause(draw, 0, 300));
        }
        Ok(Struck { strikes: count, recovery, how: format!("{count} in a row") })
    }

    fn storm(&mut self, draw: &mut StdRng) -> Result<Struck, Failure> {
        let residents = self.fleet.len();
        let until = Instant::now() + STORM;
        let mut changes = 0;
        while Instant::now() < until {
            let guests = self.fleet.len().saturating_sub(residents);
            if self.fleet.len() < 2 || (guests < STORM_GUESTS_MAX && draw.random_bool(0.5)) {
                self.fleet.join(&self.ground.stage);
            } else {
                self.fleet.leave(draw.random_range(0..self.fleet.len()))?;
            }
            changes += 1;
            self.pass(pause(draw, 1_000, 2_000));
        }
        let recovery = self.reader.watch();
        Ok(Struck { strikes: 1, recovery, how: format!("{changes} changes") })
    }

    /// Work has to go on without snapshots, and snapshots once there is room again. The inner error
    /// says why it cannot be played here.
    fn fill_disk(&mut self) -> Result<Result<Struck, String>, Failure> {
        let failed = self.times_said(NOT_PUBLISHED);
        let recovery = self.reader.watch();
        for member in self.fleet.members() {
            if let Err(why) = limit_files(&member.process, Some(FULL_DISK_BYTES)) {
                return Ok(Err(why));
            }
        }
        self.await_more_said(NOT_PUBLISHED, failed)?;
        self.calm()?;
        for member in self.fleet.members() {
            limit_files(&member.process, None).map_err(Failure::Broken)?;
        }
        let published = self.times_said(PUBLISHED);
        self.await_more_said(PUBLISHED, published)?;
        Ok(Ok(Struck::once(recovery, "snapshots failed, work went on")))
    }

    /// Work has to go on without snapshots; an owner that dies meanwhile comes back with them.
    fn hide_snapshots(&mut self, draw: &mut StdRng) -> Result<Struck, Failure> {
        let failed = self.times_said(NOT_PUBLISHED);
        self.ground.hide_snapshots().map_err(broken("hiding the snapshots"))?;
        self.await_more_said(NOT_PUBLISHED, failed)?;
        self.calm()?;
        let killed = draw.random_bool(0.5).then(|| {
            let name = self.fleet.kill(draw.random_range(0..self.fleet.len()));
            self.pass(pause(draw, 0, 10_000));
            name
        });
        self.ground.restore_snapshots().map_err(broken("restoring the snapshots"))?;
        let recovery = self.reader.watch();
        if let Some(name) = &killed {
            self.fleet.join_as(&self.ground.stage, name);
        }
        let published = self.times_said(PUBLISHED);
        self.await_more_said(PUBLISHED, published)?;
        let how = match killed {
            Some(name) => format!("{name} killed meanwhile"),
            None => "snapshots failed, work went on".to_owned(),
        };
        Ok(Struck::once(recovery, how))
    }

    fn times_said(&mut self, text: &str) -> usize {
        times_said(&mut self.fleet, text)
    }

    fn await_more_said(&mut self, text: &str, than: usize) -> Result<(), Failure> {
        let look = |fleet: &mut Fleet| (times_said(fleet, text) > than).then_some(());
        self.fleet.await_some(&self.ground.stage, text, PATIENCE, look)
    }

    /// Stops the load, waits until everything is answered, lets somebody who knows only what is left
    /// behind finish, and has all of it judged.
    pub(super) fn end(mut self, say: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
        let mut report = self.report;
        report.published = self.load.stop().map_err(Failure::Broken)?;
        say(&format!("{} records published; waiting until all are answered", report.published));
        let stage = &self.ground.stage;
        let ends = stage.ends_of("orders");
        let answered = |_: &mut Fleet| {
            let committed = stage.try_committed()?;
            committed.iter().zip(&ends).all(|(committed, end)| committed >= end).then_some(())
        };
        self.fleet.await_some(stage, "everything committed", PATIENCE, answered)?;
        self.fleet.stop_all()?;
        let last = stage.settle_with(&["--instance", "last", "--until-idle"]);
        ends_well(last, PATIENCE)?;
        report.ended = self.fleet.ended().to_vec();

        say("the audit derives every answer again");
        let mut command = floodgate();
        command.args(stage.arguments(&["audit"], &["--format", "json"]));
        let ended = Process::spawn(command).wait_within(AUDIT_MAX);
        let ended = ended.map_err(|_| Failure::Broken("the audit does not end".to_owned()))?;
        let line = ended.stdout.lines().next_back().unwrap_or_default();
        let verdict = serde_json::from_str(line).ok().as_ref().and_then(Verdict::of);
        let no_verdict = || Failure::Broken(format!("the audit gave no verdict: {ended:#?}"));
        report.verdict = verdict.ok_or_else(no_verdict)?;
        let ends: u64 = stage.ends_of("orders").iter().sum();
        let inputs = report.verdict.inputs;
        if inputs != ends || inputs < report.published {
            return Err(Failure::Broken(format!(
                "{inputs} records were judged of {ends} in the input, of which {} were published",
                report.published
            )));
        }
        report.took = self.began.elapsed();
        Ok(report)
    }
}

/// How a process logs that it has lost partitions.
const LOST: &str = "\"kind\":\"Lost\"";

fn times_said(fleet: &mut Fleet, text: &str) -> usize {
    fleet.members().iter().map(|member| member.process.times_said(text)).sum()
}

fn ends_well(process: Process, patience: Duration) -> Result<(), Failure> {
    match process.wait_within(patience) {
        Ok(ended) if ended.code == Some(0) => Ok(()),
        Ok(ended) => Err(Failure::Broken(format!("the last to settle failed: {ended:#?}"))),
        Err(running) => {
            let (what, said) = ("the end of the last to settle".to_owned(), running.stderr());
            Err(Failure::InVain { what, waited: patience, said })
        }
    }
}

/// Sets how large a running process may make a file; its supervisor has it ignore the signal, so that
/// its writes fail as on a full disk.
fn limit_files(process: &Process, bytes_max: Option<u64>) -> Result<(), String> {
    let limit = bytes_max.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    let set = Command::new("prlimit")
        .args(["--pid", &process.id().to_string(), &format!("--fsize={limit}:")])
        .output()
        .map_err(|error| format!("`prlimit` cannot be run ({error}); install util-linux"))?;
    let said = String::from_utf8_lossy(&set.stderr);
    if set.status.success() { Ok(()) } else { Err(format!("prlimit: {said}")) }
}

/// As the log has it: `2025-11-11T00:00:00.000000Z`, so that moments compare as text.
fn rfc3339(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let to_the_second = moment::told(since.as_secs() * 1_000);
    format!("{}.{:06}Z", to_the_second.trim_end_matches('Z'), since.subsec_micros())
}

#[cfg(test)]
mod battle_tests {
    use super::*;

    #[test]
    fn moments_are_written_as_the_log_writes_them() {
        let at = |microseconds| SystemTime::UNIX_EPOCH + Duration::from_micros(microseconds);
        assert_eq!(rfc3339(at(0)), "1970-01-01T00:00:00.000000Z");
        assert_eq!(rfc3339(at(951_782_400_000_000)), "2000-02-29T00:00:00.000000Z");
        assert_eq!(rfc3339(at(1_762_790_399_999_999)), "2025-11-10T15:59:59.999999Z");
    }
}
