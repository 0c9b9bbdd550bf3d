//! A log in memory with Kafka's semantics, as far as a pipeline can see them.
//!
//! `demo` runs on it with nothing installed, and the simulator injects faults into it. It is no
//! broker for anybody else: no network, no replicas, no disk, no compaction, no quotas. What it
//! models, and where it is stricter or simpler than Kafka, is said in each file:
//!
//! - `storage`: offsets, transaction markers, last stable offset, aborted records, retention;
//! - `transactions`: epochs, fencing, what a late EndTxn does, transaction timeouts;
//! - `producer`, `member`, `offsets`, `publisher`: the clients' side;
//! - `group`: cooperative rebalancing, committed offsets, pending ones, KIP-447;
//! - `faults`, `late`: unknown outcomes and requests that arrive when nobody waits for them.
//!
//! Two things hold everywhere. Time comes from the embedder ([`EmbeddedBroker::set_now`]); no chance
//! and no hash order decides anything: the same calls in the same order give the same log.
//! Locks are taken in the order transactional id, group, partition, each for a short while, and none
//! is held while events are handed on, records visited, or faults asked for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ledger::units::Offset;
use wire::record::Record;

use crate::log::{LogError, Partition};

mod activity;
pub mod faults;
mod group;
mod headers;
mod late;
mod member;
mod offsets;
mod producer;
mod publisher;
mod storage;
#[cfg(test)]
mod tests;
mod topics;
mod transactions;

pub use member::EmbeddedLog;
pub use offsets::EmbeddedOffsets;
pub use publisher::EmbeddedPublisher;
pub use storage::{Bounds, Isolation, NewRecord};
pub use topics::Topic;
pub use transactions::OpenTransaction;

use activity::{Activity, Deadline};
use faults::{Call, Caller, Faults, Verdict};
use group::Group;
use late::LateRequest;
use storage::Batch;
use topics::{Place, Topics};
use transactions::Coordinator;

/// Records that a reader copies out under one lock.
const READ_RECORDS_MAX: usize = 1024;

/// How an embedded log behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Partitions of every topic.
    pub partitions: u32,
    /// Whose time the input's records have. Outputs have their own (`CreateTime`), as the contract
    /// wants it.
    pub input_timestamps: Timestamps,
    /// A member of which nothing was heard for longer is taken out of its group
    /// (`session.timeout.ms`); never if there is none.
    pub session_timeout_ms: Option<u64>,
    /// A transaction that is open for longer is aborted and its producer fenced
    /// (`transaction.timeout.ms`); never if there is none.
    pub transaction_timeout_ms: Option<u64>,
}

impl Default for Settings {
    /// One partition, `LogAppendTime`, and the pipeline's timeouts on Kafka, 10 s.
    fn default() -> Settings {
        Settings {
            partitions: 1,
            input_timestamps: Timestamps::LogAppendTime,
            session_timeout_ms: Some(10_000),
            transaction_timeout_ms: Some(10_000),
        }
    }
}

/// Whose time a topic's records have (`message.timestamp.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamps {
    /// The publisher's.
    CreateTime,
    /// The broker's at the moment of appending.
    LogAppendTime,
}

/// A member, as long as its process lives; it stays the same when the group takes it in again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

/// The topics, the groups and the transactions of one pipeline. Its handles keep it alive; every
/// thread may call it.
#[derive(Debug)]
pub struct EmbeddedBroker {
    settings: Settings,
    /// Written by the embedder, read by whoever needs the time; no other memory hangs on it, so
    /// both sides are `Relaxed`.
    now: AtomicI64,
    topics: Topics,
    coordinator: Coordinator,
    groups: Mutex<BTreeMap<String, Arc<Mutex<Group>>>>,
    members: Mutex<Vec<MemberHandle>>,
    late: Mutex<Vec<LateRequest>>,
    faults: Option<Box<dyn Faults>>,
    /// Whether calls may wait.
    waits: bool,
    activity: Activity,
}

/// What the broker keeps of a member to make it vanish or expire.
#[derive(Debug)]
struct MemberHandle {
    group: Arc<Mutex<Group>>,
    vanished: Arc<AtomicBool>,
}

impl EmbeddedBroker {
    /// An empty log, at time 0.
    pub fn new(settings: Settings) -> Arc<EmbeddedBroker> {
        EmbeddedBroker::made(settings, None, true)
    }

    /// An empty log that asks `faults` at every call of the port.
    pub fn with_faults(settings: Settings, faults: Box<dyn Faults>) -> Arc<EmbeddedBroker> {
        EmbeddedBroker::made(settings, Some(faults), true)
    }

    /// The same for an embedder with one thread, where nobody could end a wait: every call looks
    /// once and returns, as with a wait of zero.
    pub fn simulated(settings: Settings, faults: Box<dyn Faults>) -> Arc<EmbeddedBroker> {
        EmbeddedBroker::made(settings, Some(faults), false)
    }

    fn made(
        settings: Settings,
        faults: Option<Box<dyn Faults>>,
        waits: bool,
    ) -> Arc<EmbeddedBroker> {
        Arc::new(EmbeddedBroker {
            topics: Topics::new(settings.partitions),
            settings,
            now: AtomicI64::new(0),
            coordinator: Coordinator::default(),
            groups: Mutex::default(),
            members: Mutex::default(),
            late: Mutex::default(),
            faults,
            waits,
            activity: Activity::default(),
        })
    }

    /// A worker's log: a member of `group`, once it joins, with a producer of `transactional_id`,
    /// once it makes one.
    pub fn member(self: &Arc<Self>, group: &str, transactional_id: &str) -> EmbeddedLog {
        let group = self.group(group);
        let vanished = Arc::new(AtomicBool::new(false));
        let mut members = locked(&self.members);
        let id = MemberId(members.len() as u64);
        members.push(MemberHandle { group: Arc::clone(&group), vanished: Arc::clone(&vanished) });
        drop(members);
        EmbeddedLog::new(Arc::clone(self), id, group, vanished, transactional_id)
    }

    /// Answers questions about the offsets of `group`.
    pub fn offsets(self: &Arc<Self>, group: &str) -> EmbeddedOffsets {
        EmbeddedOffsets::new(Arc::clone(self), group)
    }

    /// A publisher whose records come in transactions. It fences whoever had its id before.
    pub fn publisher(self: &Arc<Self>, transactional_id: &str) -> EmbeddedPublisher {
        EmbeddedPublisher::new(Arc::clone(self), transactional_id)
    }

    /// Sets the time, in milliseconds since 1970-01-01 UTC, and with it expires sessions and
    /// transactions that have lasted too long.
    pub fn set_now(&self, now: i64) {
        self.now.store(now, Ordering::Relaxed);
        if let Some(timeout_ms) = self.settings.session_timeout_ms {
            let groups: Vec<Arc<Mutex<Group>>> = locked(&self.groups).values().cloned().collect();
            for group in groups {
                locked(&group).expire_silent(now, timeout_ms);
            }
        }
        if let Some(timeout_ms) = self.settings.transaction_timeout_ms {
            self.coordinator.expire(now, timeout_ms, &self.topics);
        }
        self.activity.announce();
    }

    /// The time as it was last set.
    pub fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    /// Appends records to a partition of the input, in order and outside transactions; returns the
    /// first one's offset.
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn append(&self, partition: Partition, records: &[NewRecord<'_>]) -> Offset {
        let mut log = self.topics.lock(self.own_place(Topic::Input, partition));
        let first = log.bounds().next;
        for record in records {
            log.append(&self.stamped(record));
        }
        drop(log);
        self.activity.announce();
        first
    }

    /// Calls `visit` with every record of a partition from offset `from` (or the oldest that is
    /// still there) to the end that `isolation` allows, in order. Returns where reading would go on.
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        isolation: Isolation,
        visit: &mut dyn FnMut(&Record<'_>),
    ) -> Offset {
        let place = self.own_place(topic, partition);
        let mut batch = Batch::default();
        let mut position = from;
        loop {
            let next =
                self.topics.lock(place).read(position, isolation, READ_RECORDS_MAX, &mut batch);
            batch.with_records(partition, |records| records.iter().for_each(&mut *visit));
            if next == position {
                return position;
            }
            position = next;
        }
    }

    /// First, last stable and next offset of a partition.
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn bounds(&self, topic: Topic, partition: Partition) -> Bounds {
        self.topics.lock(self.own_place(topic, partition)).bounds()
    }

    /// Ends a member's process as `kill -9` does: nothing is cleaned up, nobody is told, and every
    /// later call through its handle fails. Its session and its transaction live on until they
    /// expire.
    ///
    /// # Panics
    /// If the id is not of this broker.
    pub fn vanish(&self, member: MemberId) {
        let members = locked(&self.members);
        // Pairs with the load before each of the member's calls.
        members[member.0 as usize].vanished.store(true, Ordering::Release);
    }

    /// Takes a member out of its group as if nothing had been heard of it for the session timeout.
    /// If it lives, it learns of it at its next poll.
    ///
    /// # Panics
    /// If the id is not of this broker.
    pub fn expire_session(&self, member: MemberId) {
        let group = Arc::clone(&locked(&self.members)[member.0 as usize].group);
        locked(&group).expire(member);
        self.activity.announce();
    }

    /// Which member owns each partition, in the eyes of the group.
    pub fn owners(&self, group: &str) -> Vec<Option<MemberId>> {
        locked(&self.group(group)).owners()
    }

    /// Drops a partition's records before an offset, as retention does; what is undecided stays.
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn trim(&self, topic: Topic, partition: Partition, before: Offset) {
        self.topics.lock(self.own_place(topic, partition)).trim(before);
        self.activity.announce();
    }

    /// Forgets what a group has committed for a partition, as Kafka does a week after its last
    /// member went (`offsets.retention.minutes`).
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn forget_offsets(&self, group: &str, partition: Partition) {
        locked(&self.group(group)).forget_offset(partition);
    }

    /// The transactions that are not decided, by transactional id.
    pub fn open_transactions(&self) -> Vec<OpenTransaction> {
        self.coordinator.open_transactions()
    }

    /// A group, from its first mention on.
    fn group(&self, name: &str) -> Arc<Mutex<Group>> {
        let mut groups = locked(&self.groups);
        if let Some(group) = groups.get(name) {
            return Arc::clone(group);
        }
        let group = Arc::new(Mutex::new(Group::new(self.settings.partitions)));
        groups.insert(name.to_owned(), Arc::clone(&group));
        group
    }

    /// A place that a client named.
    fn place(&self, topic: Topic, partition: Partition) -> Result<Place, LogError> {
        let missing = || LogError::Fatal(format!("{topic:?} has no partition {partition}"));
        self.topics.place(topic, partition).ok_or_else(missing)
    }

    /// A place that the embedder named.
    fn own_place(&self, topic: Topic, partition: Partition) -> Place {
        self.topics.place(topic, partition).expect("the embedder names partitions that exist")
    }

    /// An input record with the time that the topic gives it.
    fn stamped<'a>(&self, record: &NewRecord<'a>) -> NewRecord<'a> {
        match self.settings.input_timestamps {
            Timestamps::CreateTime => *record,
            Timestamps::LogAppendTime => NewRecord { timestamp: self.now(), ..*record },
        }
    }

    fn deadline(&self, wait: Duration) -> Deadline {
        if self.waits { Deadline::after(wait) } else { Deadline::PASSED }
    }

    fn verdict(&self, caller: Caller<'_>, call: Call<'_>) -> Verdict {
        match &self.faults {
            None => Verdict::Pass,
            Some(faults) => faults.verdict(caller, call),
        }
    }
}

/// Locks what nobody panics under.
fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no call panics while it holds a lock of the broker")
}
