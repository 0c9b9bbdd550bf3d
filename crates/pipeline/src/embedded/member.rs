//! A worker's side of the embedded log: one member of the group with one transactional producer.
//!
//! Not the broker: it keeps only what a Kafka client keeps, which is what it was told. A member
//! whose session has expired, or whose producer was fenced, learns of it by its next call, as a
//! Kafka client does. Invariant: nothing is fetched ahead, so a record is handed on only by the
//! poll that read it, and nothing of a partition comes after `stop`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ledger::units::Offset;
use wire::outputs::Outputs;
use wire::record::NoHeaders;

use super::activity::Deadline;
use super::faults::{Call, Caller, Verdict, judge, not_repeatable};
use super::group::{Group, GroupEvent};
use super::late::LateRequest;
use super::producer::Producer;
use super::storage::{Batch, Bounds, Decision, Isolation, NewRecord};
use super::topics::Topic;
use super::transactions::OffsetsToSend;
use super::{EmbeddedBroker, MemberId, locked};
use crate::log::{
    CommitOutcome, Event, Log, LogError, Partition, PartitionCommit, RECORDS_PER_EVENT_MAX,
};

/// What is appended to move the clock of a quiet partition (contract, section 7).
const TICK: &[u8] = br#"{"type":"tick"}"#;

/// A member of a group with its producer; dropping it is like the end of its process: nobody is
/// told.
#[derive(Debug)]
pub struct EmbeddedLog {
    broker: Arc<EmbeddedBroker>,
    id: MemberId,
    group: Arc<Mutex<Group>>,
    /// Set by [`EmbeddedBroker::vanish`], read before each call.
    vanished: Arc<AtomicBool>,
    membership: Membership,
    /// What it was told is its own, less what it released.
    owned: BTreeSet<Partition>,
    /// What it released without being asked: in the group's eyes its own.
    refused: BTreeSet<Partition>,
    /// What of `owned` the group asked back.
    asked_back: BTreeSet<Partition>,
    readers: BTreeMap<Partition, Reader>,
    batch: Batch,
    transactional_id: String,
    /// None before the first, and after a failure that only a new producer can mend.
    producer: Option<Producer>,
    /// Of the transaction that was asked to end, until it is told.
    outcome: Option<CommitOutcome>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Membership {
    NotJoined,
    Joined,
    Leaving,
}

/// Where the reading of one partition stands.
#[derive(Debug)]
struct Reader {
    is_reading: bool,
    position: Offset,
    /// Where [`Event::End`] was last told of.
    end_told: Option<Offset>,
    readable_end: Option<Offset>,
    log_end: Option<Offset>,
}

/// What a fetch brought.
#[derive(Debug, Default)]
struct Brought {
    records: usize,
    anything: bool,
}

impl EmbeddedLog {
    pub(super) fn new(
        broker: Arc<EmbeddedBroker>,
        id: MemberId,
        group: Arc<Mutex<Group>>,
        vanished: Arc<AtomicBool>,
        transactional_id: &str,
    ) -> EmbeddedLog {
        EmbeddedLog {
            broker,
            id,
            group,
            vanished,
            membership: Membership::NotJoined,
            owned: BTreeSet::new(),
            refused: BTreeSet::new(),
            asked_back: BTreeSet::new(),
            readers: BTreeMap::new(),
            batch: Batch::default(),
            transactional_id: transactional_id.to_owned(),
            producer: None,
            outcome: None,
        }
    }

    /// Its id, by which the embedder can make it vanish or expire.
    pub fn id(&self) -> MemberId {
        self.id
    }

    /// Asks what is to become of a call, if there is still somebody to make it.
    fn ask(&self, call: Call<'_>) -> Result<Verdict, LogError> {
        // Pairs with the store in `EmbeddedBroker::vanish`.
        if self.vanished.load(Ordering::Acquire) {
            return Err(LogError::Fatal("this member's process has vanished".to_owned()));
        }
        Ok(self.broker.verdict(Caller::Member(self.id), call))
    }

    /// Hands on what the group has to tell; says whether there was something.
    fn serve_group(&mut self, on_event: &mut dyn FnMut(Event<'_>)) -> bool {
        let (was_removed, events) = self.heartbeat();
        let mut lost = BTreeSet::new();
        if was_removed {
            lost.append(&mut self.owned);
            lost.append(&mut self.refused);
        }
        if !lost.is_empty() {
            self.readers.clear();
            self.asked_back.clear();
            let lost: Vec<Partition> = lost.into_iter().collect();
            on_event(Event::Lost(&lost));
        }
        let anything = was_removed || !events.is_empty();
        for event in events {
            match event {
                GroupEvent::Assigned(partitions) => {
                    self.owned.extend(&partitions);
                    on_event(Event::Assigned(&partitions));
                }
                GroupEvent::Revoked(partitions) => self.ask_back(&partitions, on_event),
            }
        }
        anything
    }

    /// What the worker has released without being asked goes back at once; it is only told so.
    fn ask_back(&mut self, partitions: &[Partition], on_event: &mut dyn FnMut(Event<'_>)) {
        let is_owned = |partition: &Partition| self.owned.contains(partition);
        let (owned, mut refused): (Vec<_>, Vec<_>) = partitions.iter().partition(|p| is_owned(p));
        self.give_up(&refused);
        refused.retain(|partition| self.refused.remove(partition));
        if !refused.is_empty() {
            on_event(Event::Lost(&refused));
        }
        if !owned.is_empty() {
            self.asked_back.extend(&owned);
            on_event(Event::Revoked(&owned));
        }
    }

    fn give_up(&self, partitions: &[Partition]) {
        locked(&self.group).release(self.id, partitions);
        self.broker.activity.announce();
    }

    /// Tells the group that it lives. One that the group has taken out for dead comes back as a new
    /// member that owns nothing.
    fn heartbeat(&self) -> (bool, VecDeque<GroupEvent>) {
        let mut group = locked(&self.group);
        let now = self.broker.now();
        let was_removed = match self.membership {
            Membership::NotJoined => return (false, VecDeque::new()),
            Membership::Joined => !group.contains(self.id),
            Membership::Leaving => !group.contains(self.id) && !self.owned.is_empty(),
        };
        if was_removed && self.membership == Membership::Joined {
            group.join(self.id, now);
            self.broker.activity.announce();
        }
        (was_removed, group.heartbeat(self.id, now))
    }

    /// Reads on in every started partition, at most one batch in each.
    fn fetch(&mut self, on_event: &mut dyn FnMut(Event<'_>)) -> Result<Brought, LogError> {
        let mut brought = Brought::default();
        let EmbeddedLog { broker, readers, batch, .. } = self;
        let reading = readers.iter_mut().filter(|(_, reader)| reader.is_reading);
        for (&partition, reader) in reading {
            let bounds = reader.read(broker, partition, batch)?;
            if bounds.oldest > reader.position {
                reader.is_reading = false;
                brought.anything = true;
                on_event(Event::OutOfRange { partition, oldest: bounds.oldest });
                continue;
            }
            if !batch.is_empty() {
                brought.anything = true;
                brought.records += batch.len();
                batch.with_records(partition, |records| {
                    on_event(Event::Records { partition, records });
                });
            }
            let position = reader.position;
            if position >= bounds.last_stable && reader.end_told != Some(position) {
                reader.end_told = Some(position);
                brought.anything = true;
                on_event(Event::End { partition, position });
            }
        }
        Ok(brought)
    }

    fn poll_until(
        &mut self,
        deadline: Deadline,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, LogError> {
        loop {
            let seen = self.broker.activity.count();
            let heard = self.serve_group(on_event);
            let brought = self.fetch(on_event)?;
            let is_over = heard || brought.anything || deadline.left().is_zero();
            if is_over || !self.broker.activity.sleep(seen, deadline) {
                return Ok(brought.records);
            }
        }
    }

    fn producer(&mut self) -> Result<&mut Producer, LogError> {
        let missing = || LogError::Transaction("the producer must be replaced".to_owned());
        self.producer.as_mut().ok_or_else(missing)
    }

    /// Gives the producer up after a failure that nothing else can mend.
    fn keep_producer_after<T>(&mut self, result: Result<T, LogError>) -> Result<T, LogError> {
        if result.as_ref().is_err_and(|error| !matches!(error, LogError::Retry(_))) {
            self.producer = None;
        }
        result
    }

    /// Sends one of the two requests of a commit, with all that can become of it.
    fn send(
        &mut self,
        call: Call<'_>,
        apply: impl FnOnce(&mut Producer) -> Result<(), LogError>,
        late: impl FnOnce(&Producer) -> LateRequest,
    ) -> Result<(), LogError> {
        let verdict = self.ask(call)?;
        let broker = Arc::clone(&self.broker);
        let producer = self.producer()?;
        match verdict {
            Verdict::Pass => apply(producer),
            Verdict::FailBefore(error) => Err(error),
            Verdict::ApplyThenFail(error) => apply(producer).and(Err(error)),
            Verdict::ApplyLate(error) => {
                broker.delay(late(producer));
                Err(error)
            }
            Verdict::ApplyTwice(why) => {
                broker.delay(late(producer));
                producer.suspect(why);
                apply(producer)
            }
        }
    }

    fn send_offsets(&mut self, commits: &[PartitionCommit]) -> Result<(), LogError> {
        if let Some(commit) = commits.iter().find(|commit| !self.owned.contains(&commit.partition))
        {
            let why = format!("partition {} is not this worker's", commit.partition);
            return Err(LogError::Retry(why));
        }
        let (group, member) = (Arc::clone(&self.group), self.id);
        let offsets = OffsetsToSend { group, member, commits: commits.to_vec() };
        self.send(
            Call::SendOffsets,
            |producer| producer.send_offsets(&offsets),
            |producer| LateRequest::SendOffsets(producer.sender(), offsets.clone()),
        )
    }

    fn end_transaction(&mut self, decision: Decision) -> Result<(), LogError> {
        let call = match decision {
            Decision::Commit => Call::EndTransaction,
            Decision::Abort => Call::AbortTransaction,
        };
        self.send(
            call,
            |producer| producer.end(decision),
            |producer| LateRequest::End(producer.sender(), decision),
        )
    }

    /// The commit's requests in their order.
    fn try_commit(&mut self, commits: &[PartitionCommit]) -> Result<CommitOutcome, LogError> {
        if !commits.is_empty() {
            match self.send_offsets(commits) {
                Err(LogError::Transaction(why)) => return self.abort(why),
                sent => sent?,
            }
        }
        if !self.producer()?.is_unknown_to_broker()? {
            self.end_transaction(Decision::Commit)?;
        }
        let suspicion = self.producer()?.forget_transaction();
        Ok(suspicion.map_or(CommitOutcome::Committed, CommitOutcome::CommittedSuspect))
    }

    /// The group has turned the offsets down, so nothing of the transaction may count.
    fn abort(&mut self, why: String) -> Result<CommitOutcome, LogError> {
        self.end_transaction(Decision::Abort)?;
        match self.producer()?.forget_transaction() {
            None => Ok(CommitOutcome::Aborted(why)),
            Some(suspicion) => Err(LogError::Transaction(suspicion)),
        }
    }
}

impl Reader {
    fn at(position: Offset) -> Reader {
        Reader { is_reading: true, position, end_told: None, readable_end: None, log_end: None }
    }

    /// Reads one batch, if the position lies within the log.
    fn read(
        &mut self,
        broker: &EmbeddedBroker,
        partition: Partition,
        batch: &mut Batch,
    ) -> Result<Bounds, LogError> {
        let log = broker.topics.lock(broker.place(Topic::Input, partition)?);
        let bounds = log.bounds();
        self.readable_end = Some(bounds.last_stable);
        self.log_end = Some(bounds.next);
        if self.position > bounds.next {
            let Offset(position) = self.position;
            let why = format!("partition {partition} ends before offset {position}");
            return Err(LogError::Fatal(why));
        }
        if self.position >= bounds.oldest {
            let (from, isolation) = (self.position, Isolation::ReadCommitted);
            self.position = log.read(from, isolation, RECORDS_PER_EVENT_MAX, batch);
        }
        Ok(bounds)
    }
}

impl Log for EmbeddedLog {
    fn poll(
        &mut self,
        wait: Duration,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, LogError> {
        let verdict = self.ask(Call::Poll)?;
        judge(verdict, || self.poll_until(self.broker.deadline(wait), on_event))
    }

    /// Of what is not its own any more nothing is read: the next poll tells why.
    fn start(&mut self, partition: Partition, offset: Offset) -> Result<(), LogError> {
        let verdict = self.ask(Call::Start(partition))?;
        judge(verdict, || {
            if self.owned.contains(&partition) {
                self.readers.insert(partition, Reader::at(offset));
            }
            Ok(())
        })
    }

    fn stop(&mut self, partition: Partition) -> Result<(), LogError> {
        let verdict = self.ask(Call::Stop(partition))?;
        judge(verdict, || {
            if let Some(reader) = self.readers.get_mut(&partition) {
                reader.is_reading = false;
            }
            Ok(())
        })
    }

    /// What the group did not ask back stays assigned, but is neither read nor committed any more.
    fn release(&mut self, partitions: &[Partition]) -> Result<(), LogError> {
        let verdict = self.ask(Call::Release(partitions))?;
        judge(verdict, || {
            for partition in partitions {
                self.readers.remove(partition);
                if self.owned.remove(partition) && !self.asked_back.contains(partition) {
                    self.refused.insert(*partition);
                }
            }
            let mut given_up = partitions.to_vec();
            given_up.retain(|partition| self.asked_back.remove(partition));
            self.give_up(&given_up);
            Ok(())
        })
    }

    fn join(&mut self) -> Result<(), LogError> {
        let verdict = self.ask(Call::Join)?;
        judge(verdict, || {
            self.membership = Membership::Joined;
            locked(&self.group).join(self.id, self.broker.now());
            self.broker.activity.announce();
            Ok(())
        })
    }

    fn leave(&mut self) -> Result<(), LogError> {
        let verdict = self.ask(Call::Leave)?;
        judge(verdict, || {
            self.membership = Membership::Leaving;
            locked(&self.group).leave(self.id);
            self.broker.activity.announce();
            Ok(())
        })
    }

    /// Never waits: the broker decides what was left open at once.
    fn replace_producer(&mut self, _wait: Duration) -> Result<(), LogError> {
        self.outcome = None;
        let verdict = self.ask(Call::InitProducer)?;
        self.producer = None;
        if let Verdict::ApplyLate(_) | Verdict::ApplyTwice(_) = &verdict {
            self.broker.delay(LateRequest::InitProducer(self.transactional_id.clone()));
        }
        let producer =
            judge(verdict, || Ok(Producer::initialise(&self.broker, &self.transactional_id)))?;
        self.producer = Some(producer);
        Ok(())
    }

    fn begin(&mut self) -> Result<(), LogError> {
        if self.outcome.is_some() {
            return Err(LogError::Transaction("the one before has not ended".to_owned()));
        }
        let verdict = self.ask(Call::Begin)?;
        let begun = judge(verdict, || self.producer()?.begin());
        self.keep_producer_after(begun)
    }

    fn produce(&mut self, outputs: &Outputs, first: usize) -> Result<(), LogError> {
        let count = outputs.len().saturating_sub(first);
        let verdict = self.ask(Call::Produce { outputs: count })?;
        let produced = match verdict {
            Verdict::ApplyTwice(why) => self.producer().and_then(|producer| {
                producer.suspect(why);
                producer.append_outputs(outputs, first)
            }),
            Verdict::ApplyThenFail(error) => self
                .producer()
                .and_then(|producer| producer.append_outputs(outputs, first))
                .and(Err(not_repeatable(error))),
            other => judge(other, || self.producer()?.append_outputs(outputs, first)),
        };
        self.keep_producer_after(produced)
    }

    /// At once. Whatever goes wrong, the producer is of no more use.
    fn end(&mut self, commits: &[PartitionCommit]) {
        let outcome = self.try_commit(commits).unwrap_or_else(|error| {
            self.producer = None;
            match error {
                LogError::Fenced(why) => CommitOutcome::Fenced(why),
                LogError::Retry(why) | LogError::Transaction(why) | LogError::Fatal(why) => {
                    CommitOutcome::Unknown(why)
                }
            }
        });
        self.outcome = Some(outcome);
    }

    fn ended(&mut self, _wait: Duration) -> Option<CommitOutcome> {
        self.outcome.take()
    }

    fn append_tick(&mut self, partition: Partition) -> Result<(), LogError> {
        let verdict = self.ask(Call::AppendTick(partition))?;
        judge(verdict, || {
            self.broker.place(Topic::Input, partition)?;
            let (timestamp, headers) = (self.broker.now(), &NoHeaders);
            self.broker.append(
                partition,
                &[NewRecord { timestamp, key: None, value: Some(TICK), headers }],
            );
            Ok(())
        })
    }

    fn readable_end(&self, partition: Partition) -> Option<Offset> {
        self.readers.get(&partition)?.readable_end
    }

    fn log_end(&self, partition: Partition) -> Option<Offset> {
        self.readers.get(&partition)?.log_end
    }
}
