//! A partition in a worker's hands, from its assignment until it is given up.
//!
//! Only the state of one partition and what follows from it alone: the calls on the log and the
//! transaction are the worker's. Invariant: a partition is in one phase, and only a `Working` one
//! without a replay takes part in transactions.

use std::sync::Arc;
use std::time::Duration;

use ledger::Cadence;
use ledger::units::{Millis, Offset};
use wire::outputs::Outputs;
use wire::record::Record;

use crate::engine::Engine;
use crate::log::Partition;
use crate::metadata::{CommitMetadata, RulesHash};
use crate::opening::{Opened, Refusal, Replay};
use crate::settings::WorkerSettings;
use crate::stock_view::PartitionView;
use crate::tally::Tally;
use crate::transaction::Position;

/// Pause before a partition that could not be opened in passing is tried again.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Most replays that the input's end cuts short before the partition is refused: a broker that has just
/// started shows less of the input for seconds, until it has heard how far the others are.
const REPLAYS_CUT_SHORT_MAX: u32 = 30;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) phase: Phase,
    /// Set when the group asked for the partition.
    pub(crate) drain: Option<Drain>,
    /// How often in a row the input has seemed to end in the midst of the replay.
    replays_cut_short: u32,
}

#[derive(Debug)]
pub(crate) enum Phase {
    /// A job loads its state; the attempt tells its answer from an earlier one's.
    Opening { attempt: u64 },
    /// Loading failed in passing; it is tried again.
    Waiting { retry_at: Duration, trouble: String },
    /// Its records are applied.
    Working(Box<Working>),
    /// It is not worked on until somebody has decided what to do.
    Refused(Refusal),
}

/// How far a revoked partition is on its way out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drain {
    pub(crate) deadline: Duration,
    pub(crate) step: DrainStep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DrainStep {
    /// What was read is to be committed with all counters.
    Committing,
    /// The last snapshot is being published.
    Publishing(Offset),
    /// Nothing is left to do.
    Over,
}

/// A partition whose records are applied.
#[derive(Debug)]
pub(crate) struct Working {
    pub(crate) engine: Engine,
    view: Arc<PartitionView>,
    pub(crate) committed: Option<Offset>,
    /// Log time at that offset.
    pub(crate) committed_time: Millis,
    pub(crate) replay: Option<Replay>,
    /// Whether the log was asked to read it.
    pub(crate) is_read: bool,
    pub(crate) snapshot: SnapshotState,
    pub(crate) last_record_at: Duration,
    /// Since when everything readable has been applied.
    pub(crate) at_end_since: Option<Duration>,
    pub(crate) ticked_at: Option<Duration>,
    fast: Rotation,
    slow: Rotation,
}

#[derive(Debug)]
pub(crate) struct SnapshotState {
    /// Offset of the newest one that is published.
    pub(crate) newest: Option<Offset>,
    /// When it was published, or the partition opened from it.
    pub(crate) newest_at: Duration,
    /// Its size in the store, if this worker has published it.
    pub(crate) newest_bytes: Option<u64>,
    /// Why the last one that was taken could not be published.
    pub(crate) trouble: Option<String>,
    /// Offset of the one that is being published.
    pub(crate) under_way: Option<Offset>,
    /// When the last one was taken, or the partition opened.
    pub(crate) taken_at: Duration,
    /// Records applied since then.
    pub(crate) records_since: u64,
    /// Time spent on applying them.
    pub(crate) work_since: Duration,
}

/// What became of records or of an end that a replay met.
#[derive(Debug)]
pub(crate) enum ReplayStep {
    /// It goes on, or there is none.
    Unchanged,
    /// It reached its end with the right digest.
    Finished,
    /// It must not be continued.
    Refused(Refusal),
}

impl Owned {
    pub(crate) fn opening(attempt: u64) -> Owned {
        Owned { phase: Phase::Opening { attempt }, drain: None, replays_cut_short: 0 }
    }

    /// The input seems to end at `position`, in the midst of the replay. Whether it does, the next opening
    /// finds out, which asks for its bounds; gives the refusal once that has been tried often enough.
    pub(crate) fn cut_short(
        &mut self,
        partition: Partition,
        position: Offset,
        until: Offset,
        now: Duration,
    ) -> Option<Refusal> {
        let (position, until) = (position.0, until.0);
        self.replays_cut_short += 1;
        if self.replays_cut_short > REPLAYS_CUT_SHORT_MAX {
            return Some(Refusal::ReplayCutShort { partition, position, until });
        }
        let trouble = format!("the input ended at {position} during the replay to {until}");
        self.phase = Phase::Waiting { retry_at: now + RETRY_PAUSE, trouble };
        None
    }

    /// Its replay has come to its end.
    pub(crate) fn replayed(&mut self) {
        self.replays_cut_short = 0;
    }

    /// Revoked, and owing a commit of what was read.
    pub(crate) fn is_draining_into_commit(&self) -> bool {
        self.drain.is_some_and(|drain| drain.step == DrainStep::Committing)
    }

    pub(crate) fn working(&self) -> Option<&Working> {
        match &self.phase {
            Phase::Working(working) => Some(working),
            _ => None,
        }
    }

    pub(crate) fn working_mut(&mut self) -> Option<&mut Working> {
        match &mut self.phase {
            Phase::Working(working) => Some(working),
            _ => None,
        }
    }

    /// Not worked on until somebody has decided what to do.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.phase, Phase::Refused(_))
    }

    /// Working, and past its replay.
    pub(crate) fn live_mut(&mut self) -> Option<&mut Working> {
        self.working_mut().filter(|working| working.replay.is_none())
    }
}

impl Working {
    pub(crate) fn new(opened: Opened, now: Duration) -> Working {
        let Opened { engine, committed, replay, snapshot, view, .. } = opened;
        Working {
            committed_time: engine.time(),
            engine,
            view,
            committed,
            replay,
            is_read: false,
            snapshot: SnapshotState {
                newest: snapshot,
                newest_at: now,
                newest_bytes: None,
                trouble: None,
                under_way: None,
                taken_at: now,
                records_since: 0,
                work_since: Duration::ZERO,
            },
            last_record_at: now,
            at_end_since: None,
            ticked_at: None,
            fast: Rotation::starting(now),
            slow: Rotation::starting(now),
        }
    }

    /// Applies records and notes how long that took.
    pub(crate) fn apply(
        &mut self,
        records: &[Record<'_>],
        outputs: &mut Outputs,
        began: Duration,
        ended: impl FnOnce() -> Duration,
    ) {
        self.engine.apply(records, outputs);
        let ended = ended();
        let Working { engine, view, .. } = self;
        engine.ledger_mut().take_notices(|notice| view.learn(notice));
        self.snapshot.records_since += records.len() as u64;
        self.snapshot.work_since += ended.saturating_sub(began);
        self.last_record_at = ended;
        self.at_end_since = None;
        self.ticked_at = None;
    }

    /// Looks whether a replay has reached its end, `position` being where reading goes on.
    pub(crate) fn advance_replay(&mut self, partition: Partition, position: Offset) -> ReplayStep {
        let Some(replay) = self.replay else { return ReplayStep::Unchanged };
        if position < replay.until {
            return ReplayStep::Unchanged;
        }
        let found = self.engine.digest();
        if found != replay.digest {
            return ReplayStep::Refused(Refusal::DigestDiffers {
                partition,
                from: self.snapshot.newest.map_or(0, |offset| offset.0),
                until: replay.until.0,
                expected: replay.digest,
                found,
            });
        }
        self.replay = None;
        self.committed_time = self.engine.time();
        // What was replayed had been counted when it was committed.
        self.engine.take_tally();
        ReplayStep::Finished
    }

    /// Appends the counters whose turn has come.
    pub(crate) fn write_due_counters(
        &mut self,
        settings: &WorkerSettings,
        now: Duration,
        outputs: &mut Outputs,
    ) {
        let quiet = now.saturating_sub(self.last_record_at) >= settings.counters_quiet;
        if quiet {
            if self.engine.ledger().counters_changed() {
                self.engine.write_all_counters(outputs);
            }
            return;
        }
        let Working { engine, fast, slow, .. } = self;
        fast.turn(settings.counters_fast, now, |part, parts| {
            engine.write_counters(Cadence::Fast, part, parts, outputs);
        });
        slow.turn(settings.counters_slow, now, |part, parts| {
            engine.write_counters(Cadence::Slow, part, parts, outputs);
        });
    }

    /// Whether a snapshot should be taken as soon as everything applied is committed.
    pub(crate) fn snapshot_is_due(&self, settings: &WorkerSettings, now: Duration) -> bool {
        let SnapshotState { under_way, taken_at, records_since, work_since, .. } = self.snapshot;
        let age = now.saturating_sub(taken_at);
        let wanted = age >= settings.snapshot_interval
            || (work_since >= settings.snapshot_replay && age >= settings.snapshot_pause);
        under_way.is_none() && records_since > 0 && wanted
    }

    /// Where it stands, and what has been applied since the last time.
    pub(crate) fn take_position(&mut self) -> (Position, Tally) {
        let position = Position { offset: self.engine.next(), time: self.engine.time() };
        (position, self.engine.take_tally())
    }

    /// Notes that everything applied up to there is committed.
    pub(crate) fn note_committed(&mut self, position: Position) {
        self.committed = Some(position.offset);
        self.committed_time = position.time;
    }

    /// For how long the newest snapshot has been the newest although more has been applied since.
    pub(crate) fn snapshot_age(&self, now: Duration) -> Duration {
        let SnapshotState { newest, newest_at, .. } = self.snapshot;
        let whole = newest.map_or(0, |offset| offset.0) == self.engine.next().0;
        if whole { Duration::ZERO } else { now.saturating_sub(newest_at) }
    }

    /// The offset as of which the state may be published: none while it is another one than was
    /// committed there, as in a replay, whose digest has yet to be reached.
    pub(crate) fn publishable(&self) -> Option<Offset> {
        let next = self.engine.next();
        (self.replay.is_none() && self.committed == Some(next)).then_some(next)
    }

    pub(crate) fn metadata(&self, rules: RulesHash) -> CommitMetadata {
        CommitMetadata {
            state_version: ledger::STATE_VERSION,
            rules,
            digest: self.engine.digest(),
            snapshot: self.snapshot.newest,
        }
    }
}

/// Spreads the counters of one cadence evenly over its interval: the interval is cut into parts,
/// and each part's turn comes once in it.
///
/// A transaction costs the brokers something for every partition that it writes to. So turns are not
/// closer than [`Rotation::TURN`], and come at multiples of their distance, which all partitions of a
/// worker have in common: most transactions have no counters at all.
#[derive(Debug)]
struct Rotation {
    next_part: u32,
    next_at: Duration,
}

impl Rotation {
    /// The distance at which the turns of both cadences coincide if their intervals are the defaults.
    const TURN: Duration = Duration::from_millis(235);

    fn starting(now: Duration) -> Rotation {
        Rotation { next_part: 0, next_at: now }
    }

    fn turn(&mut self, interval: Duration, now: Duration, mut write: impl FnMut(u32, u32)) {
        // A twentieth less than its share, so that a late turn still comes within the interval.
        let interval = interval.mul_f64(0.95);
        let parts = (interval.as_nanos() / Self::TURN.as_nanos()).max(1) as u32;
        let step = (interval / parts).max(Duration::from_nanos(1));
        let beyond = |at: Duration| Duration::from_nanos((at.as_nanos() % step.as_nanos()) as u64);
        let after = |at: Duration| at - beyond(at) + step;
        for _ in 0..parts {
            if self.next_at > now {
                return;
            }
            write(self.next_part, parts);
            self.next_part = (self.next_part + 1) % parts;
            self.next_at = after(self.next_at);
        }
        // A whole round was due: nothing is older than now.
        self.next_at = after(now);
    }
}

#[cfg(test)]
mod partition_tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn counters_of_all_cadences_and_partitions_come_together_and_each_within_its_interval() {
        let WorkerSettings { counters_fast, counters_slow, .. } = WorkerSettings::default();
        let opened = [Duration::ZERO, Duration::from_millis(130), Duration::from_millis(1_999)];
        let both = |now| [counters_fast, counters_slow].map(|it| (it, Rotation::starting(now)));
        let mut rotations: Vec<(Duration, Rotation)> = opened.into_iter().flat_map(both).collect();
        let (mut written_at, mut moments) = (BTreeMap::new(), 0);
        let ends = Duration::from_secs(60);
        let commits = Duration::from_millis(50);
        let mut now = Duration::ZERO;
        while now < ends {
            let mut any = false;
            for (number, (interval, rotation)) in rotations.iter_mut().enumerate() {
                rotation.turn(*interval, now, |part, parts| {
                    any = true;
                    let before = written_at.insert((number, part, parts), now).unwrap_or(now);
                    assert!(
                        now - before <= *interval,
                        "{number}: part {part} of {parts} at {now:?}"
                    );
                });
            }
            moments += u32::from(any);
            now += commits;
        }
        let is_recent = |((number, ..), at): (&(usize, u32, u32), &Duration)| {
            ends - *at <= rotations[*number].0
        };
        assert!(written_at.iter().all(is_recent), "a part was given up: {written_at:?}");
        // Four a second, and the first of each partition.
        assert!(
            moments <= 4 * 60 + 20,
            "{moments} transactions of {} have counters",
            ends.div_duration_f64(commits)
        );
    }
}
