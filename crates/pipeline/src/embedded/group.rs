//! A consumer group: who owns which input partition, and what is committed for it.
//!
//! What members see is Kafka's cooperative rebalancing (KIP-429): a partition that moves is first
//! asked back from its owner, who keeps it until it gives it up, and only then handed to the next.
//! Not modelled: the rounds of joining in which Kafka's members agree on that; a group here is in a
//! new generation as soon as somebody joins or goes, and being a member is being in the present
//! generation. Invariant: a partition has at most one owner.

use std::collections::{BTreeMap, VecDeque};

use ledger::units::Offset;

use super::MemberId;
use crate::log::{Committed, Partition, PartitionCommit};

/// Bytes of metadata that a commit may have (`offset.metadata.max.bytes`).
const METADATA_BYTES_MAX: usize = 4_096;

/// What a member is told of, in this order, when it polls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GroupEvent {
    Assigned(Vec<Partition>),
    Revoked(Vec<Partition>),
}

/// Why a group takes no offsets from somebody (KIP-447).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotAccepted {
    /// Kafka's UNKNOWN_MEMBER_ID and ILLEGAL_GENERATION.
    #[error("the member is not in the group's present generation")]
    NotAMember,
    /// Kafka finds this out by the generation that a request carries: a partition changes hands
    /// only in a new one. Generations have no numbers here, so the owner is looked at.
    #[error("partition {0} is not the member's")]
    NotItsOwner(Partition),
    /// Kafka's OFFSET_METADATA_TOO_LARGE.
    #[error("the metadata of partition {0} has more than {METADATA_BYTES_MAX} bytes")]
    MetadataTooLong(Partition),
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Group {
    members: BTreeMap<MemberId, Member>,
    slots: Vec<Slot>,
    /// What transactions that are still open would commit, by transactional id (Kafka's pending
    /// transactional offset commits).
    pending: BTreeMap<String, Vec<PartitionCommit>>,
}

#[derive(Debug)]
struct Member {
    last_heard_of: i64,
    leaving: bool,
    events: VecDeque<GroupEvent>,
}

/// One partition in the group's eyes.
#[derive(Debug, Clone, Default)]
struct Slot {
    owner: Option<MemberId>,
    /// Who is to have it.
    target: Option<MemberId>,
    /// Whether it is being asked back from the owner.
    revoking: bool,
    committed: Option<(Offset, String)>,
}

impl Group {
    pub(super) fn new(partitions: u32) -> Group {
        Group {
            members: BTreeMap::new(),
            slots: vec![Slot::default(); partitions as usize],
            pending: BTreeMap::new(),
        }
    }

    pub(super) fn contains(&self, member: MemberId) -> bool {
        self.members.contains_key(&member)
    }

    /// Takes a member in; of one that is in already nothing changes.
    pub(super) fn join(&mut self, id: MemberId, now: i64) {
        if !self.contains(id) {
            let member = Member { last_heard_of: now, leaving: false, events: VecDeque::new() };
            self.members.insert(id, member);
            self.rebalance();
        }
    }

    /// Notes that a member is alive and takes what it has to be told.
    pub(super) fn heartbeat(&mut self, id: MemberId, now: i64) -> VecDeque<GroupEvent> {
        self.members.get_mut(&id).map_or_else(VecDeque::new, |member| {
            member.last_heard_of = now;
            std::mem::take(&mut member.events)
        })
    }

    /// Asks everything back from a member and lets it go once it owns nothing more.
    pub(super) fn leave(&mut self, id: MemberId) {
        if let Some(member) = self.members.get_mut(&id) {
            member.leaving = true;
            self.rebalance();
        }
    }

    /// A member gives up what it was asked for. What it does not own (any more) is passed over.
    pub(super) fn release(&mut self, id: MemberId, partitions: &[Partition]) {
        for &partition in partitions {
            if let Some(slot) = self.slots.get_mut(partition as usize)
                && slot.owner == Some(id)
                && slot.revoking
            {
                slot.give_up();
            }
        }
        self.reconcile();
    }

    /// Takes a member out without asking it: its session expired. It learns of it at its next poll.
    pub(super) fn expire(&mut self, id: MemberId) {
        if self.members.remove(&id).is_some() {
            for slot in &mut self.slots {
                if slot.owner == Some(id) {
                    slot.give_up();
                }
            }
            self.rebalance();
        }
    }

    /// Expires every session of which nothing was heard for longer than `timeout_ms`.
    pub(super) fn expire_silent(&mut self, now: i64, timeout_ms: u64) {
        let is_silent = |member: &Member| {
            u64::try_from(now.saturating_sub(member.last_heard_of)).is_ok_and(|ms| ms > timeout_ms)
        };
        let silent: Vec<MemberId> = self
            .members
            .iter()
            .filter(|(_, member)| is_silent(member))
            .map(|(&id, _)| id)
            .collect();
        for id in silent {
            self.expire(id);
        }
    }

    /// Spreads the partitions evenly over the members that stay, moving as few as possible (the
    /// sticky part of Kafka's cooperative-sticky assignor).
    fn rebalance(&mut self) {
        let mut quotas = self.quotas();
        for slot in &mut self.slots {
            slot.target = slot.target.filter(|target| take_one(&mut quotas, *target));
        }
        let mut vacancies =
            quotas.into_iter().flat_map(|(member, left)| std::iter::repeat_n(member, left));
        for slot in &mut self.slots {
            slot.target = slot.target.or_else(|| vacancies.next());
        }
        self.reconcile();
    }

    /// How many partitions each member is to have. Who has more today is the first to keep one more.
    fn quotas(&self) -> Vec<(MemberId, usize)> {
        let has = |id| self.slots.iter().filter(|slot| slot.target == Some(id)).count();
        let mut staying: Vec<MemberId> =
            self.members.iter().filter(|(_, member)| !member.leaving).map(|(&id, _)| id).collect();
        staying.sort_by_key(|&id| (std::cmp::Reverse(has(id)), id));
        let count = staying.len().max(1);
        let (each, more) = (self.slots.len() / count, self.slots.len() % count);
        staying
            .into_iter()
            .enumerate()
            .map(|(rank, id)| (id, each + usize::from(rank < more)))
            .collect()
    }

    /// Asks back what is to move, and hands on what is free.
    fn reconcile(&mut self) {
        let mut revoked: BTreeMap<MemberId, Vec<Partition>> = BTreeMap::new();
        let mut assigned: BTreeMap<MemberId, Vec<Partition>> = BTreeMap::new();
        for (partition, slot) in (0..).zip(&mut self.slots) {
            if let Some(owner) = slot.owner
                && slot.target != Some(owner)
                && !slot.revoking
            {
                revoked.entry(owner).or_default().push(partition);
                slot.revoking = true;
            }
            if let (None, Some(target)) = (slot.owner, slot.target) {
                assigned.entry(target).or_default().push(partition);
                slot.owner = Some(target);
            }
        }
        for (id, partitions) in revoked {
            self.tell(id, GroupEvent::Revoked(partitions));
        }
        for (id, partitions) in assigned {
            self.tell(id, GroupEvent::Assigned(partitions));
        }
        self.dismiss_leavers();
    }

    fn tell(&mut self, id: MemberId, event: GroupEvent) {
        let member = self.members.get_mut(&id).expect("owners and targets are members");
        member.events.push_back(event);
    }

    /// Lets go who is leaving and owns nothing.
    fn dismiss_leavers(&mut self) {
        let slots = &self.slots;
        let owns = |id| slots.iter().any(|slot| slot.owner == Some(id));
        self.members.retain(|&id, member| !member.leaving || owns(id));
    }

    /// Takes offsets into an open transaction, if they come from whom they may (KIP-447). They
    /// count when it is committed.
    pub(super) fn add_pending(
        &mut self,
        member: MemberId,
        transactional_id: &str,
        commits: &[PartitionCommit],
    ) -> Result<(), NotAccepted> {
        if !self.contains(member) {
            return Err(NotAccepted::NotAMember);
        }
        for commit in commits {
            let slot = self.slots.get(commit.partition as usize);
            if slot.and_then(|slot| slot.owner) != Some(member) {
                return Err(NotAccepted::NotItsOwner(commit.partition));
            }
            if commit.metadata.len() > METADATA_BYTES_MAX {
                return Err(NotAccepted::MetadataTooLong(commit.partition));
            }
        }
        let pending = self.pending.entry(transactional_id.to_owned()).or_default();
        pending.extend_from_slice(commits);
        Ok(())
    }

    /// A transaction is decided: its offsets take effect, or are dropped.
    pub(super) fn end_transaction(&mut self, transactional_id: &str, committed: bool) {
        let pending = self.pending.remove(transactional_id).unwrap_or_default();
        for commit in pending.into_iter().filter(|_| committed) {
            self.slots[commit.partition as usize].committed =
                Some((commit.offset, commit.metadata));
        }
    }

    /// The committed offset, or none while an open transaction may still move it (what Kafka calls
    /// UNSTABLE_OFFSET_COMMIT, asked for by `require_stable`).
    pub(super) fn stable_offset(&self, partition: Partition) -> Option<Committed> {
        let is_pending = |commit: &PartitionCommit| commit.partition == partition;
        if self.pending.values().flatten().any(is_pending) {
            return None;
        }
        Some(match self.slots.get(partition as usize)?.committed.clone() {
            Some((offset, metadata)) => Committed { offset: Some(offset), metadata },
            None => Committed { offset: None, metadata: String::new() },
        })
    }

    /// Forgets what is committed for a partition, as after `offsets.retention.minutes`.
    pub(super) fn forget_offset(&mut self, partition: Partition) {
        self.slots[partition as usize].committed = None;
    }

    /// Whose each partition is.
    pub(super) fn owners(&self) -> Vec<Option<MemberId>> {
        self.slots.iter().map(|slot| slot.owner).collect()
    }
}

impl Slot {
    fn give_up(&mut self) {
        self.owner = None;
        self.revoking = false;
    }
}

/// Takes one off a member's quota, if it has one left.
fn take_one(quotas: &mut [(MemberId, usize)], id: MemberId) -> bool {
    let left = quotas.iter_mut().find(|(member, left)| *member == id && *left > 0);
    left.map(|(_, left)| *left -= 1).is_some()
}
