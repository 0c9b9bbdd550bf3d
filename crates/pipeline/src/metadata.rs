//! What a commit keeps beside the offset: enough for the next owner to know whether its replay
//! ended where this owner stood.
//!
//! Text of the form `floodgate/1 state=1 rules=<16 hex> digest=<32 hex> snapshot=<offset or ->`.
//! Invariant: whatever does not parse is not ours, and a partition with it is never continued.

use std::fmt;
use std::str::FromStr;

use ledger::rules::{Partitioner, Rules};
use ledger::units::Offset;
use xxhash_rust::xxh3::xxh3_64;

use crate::digest::Digest;

const PREFIX: &str = "floodgate/1";

/// A commit's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitMetadata {
    /// Version of the state machine that decided up to this commit.
    pub state_version: u32,
    /// Hash of the rules under which it did.
    pub rules: RulesHash,
    /// Digest of everything written up to this commit.
    pub digest: Digest,
    /// Offset of the newest snapshot, if there is one.
    pub snapshot: Option<Offset>,
}

/// XXH3-64 of [`rules_text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RulesHash(pub u64);

impl RulesHash {
    /// The hash of these rules.
    pub fn of(rules: &Rules) -> RulesHash {
        RulesHash(xxh3_64(rules_text(rules).as_bytes()))
    }
}

impl fmt::Display for RulesHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// The rules in one line, as an operator would compare them; also what is hashed.
pub fn rules_text(rules: &Rules) -> String {
    let partitioner = match rules.partitioner {
        Partitioner::Murmur2 => "murmur2",
        Partitioner::Any => "any",
    };
    format!(
        "order_window_ms={} receipt_window_ms={} skew_ms={} hold_ttl_ms={} day_offset_ms={} \
         partitioner={partitioner} partitions={}",
        rules.order_window_ms,
        rules.receipt_window_ms,
        rules.skew_ms,
        rules.hold_ttl_ms,
        rules.day_offset_ms,
        rules.partitions,
    )
}

/// The rules with this hash, if they can be found: each setting as in one of `known`, or all of them
/// as in the first, with fewer partitions. What has the hash of the rules is the rules.
pub fn rules_with_hash(hash: RulesHash, known: &[Rules]) -> Option<Rules> {
    type Take = fn(&mut Rules, &Rules);
    let settings: [Take; 7] = [
        |rules, from| rules.order_window_ms = from.order_window_ms,
        |rules, from| rules.receipt_window_ms = from.receipt_window_ms,
        |rules, from| rules.skew_ms = from.skew_ms,
        |rules, from| rules.hold_ttl_ms = from.hold_ttl_ms,
        |rules, from| rules.day_offset_ms = from.day_offset_ms,
        |rules, from| rules.partitioner = from.partitioner,
        |rules, from| rules.partitions = from.partitions,
    ];
    let first = *known.first()?;
    let mut mixed = vec![first];
    for take in settings {
        let others = |rules: Rules| {
            known.iter().map(move |from| {
                let mut other = rules;
                take(&mut other, from);
                other
            })
        };
        mixed = mixed.into_iter().flat_map(others).collect();
    }
    let fewer = (1..first.partitions).map(|partitions| Rules { partitions, ..first });
    mixed.into_iter().chain(fewer).find(|rules| RulesHash::of(rules) == hash)
}

impl fmt::Display for CommitMetadata {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CommitMetadata { state_version, rules, digest, snapshot } = self;
        write!(
            formatter,
            "{PREFIX} state={state_version} rules={rules} digest={digest} snapshot="
        )?;
        match snapshot {
            Some(Offset(offset)) => write!(formatter, "{offset}"),
            None => formatter.write_str("-"),
        }
    }
}

/// The text is not metadata of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not commit metadata of this format: {0:?}")]
pub struct NotOurs(pub String);

impl FromStr for CommitMetadata {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<CommitMetadata, NotOurs> {
        parse(text).ok_or_else(|| NotOurs(text.chars().take(200).collect()))
    }
}

fn parse(text: &str) -> Option<CommitMetadata> {
    let mut words = text.split(' ');
    if words.next()? != PREFIX {
        return None;
    }
    let state_version = words.next()?.strip_prefix("state=")?.parse().ok()?;
    let rules = u64::from_str_radix(words.next()?.strip_prefix("rules=")?, 16).ok()?;
    let digest = words.next()?.strip_prefix("digest=")?.parse().ok()?;
    let snapshot = match words.next()?.strip_prefix("snapshot=")? {
        "-" => None,
        offset => Some(Offset(offset.parse().ok()?)),
    };
    let metadata = CommitMetadata { state_version, rules: RulesHash(rules), digest, snapshot };
    words.next().is_none().then_some(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_survives_its_text_form() {
        for snapshot in [None, Some(Offset(0)), Some(Offset(u64::MAX))] {
            let metadata = CommitMetadata {
                state_version: 7,
                rules: RulesHash::of(&Rules::default()),
                digest: Digest::from_bits(u128::MAX - 5),
                snapshot,
            };
            assert_eq!(metadata.to_string().parse(), Ok(metadata));
        }
    }

    #[test]
    fn foreign_metadata_is_not_taken_for_ours() {
        let ours = "floodgate/1 state=1 rules=00 digest=00 snapshot=-";
        assert!(ours.parse::<CommitMetadata>().is_ok());
        for text in [
            "",
            "1",
            "floodgate/2 state=1 rules=00 digest=00 snapshot=-",
            "floodgate/1 state=1 rules=00 digest=00",
            "floodgate/1 state=1 rules=00 digest=00 snapshot=- more",
            "floodgate/1 state=x rules=00 digest=00 snapshot=-",
        ] {
            assert!(text.parse::<CommitMetadata>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn rules_are_found_by_their_hash_where_each_setting_is_known() {
        let own = Rules { hold_ttl_ms: 5, skew_ms: 7, partitions: 8, ..Rules::default() };
        let known = [own, Rules::default()];
        let found = |rules: Rules| rules_with_hash(RulesHash::of(&rules), &known);
        for recorded in [
            own,
            Rules::default(),
            Rules { skew_ms: 60_000, ..own },
            Rules { hold_ttl_ms: 900_000, ..own },
            Rules { partitions: 3, ..own },
        ] {
            assert_eq!(found(recorded), Some(recorded));
        }
        assert_eq!(found(Rules { skew_ms: 8, ..own }), None);
    }

    #[test]
    fn every_rule_changes_the_hash() {
        let rules = Rules::default();
        let others = [
            Rules { order_window_ms: 1, ..rules },
            Rules { receipt_window_ms: 1, ..rules },
            Rules { skew_ms: 1, ..rules },
            Rules { hold_ttl_ms: 1, ..rules },
            Rules { day_offset_ms: 1, ..rules },
            Rules { partitioner: Partitioner::Any, ..rules },
            Rules { partitions: 2, ..rules },
        ];
        for other in others {
            assert_ne!(RulesHash::of(&rules), RulesHash::of(&other), "{other:?}");
        }
    }
}
