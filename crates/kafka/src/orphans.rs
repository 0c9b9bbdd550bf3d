//! Partitions that no member of the group has.
//!
//! A member that gives a partition back joins once more, so that the group can pass it on. One with a
//! name of its own (a static member, KIP-345) that is killed before that, and comes back under its name,
//! is given what it had kept without anybody else hearing of it, and what it gave back stays nobody's
//! until the group changes for another reason. Whoever it was meant for has nothing to do meanwhile, and
//! looks. Not the remedy: [`crate::member`] leaves and joins anew. Invariant: a partition counts as an
//! orphan only if the group was seen twice, in the same generation and at rest, without anybody having it;
//! seen once, it may be on its way.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pipeline::log::Partition;
use rdkafka::groups::GroupInfo;

use crate::metadata::Identity;

/// Pause between two looks: longer than most partitions are under way.
const LOOK_PAUSE: Duration = Duration::from_secs(5);
/// How brokers call a group that is not rebalancing.
const AT_REST: &str = "Stable";

/// What an idle member has seen so far.
#[derive(Debug)]
pub(crate) struct Orphans {
    looked_at: Instant,
    /// Under which identity there were some at the last look.
    seen_as: Option<Identity>,
}

impl Orphans {
    pub(crate) fn new() -> Orphans {
        Orphans { looked_at: Instant::now(), seen_as: None }
    }

    /// Whether it is time for another look.
    pub(crate) fn look_is_due(&self) -> bool {
        self.looked_at.elapsed() >= LOOK_PAUSE
    }

    /// Takes in a look under this identity that found some, or none; whether there were some at the last
    /// look already.
    pub(crate) fn note(&mut self, identity: Identity, found: bool) -> bool {
        self.looked_at = Instant::now();
        let identity = found.then_some(identity);
        let before = std::mem::replace(&mut self.seen_as, identity);
        before.is_some() && before == self.seen_as
    }
}

/// The first so many partitions of a topic without those that somebody in the group has; none while the
/// group is rebalancing, or where it is not understood.
pub(crate) fn orphans(group: &GroupInfo, topic: &str, partitions: u32) -> BTreeSet<Partition> {
    if group.state() != AT_REST {
        return BTreeSet::new();
    }
    let assignments = group.members().iter().map(|it| it.assignment().unwrap_or_default());
    unassigned(assignments, topic, partitions).unwrap_or_default()
}

/// The first so many partitions of a topic that are in no assignment; none if one cannot be read.
fn unassigned<'a>(
    assignments: impl Iterator<Item = &'a [u8]>,
    topic: &str,
    partitions: u32,
) -> Option<BTreeSet<Partition>> {
    let mut unassigned: BTreeSet<Partition> = (0..partitions).collect();
    for assignment in assignments {
        for partition in assigned(assignment, topic)? {
            unassigned.remove(&partition);
        }
    }
    Some(unassigned)
}

/// The partitions of a topic in a `ConsumerProtocolAssignment` of Kafka's protocol; none if it cannot be
/// read.
fn assigned(mut bytes: &[u8], topic: &str) -> Option<Vec<Partition>> {
    let rest = &mut bytes;
    let mut assigned = Vec::new();
    let _version = i16::from_be_bytes(take(rest)?);
    for _ in 0..i32::from_be_bytes(take(rest)?) {
        let len = usize::try_from(i16::from_be_bytes(take(rest)?)).ok()?;
        let name = rest.split_off(..len)?;
        for _ in 0..i32::from_be_bytes(take(rest)?) {
            let partition = Partition::try_from(i32::from_be_bytes(take(rest)?)).ok()?;
            if name == topic.as_bytes() {
                assigned.push(partition);
            }
        }
    }
    Some(assigned)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}

#[cfg(test)]
mod orphans_tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_topic_by_topic() {
        let bytes = b"\x00\x01\x00\x00\x00\x02\
            \x00\x05other\x00\x00\x00\x01\x00\x00\x00\x07\
            \x00\x06orders\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x01\x00\
            \xff\xff\xff\xff";
        assert_eq!(assigned(bytes, "orders"), Some(vec![3, 256]));
        assert_eq!(assigned(bytes, "other"), Some(vec![7]));
        assert_eq!(assigned(bytes, "order"), Some(vec![]));
        // The user data at the end is nobody's business; whatever lies before it has to be there.
        for len in 0..bytes.len() - 4 {
            assert_eq!(assigned(&bytes[..len], "orders"), None, "{len}");
        }
    }

    /// Or a standby would join anew time after time.
    #[test]
    fn what_somebody_has_is_no_orphan() {
        let of = |partitions: &[u8]| {
            let mut bytes = b"\x00\x01\x00\x00\x00\x01\x00\x06orders\x00\x00\x00".to_vec();
            bytes.push(partitions.len() as u8);
            partitions.iter().for_each(|partition| bytes.extend([0, 0, 0, *partition]));
            bytes
        };
        let orphans = |assignments: &[Vec<u8>]| {
            unassigned(assignments.iter().map(Vec::as_slice), "orders", 3)
        };
        assert_eq!(orphans(&[of(&[0, 2]), of(&[]), of(&[1])]), Some(BTreeSet::new()));
        assert_eq!(orphans(&[of(&[2]), of(&[])]), Some(BTreeSet::from([0, 1])));
        assert_eq!(orphans(&[of(&[2]), b"\x00".to_vec()]), None);
    }

    #[test]
    fn only_what_is_seen_twice_in_the_same_generation_is_an_orphan() {
        let identity = |generation| Identity { member: "me".to_owned(), generation };
        let mut orphans = Orphans::new();
        assert!(!orphans.note(identity(1), true), "it may be on its way");
        assert!(!orphans.note(identity(2), true), "the group has changed meanwhile");
        assert!(!orphans.note(identity(2), false));
        assert!(!orphans.note(identity(2), true));
        assert!(orphans.note(identity(2), true));
    }
}
