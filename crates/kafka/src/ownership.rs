//! Which partitions are this worker's, as the group told it.
//!
//! Not the group protocol: [`crate::member`] speaks that and reports here. Invariant: a revocation
//! is answered once, and only when every partition of it has been released.

use std::collections::BTreeMap;

use pipeline::log::Partition;

/// How the worker stands to a partition that the group believes to be its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It works on it.
    Working,
    /// It has released it without being asked, and shows it until the group takes it away.
    Refused,
    /// It has released it as it was asked to, or never took it up: it knows nothing of it.
    GivenUp,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Ownership {
    partitions: BTreeMap<Partition, Standing>,
    /// The revocation that waits for its answer.
    asked_back: Option<Vec<Partition>>,
    leaving: bool,
}

impl Ownership {
    /// Whether the worker may read and commit the partition.
    pub(crate) fn works_on(&self, partition: Partition) -> bool {
        self.partitions.get(&partition) == Some(&Standing::Working)
    }

    /// Whether it has nothing, and nobody waits for it to give anything back.
    pub(crate) fn is_idle(&self) -> bool {
        self.partitions.is_empty() && self.asked_back.is_none() && !self.leaving
    }

    /// Whether the group waits for partitions to be released.
    pub(crate) fn owes_answer(&self) -> bool {
        self.asked_back.is_some()
    }

    /// The group gave these; those which the worker is to be told of.
    pub(crate) fn assign(&mut self, partitions: &[Partition]) -> Vec<Partition> {
        // A worker that is leaving gives them back when it has left.
        let standing = if self.leaving { Standing::GivenUp } else { Standing::Working };
        self.partitions.extend(partitions.iter().map(|partition| (*partition, standing)));
        self.worked_on(partitions)
    }

    /// The group asks for these back; those which the worker is to be told of.
    pub(crate) fn revoke(&mut self, partitions: &[Partition]) -> Vec<Partition> {
        self.asked_back = Some(partitions.to_vec());
        // While leaving the worker has been told already.
        if self.leaving { Vec::new() } else { self.worked_on(partitions) }
    }

    /// Of these, which the group takes away, those that the worker refused: it is told of their loss,
    /// and then knows nothing of them any more.
    pub(crate) fn take_refused(&mut self, partitions: &[Partition]) -> Vec<Partition> {
        let refused = self.standing(partitions, |standing| standing == Standing::Refused);
        self.give_up(&refused);
        refused
    }

    /// The group gave these to a worker that is not its member any more.
    pub(crate) fn turn_away(&mut self, partitions: &[Partition]) {
        self.partitions.extend(partitions.iter().map(|partition| (*partition, Standing::GivenUp)));
    }

    /// The group took these away; those which the worker is to be told of.
    pub(crate) fn lose(&mut self, partitions: &[Partition]) -> Vec<Partition> {
        let lost = self.known(partitions);
        self.partitions.retain(|partition, _| !partitions.contains(partition));
        lost
    }

    /// The membership itself is gone, so nothing is the worker's any more; those which it is to be
    /// told of. The group has yet to be answered for all of them.
    pub(crate) fn lose_all(&mut self) -> Vec<Partition> {
        let all: Vec<Partition> = self.partitions.keys().copied().collect();
        let lost = self.known(&all);
        self.give_up(&all);
        lost
    }

    /// The membership is gone, and with it whatever the group waits for; those which the worker is to
    /// be told of. Only its wish to leave stays.
    pub(crate) fn start_over(&mut self) -> Vec<Partition> {
        let lost = self.lose_all();
        *self = Ownership { leaving: self.leaving, ..Ownership::default() };
        lost
    }

    /// The worker gives partitions up.
    pub(crate) fn release(&mut self, partitions: &[Partition]) {
        let asked_back = self.asked_back.as_deref().unwrap_or_default();
        for partition in partitions {
            if let Some(standing) = self.partitions.get_mut(partition) {
                let asked = self.leaving || asked_back.contains(partition);
                *standing = if asked { Standing::GivenUp } else { Standing::Refused };
            }
        }
    }

    fn give_up(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            if let Some(standing) = self.partitions.get_mut(partition) {
                *standing = Standing::GivenUp;
            }
        }
    }

    /// The revocation that can be answered now, since all of it is released. It counts as answered.
    pub(crate) fn take_answer(&mut self) -> Option<Vec<Partition>> {
        let asked_back = self.asked_back.take_if(|asked_back| {
            asked_back
                .iter()
                .all(|partition| self.partitions.get(partition) != Some(&Standing::Working))
        })?;
        self.partitions.retain(|partition, _| !asked_back.contains(partition));
        Some(asked_back)
    }

    /// The worker wants to leave: those which it is to be told of as revoked.
    pub(crate) fn leave(&mut self) -> Vec<Partition> {
        if self.leaving {
            return Vec::new();
        }
        self.leaving = true;
        let asked_back = self.asked_back.as_deref().unwrap_or_default();
        let told = |partition: &Partition| asked_back.contains(partition);
        let all = self.partitions.keys().copied().filter(|partition| !told(partition));
        self.worked_on(&all.collect::<Vec<_>>())
    }

    /// Whether the worker wants to leave and has released everything.
    pub(crate) fn can_leave(&self) -> bool {
        self.leaving && self.partitions.values().all(|standing| *standing != Standing::Working)
    }

    fn worked_on(&self, partitions: &[Partition]) -> Vec<Partition> {
        self.standing(partitions, |standing| standing == Standing::Working)
    }

    /// Those of which the worker knows.
    fn known(&self, partitions: &[Partition]) -> Vec<Partition> {
        self.standing(partitions, |standing| standing != Standing::GivenUp)
    }

    fn standing(&self, partitions: &[Partition], is_it: fn(Standing) -> bool) -> Vec<Partition> {
        let found =
            |partition: &Partition| self.partitions.get(partition).copied().is_some_and(is_it);
        partitions.iter().copied().filter(found).collect()
    }
}

#[cfg(test)]
mod ownership_tests {
    use super::*;

    fn owning(partitions: &[Partition]) -> Ownership {
        let mut ownership = Ownership::default();
        assert_eq!(ownership.assign(partitions), partitions);
        ownership
    }

    #[test]
    fn a_revocation_is_answered_when_its_last_partition_is_released() {
        let mut ownership = owning(&[0, 1, 2]);
        assert_eq!(ownership.revoke(&[0, 2]), [0, 2]);
        assert_eq!(ownership.take_answer(), None);
        ownership.release(&[0]);
        assert_eq!(ownership.take_answer(), None);
        assert!(ownership.works_on(2) && !ownership.works_on(0));
        ownership.release(&[2]);
        assert_eq!(ownership.take_answer(), Some(vec![0, 2]));
        assert_eq!(ownership.take_answer(), None);
        assert!(ownership.works_on(1));
    }

    #[test]
    fn a_refused_partition_stays_the_groups_and_is_given_back_without_asking() {
        let mut ownership = owning(&[0, 1]);
        ownership.release(&[0]);
        assert_eq!(ownership.take_answer(), None);
        assert!(ownership.revoke(&[0]).is_empty());
        assert_eq!(ownership.take_answer(), Some(vec![0]));
    }

    #[test]
    fn who_starts_over_has_nothing_and_owes_nothing_and_leaves_as_it_wanted_to() {
        let mut ownership = owning(&[0, 1]);
        ownership.revoke(&[1]);
        assert_eq!(ownership.start_over(), [0, 1]);
        assert!(!ownership.owes_answer() && !ownership.works_on(0) && !ownership.can_leave());
        ownership.assign(&[0]);
        assert_eq!(ownership.leave(), [0]);
        assert_eq!(ownership.start_over(), [0]);
        assert!(ownership.can_leave());
    }

    #[test]
    fn the_loss_of_a_refused_partition_is_told_once_however_it_comes_about() {
        let refusing = || {
            let mut ownership = owning(&[0, 1]);
            ownership.release(&[0]);
            ownership
        };
        let mut ownership = refusing();
        assert!(ownership.revoke(&[0, 1]).eq(&[1]));
        assert_eq!(ownership.take_refused(&[0, 1]), [0]);
        assert!(ownership.take_refused(&[0, 1]).is_empty());
        // What was asked for is not refused, and its release not a loss.
        ownership.release(&[1]);
        assert!(ownership.take_refused(&[0, 1]).is_empty());
        assert_eq!(refusing().lose(&[0]), [0]);
        let mut ownership = refusing();
        assert_eq!(ownership.lose_all(), [0, 1]);
        assert!(ownership.lose(&[0, 1]).is_empty());
    }

    #[test]
    fn a_lost_partition_is_owed_nothing() {
        let mut ownership = owning(&[0, 1]);
        assert_eq!(ownership.lose(&[0, 1]), [0, 1]);
        assert!(!ownership.works_on(0) && !ownership.owes_answer());
    }

    #[test]
    fn a_membership_lost_in_a_revocation_answers_it() {
        let mut ownership = owning(&[0, 1]);
        ownership.revoke(&[1]);
        assert_eq!(ownership.lose_all(), [0, 1]);
        assert_eq!(ownership.take_answer(), Some(vec![1]));
        assert!(ownership.lose(&[0]).is_empty());
    }

    #[test]
    fn leaving_tells_once_and_takes_nothing_new() {
        let mut ownership = owning(&[0, 1, 2]);
        ownership.revoke(&[1]);
        assert_eq!(ownership.leave(), [0, 2]);
        assert!(ownership.leave().is_empty());
        assert!(ownership.assign(&[3]).is_empty());
        assert!(!ownership.can_leave());
        ownership.release(&[0, 1, 2]);
        assert!(ownership.can_leave());
        assert_eq!(ownership.take_answer(), Some(vec![1]));
        assert!(ownership.revoke(&[0, 2, 3]).is_empty());
        assert_eq!(ownership.take_answer(), Some(vec![0, 2, 3]));
    }
}
