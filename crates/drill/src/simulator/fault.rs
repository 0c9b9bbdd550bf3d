//! What can go wrong, in the midst of what, and how often each was really seen together.
//!
//! Only names and counts: where a fault strikes is decided in `calls`, `shelf`, `input` and `world`.
//! Invariant: a cell of the [`Matrix`] counts faults that took effect, never ones that were only
//! wished for.

use std::fmt;

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A worker's process ends as by `kill -9`, between any two calls or in the middle of a job.
    Crash,
    /// A worker stands still for longer than its session lasts, and goes on as if nothing was.
    Zombie,
    /// Somebody else initialises a worker's transactional id.
    Fence,
    /// The group takes a living worker out.
    SessionLost,
    /// A request is lost on its way.
    RequestLost,
    /// A request takes effect, its answer is lost.
    AnswerLost,
    /// A request of a transaction arrives when nobody waits for it any more.
    RequestLate,
    /// A request of a transaction arrives, and its double later.
    RequestDoubled,
    /// A transaction breaks.
    TransactionBroken,
    /// A worker joins the group.
    Join,
    /// A worker leaves the group in good order.
    Leave,
    /// Records that were handed on are handed on again.
    Redelivery,
    /// A partition cannot be read for a long time.
    PartitionStalled,
    /// A publisher repeats a command.
    Duplicate,
    /// A publisher aborts a transaction: its records leave a gap.
    InputAborted,
    /// A publisher's transaction stays open and hides all input behind it.
    InputHeld,
    /// A snapshot is cut off, and its writer is told that all is well, or not.
    WriteTorn,
    /// A snapshot is acknowledged and never stored.
    WriteLost,
    /// A snapshot is stored long after its writer was told, of its success or of its failure.
    WriteLate,
    /// A snapshot is stored, and its writer is told that it failed.
    WriteUnanswered,
    /// A snapshot is read with a wrong byte in it.
    ReadDamaged,
    /// The snapshot store answers nobody for a while.
    StoreDown,
    /// All workers end at once, and the group's offsets are forgotten; an operator adopts.
    OffsetsLost,
    /// All workers end at once, and the commits name another history than the input leads to, as after
    /// a change of code; an operator puts them right.
    DigestDiffers,
    /// A record's timestamp is far off.
    ClockJump,
}

impl Fault {
    /// Every fault, in the order of their declaration.
    pub const ALL: [Fault; 25] = [
        Fault::Crash,
        Fault::Zombie,
        Fault::Fence,
        Fault::SessionLost,
        Fault::RequestLost,
        Fault::AnswerLost,
        Fault::RequestLate,
        Fault::RequestDoubled,
        Fault::TransactionBroken,
        Fault::Join,
        Fault::Leave,
        Fault::Redelivery,
        Fault::PartitionStalled,
        Fault::Duplicate,
        Fault::InputAborted,
        Fault::InputHeld,
        Fault::WriteTorn,
        Fault::WriteLost,
        Fault::WriteLate,
        Fault::WriteUnanswered,
        Fault::ReadDamaged,
        Fault::StoreDown,
        Fault::OffsetsLost,
        Fault::DigestDiffers,
        Fault::ClockJump,
    ];

    /// Its name, as reports print it.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Crash => "crash",
            Fault::Zombie => "zombie",
            Fault::Fence => "fence",
            Fault::SessionLost => "session lost",
            Fault::RequestLost => "request lost",
            Fault::AnswerLost => "answer lost",
            Fault::RequestLate => "request late",
            Fault::RequestDoubled => "request doubled",
            Fault::TransactionBroken => "transaction broken",
            Fault::Join => "join",
            Fault::Leave => "leave",
            Fault::Redelivery => "redelivery",
            Fault::PartitionStalled => "partition stalled",
            Fault::Duplicate => "duplicate",
            Fault::InputAborted => "input aborted",
            Fault::InputHeld => "input held",
            Fault::WriteTorn => "write torn",
            Fault::WriteLost => "write lost",
            Fault::WriteLate => "write late",
            Fault::WriteUnanswered => "write unanswered",
            Fault::ReadDamaged => "read damaged",
            Fault::StoreDown => "store down",
            Fault::OffsetsLost => "offsets lost",
            Fault::DigestDiffers => "digest differs",
            Fault::ClockJump => "clock jump",
        }
    }

    /// Whether it counts as a fault where faults are counted: a timestamp that is off is only
    /// input.
    pub fn is_counted(self) -> bool {
        self != Fault::ClockJump
    }
}

/// What a worker is in the midst of when a fault strikes. It can be in several at once, one for
/// each of its partitions and its threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// None of the others.
    Idle,
    /// A transaction is begun.
    OpenTransaction,
    /// Its offsets are sent, its end is not.
    OffsetsSent,
    /// Its end is sent, and how it ended is not known.
    Ending,
    /// A partition's state is being loaded.
    Opening,
    /// Input that was answered is applied again.
    Replaying,
    /// A partition was asked back and is not given up.
    Revoking,
    /// A snapshot is on its way to the store.
    Snapshotting,
}

impl Phase {
    /// Every phase, in the order of their declaration.
    pub const ALL: [Phase; 8] = [
        Phase::Idle,
        Phase::OpenTransaction,
        Phase::OffsetsSent,
        Phase::Ending,
        Phase::Opening,
        Phase::Replaying,
        Phase::Revoking,
        Phase::Snapshotting,
    ];

    /// Its name, as reports print it.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Idle => "idle",
            Phase::OpenTransaction => "open transaction",
            Phase::OffsetsSent => "offsets sent",
            Phase::Ending => "ending",
            Phase::Opening => "opening",
            Phase::Replaying => "replaying",
            Phase::Revoking => "revoking",
            Phase::Snapshotting => "snapshotting",
        }
    }
}

/// Several phases.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub(super) struct Phases(u8);

impl fmt::Debug for Phases {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

impl Phases {
    pub(super) fn add(&mut self, phase: Phase) {
        self.0 |= 1 << phase as u8;
    }

    pub(super) fn union(self, other: Phases) -> Phases {
        Phases(self.0 | other.0)
    }

    /// Idle, if there is nothing else.
    fn iter(self) -> impl Iterator<Item = Phase> {
        let bits = if self.0 == 0 { 1 << Phase::Idle as u8 } else { self.0 };
        Phase::ALL.into_iter().filter(move |phase| bits & (1 << *phase as u8) != 0)
    }
}

/// How often each fault struck in each phase.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matrix {
    cells: [[u64; Phase::ALL.len()]; Fault::ALL.len()],
    /// How often each struck at all, as one can strike in several phases at once.
    totals: [u64; Fault::ALL.len()],
}

impl Matrix {
    pub(super) fn note(&mut self, fault: Fault, phases: Phases) {
        self.totals[fault as usize] += 1;
        for phase in phases.iter() {
            self.cells[fault as usize][phase as usize] += 1;
        }
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Matrix) {
        for (cells, others) in self.cells.iter_mut().zip(&other.cells) {
            cells.iter_mut().zip(others).for_each(|(cell, other)| *cell += other);
        }
        self.totals.iter_mut().zip(&other.totals).for_each(|(total, other)| *total += other);
    }

    /// How often a fault struck in a phase.
    pub fn cell(&self, fault: Fault, phase: Phase) -> u64 {
        self.cells[fault as usize][phase as usize]
    }

    /// How often a fault struck.
    pub fn total(&self, fault: Fault) -> u64 {
        self.totals[fault as usize]
    }

    /// How many faults there were, those that count.
    pub fn faults(&self) -> u64 {
        Fault::ALL.into_iter().filter(|fault| fault.is_counted()).map(|it| self.total(it)).sum()
    }

    /// Cells that can be reached and never were.
    pub fn missing(&self) -> Vec<(Fault, Phase)> {
        every_cell()
            .filter(|&(fault, phase)| self.cell(fault, phase) == 0)
            .filter(|&(fault, phase)| impossible(fault, phase).is_none())
            .collect()
    }

    /// Cells that were said to be impossible and were reached all the same.
    pub fn contradictions(&self) -> Vec<(Fault, Phase)> {
        every_cell()
            .filter(|&(fault, phase)| self.cell(fault, phase) > 0)
            .filter(|&(fault, phase)| impossible(fault, phase).is_some())
            .collect()
    }
}

fn every_cell() -> impl Iterator<Item = (Fault, Phase)> {
    Fault::ALL.into_iter().flat_map(|fault| Phase::ALL.map(|phase| (fault, phase)))
}

/// Why a fault cannot strike in a phase, where that is so by construction.
pub fn impossible(fault: Fault, phase: Phase) -> Option<&'static str> {
    match (fault, phase) {
        (
            Fault::WriteTorn | Fault::WriteLost | Fault::WriteLate | Fault::WriteUnanswered,
            Phase::Idle,
        ) => Some("a write to the store is what makes the phase snapshotting"),
        (Fault::ReadDamaged, Phase::Idle) => {
            Some("a snapshot is read only while a partition is being opened")
        }
        (Fault::Redelivery, Phase::OffsetsSent) => {
            Some("records come from a poll, and a worker that ends a transaction does not poll")
        }
        (Fault::TransactionBroken, Phase::Ending) => {
            Some("no transaction is begun before the outcome of the last one is known")
        }
        (Fault::OffsetsLost | Fault::DigestDiffers, Phase::OffsetsSent) => {
            Some("commits are changed when the group has no member, so nobody is in a call")
        }
        _ => None,
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:<19}{:>10}", "", "all")?;
        for phase in Phase::ALL {
            write!(formatter, "{:>17}", phase.name())?;
        }
        for fault in Fault::ALL {
            write!(formatter, "\n{:<19}{:>10}", fault.name(), self.total(fault))?;
            for phase in Phase::ALL {
                match (self.cell(fault, phase), impossible(fault, phase)) {
                    (0, Some(_)) => write!(formatter, "{:>17}", "-")?,
                    (count, _) => write!(formatter, "{count:>17}")?,
                }
            }
        }
        Ok(())
    }
}
