//! What needs an operator: after a group's offsets were lost, `floodgate snapshot adopt`, partition by
//! partition, with everything stopped; and where the commits name another history than the input leads
//! to, somebody who puts them right.
//!
//! The steps of an adoption are the command's, on the embedded log. Invariant: workers go on only from
//! commits that workers made, or that [`Adoption`] has compared with what readers have seen.

use std::sync::Arc;
use std::time::Duration;

use ledger::effect::DeadLetter;
use ledger::units::Offset;
use pipeline::adoption::{Adoption, Written};
use pipeline::digest::Digest;
use pipeline::embedded::{Isolation, Topic};
use pipeline::log::{CommitOutcome, Committed, Log, Offsets, Partition, PartitionCommit};
use pipeline::metadata::{CommitMetadata, RulesHash};
use pipeline::snapshot;
use wire::Record;

use super::fault::Fault;
use super::stage::{GROUP, Stage, lock};
use super::trace::{Event, WORLD};

/// Turns within which a worker has to refuse what is lost.
const REFUSED_WITHIN: u32 = 400;
/// Milliseconds of each of them.
const STEP_MS: u64 = 25;

impl Stage {
    /// The group dies, its offsets are forgotten, it is started again and refuses to go on, is
    /// stopped, and an operator adopts. Nothing else goes wrong meanwhile.
    pub(super) fn lose_offsets(self: &Arc<Self>) {
        let lost = self.partitions_to_lose();
        if lost.is_empty() {
            return;
        }
        self.strike_all(Fault::OffsetsLost);
        let was_calm = std::mem::replace(&mut self.state().calm, true);
        self.bury_everybody();
        for &partition in &lost {
            self.broker.forget_offsets(GROUP, partition);
        }
        self.state().lost.extend(lost.iter().copied());
        self.hire(0);
        self.until_refused(&lost);
        self.bury_everybody();
        for &partition in &lost {
            self.adopt(partition);
            self.state().lost.remove(&partition);
        }
        for slot in 0..self.plan.workers {
            self.hire(slot);
        }
        self.state().calm = was_calm;
    }

    /// The group dies, and what it committed names a digest that no replay reaches: it is started again
    /// and refuses to go on, until it is stopped and the commits are put right.
    pub(super) fn doubt_history(self: &Arc<Self>) {
        let all = 0..self.plan.partitions;
        let doubted: Vec<Partition> = all.filter(|it| self.commit_of(*it).is_some()).collect();
        if doubted.is_empty() {
            return;
        }
        self.strike_all(Fault::DigestDiffers);
        let was_calm = std::mem::replace(&mut self.state().calm, true);
        self.bury_everybody();
        // What was under way has arrived only now.
        let right: Vec<_> = doubted.iter().filter_map(|it| self.commit_of(*it)).collect();
        right.iter().for_each(|commit| self.commit_by_hand(falsified(commit)));
        self.state().doubted.extend(doubted.iter().copied());
        self.hire(0);
        self.until_refused(&doubted);
        self.bury_everybody();
        right.into_iter().for_each(|commit| self.commit_by_hand(commit));
        self.state().doubted.clear();
        for slot in 0..self.plan.workers {
            self.hire(slot);
        }
        self.state().calm = was_calm;
    }

    /// Those with a commit and a snapshot from which it can be adopted.
    fn partitions_to_lose(&self) -> Vec<Partition> {
        let all = 0..self.plan.partitions;
        all.filter(|partition| self.committed(*partition).is_some())
            .filter(|partition| self.newest_at_rest(*partition).is_some())
            .collect()
    }

    /// What the group has committed for a partition, if that can be told just now.
    pub(super) fn committed(&self, partition: Partition) -> Option<Offset> {
        self.commit_of(partition).map(|commit| commit.offset)
    }

    fn commit_of(&self, partition: Partition) -> Option<PartitionCommit> {
        let answer = self.broker.offsets(GROUP).committed(&[partition], Duration::ZERO);
        let Committed { offset, metadata } = answer.ok()?.into_iter().next()?;
        Some(PartitionCommit { partition, offset: offset?, metadata })
    }

    fn newest_at_rest(&self, partition: Partition) -> Option<Offset> {
        let place = self.pipeline().place(partition);
        let shelf = lock(&self.shelf);
        shelf.list(partition).into_iter().find(|offset| {
            let bytes = shelf.at_rest(partition, *offset).expect("it was just listed");
            snapshot::decode(&place, *offset, bytes).is_ok()
        })
    }

    /// Ends all processes, and lets their sessions and transactions time out.
    fn bury_everybody(self: &Arc<Self>) {
        for who in self.everybody() {
            self.bury(who);
        }
        self.state().vacancies.clear();
        let wait = self.plan.session_timeout_ms.max(self.plan.transaction_timeout_ms);
        self.pass(wait + 1);
        while self.broker.late_requests() > 0 {
            self.deliver_late();
        }
    }

    fn until_refused(self: &Arc<Self>, lost: &[Partition]) {
        for _ in 0..REFUSED_WITHIN {
            self.pass(STEP_MS);
            self.everybody().into_iter().for_each(|who| self.give_turn(who));
            let (statuses, _) = self.statuses();
            let is_refused = |partition: &Partition| {
                statuses.iter().any(|it| it.partition == *partition && it.phase == "refused")
            };
            if lost.iter().all(is_refused) || self.state().violation.is_some() {
                return;
            }
        }
        self.violate(|| format!("the partitions {lost:?} should be refused, and are not"));
    }

    /// What `snapshot adopt` does: derives the outputs behind the newest snapshot again, compares,
    /// and commits where the partition goes on.
    fn adopt(self: &Arc<Self>, partition: Partition) {
        let Some(at) = self.newest_at_rest(partition) else { return };
        let place = self.pipeline().place(partition);
        let decoded = {
            let shelf = lock(&self.shelf);
            let bytes = shelf.at_rest(partition, at).expect("it was just found");
            snapshot::decode(&place, at, bytes)
        };
        let Ok((header, ledger)) = decoded else { return };
        let engine = self.pipeline().engine_from(partition, &header, ledger);
        let mut adoption = Adoption::new(partition, engine, self.written_behind(partition, at));
        let until = adoption.until();
        self.broker.read(Topic::Input, partition, at, Isolation::ReadCommitted, &mut |record| {
            if record.offset < until {
                adoption.replay(std::slice::from_ref(record));
            }
        });
        match adoption.finish(RulesHash::of(&self.plan.rules), at) {
            Ok(commit) => {
                let (snapshot, committed) = (at.0, commit.offset.0);
                self.note(WORLD, Event::Adopted { partition, snapshot, committed });
                self.commit_by_hand(commit);
            }
            Err(why) => {
                self.violate(|| format!("partition {partition} cannot be adopted: {why}"));
            }
        }
    }

    fn written_behind(&self, partition: Partition, at: Offset) -> Written {
        let mut written = Written::default();
        for topic in wire::Topic::ALL {
            let place = Topic::Output(topic);
            let mut note = |record: &Record<'_>| {
                let (cause, code) = cause_and_code(topic, record);
                if cause >= at {
                    written.note(topic, code, record.key, record.value, cause);
                }
            };
            self.broker.read(place, partition, Offset(0), Isolation::ReadCommitted, &mut note);
        }
        written
    }

    /// As a member of the group that produces nothing, while no other is there.
    fn commit_by_hand(&self, commit: PartitionCommit) {
        let mut log = self.broker.member(GROUP, "by-hand");
        let undisturbed = "nothing goes wrong on the operator's calls";
        log.replace_producer(Duration::ZERO).expect(undisturbed);
        log.join().expect(undisturbed);
        log.poll(Duration::ZERO, &mut |_| {}).expect(undisturbed);
        log.begin().expect(undisturbed);
        let outcome = log.commit(&[commit]);
        if outcome != CommitOutcome::Committed {
            self.violate(|| format!("the operator's commit: {outcome:?}"));
        }
        self.expire(log.id().0);
    }
}

/// The same commit with another digest.
fn falsified(commit: &PartitionCommit) -> PartitionCommit {
    let metadata = commit.metadata.parse::<CommitMetadata>();
    let metadata = metadata.expect("only workers and adoptions commit, both with metadata");
    let digest = Digest::from_bits(!metadata.digest.to_bits());
    let metadata = CommitMetadata { digest, ..metadata }.to_string();
    PartitionCommit { metadata, ..*commit }
}

/// The input offset that an output names as its cause, and a dead letter's code.
fn cause_and_code(topic: wire::Topic, record: &Record<'_>) -> (Offset, Option<DeadLetter>) {
    let (mut cause, mut code) = (None, None);
    if topic == wire::Topic::DeadLetters {
        // The last of a name: ours stand behind the publisher's.
        record.headers.each(&mut |name, value| {
            let text = std::str::from_utf8(value.unwrap_or_default()).unwrap_or_default();
            match name {
                "__connect.errors.offset" => cause = text.parse().ok(),
                "__connect.errors.exception.class.name" => {
                    code = DeadLetter::ALL.into_iter().find(|known| known.code() == text);
                }
                _ => {}
            }
        });
    } else {
        let value = std::str::from_utf8(record.value.unwrap_or_default()).unwrap_or_default();
        let (_, rest) = value.split_once("\"offset\":").unwrap_or_default();
        cause = rest.split(|it: char| !it.is_ascii_digit()).next().and_then(|it| it.parse().ok());
    }
    (Offset(cause.expect("every output names its cause")), code)
}
