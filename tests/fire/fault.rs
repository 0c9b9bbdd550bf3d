//! The kinds of faults. Not how they are played.

/// What can happen to a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9` of a settling process, which is started again under its name.
    Kill,
    /// `kill -9` of a settling process, which does not come back: another takes its place.
    Replace,
    /// An owner is frozen for longer than its session, and thawed when others have its partitions.
    Zombie,
    /// `kill -9` of the broker, which is started again.
    BrokerKill,
    /// The broker is stopped in order and started again, as at every upgrade.
    BrokerRestart,
    /// The broker is frozen for seconds.
    BrokerPause,
    /// All connections are cut, and refused for a while.
    Cut,
    /// Every message takes longer, for seconds.
    Delay,
    /// Answers, or requests, that decide transactions are lost.
    LostEnd,
    /// A member joins or leaves every second or two.
    Storm,
    /// No file may grow: the snapshots' disk is full.
    SnapshotsFull,
    /// The snapshots' directory is gone, and in its place is something that cannot be written to.
    SnapshotsGone,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 12] = [
        Fault::Kill,
        Fault::Replace,
        Fault::Zombie,
        Fault::BrokerKill,
        Fault::BrokerRestart,
        Fault::BrokerPause,
        Fault::Cut,
        Fault::Delay,
        Fault::LostEnd,
        Fault::Storm,
        Fault::SnapshotsFull,
        Fault::SnapshotsGone,
    ];

    /// For the command line.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Kill => "kill",
            Fault::Replace => "replace",
            Fault::Zombie => "zombie",
            Fault::BrokerKill => "broker-kill",
            Fault::BrokerRestart => "broker-restart",
            Fault::BrokerPause => "broker-pause",
            Fault::Cut => "cut",
            Fault::Delay => "delay",
            Fault::LostEnd => "lost-end",
            Fault::Storm => "storm",
            Fault::SnapshotsFull => "snapshots-full",
            Fault::SnapshotsGone => "snapshots-gone",
        }
    }

    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Fault::Kill => "kill -9 of a settle, which comes back",
            Fault::Replace => "kill -9 of a settle, another one takes over",
            Fault::Zombie => "settle frozen past its session, thawed later",
            Fault::BrokerKill => "kill -9 of the broker, restart",
            Fault::BrokerRestart => "broker stopped in order, restart",
            Fault::BrokerPause => "broker frozen for 2 to 15 s",
            Fault::Cut => "connections cut and refused for up to 4 s",
            Fault::Delay => "every message 20 to 150 ms late for 6 s",
            Fault::LostEnd => "EndTxn answers and requests lost",
            Fault::Storm => "a member joins or leaves every 1 to 2 s",
            Fault::SnapshotsFull => "snapshot disk full",
            Fault::SnapshotsGone => "snapshot directory gone and unwritable",
        }
    }

    /// From when its recovery counts.
    pub fn counts_from(self) -> &'static str {
        match self {
            Fault::Kill
            | Fault::Replace
            | Fault::Zombie
            | Fault::LostEnd
            | Fault::SnapshotsFull => "strike",
            Fault::Storm => "last change",
            Fault::BrokerKill
            | Fault::BrokerRestart
            | Fault::BrokerPause
            | Fault::Cut
            | Fault::Delay
            | Fault::SnapshotsGone => "end",
        }
    }
}
