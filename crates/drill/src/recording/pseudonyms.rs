//! Other names for buyers and orders, so that a recording can leave the place where these are known.
//!
//! Not anonymity: merchants, goods, sums, regions and times stay, and who knows one order by them finds
//! its buyer's others. Invariant: who has one name has one pseudonym and no two have the same, as far as
//! numbers of buyers go by construction; without the key none can be traced back. Nothing is kept that
//! the contract gives no meaning to, since nobody can know what it says.

use serde::{Deserialize, Serialize};
use wire::decode::VALUE_BYTES_MAX;

use super::chunk::Record;
use super::rewrite::{Checker, IdSpace, Kind, Rewriting, rewrite};
use super::siphash::{Key, siphash};

/// What was left out of a pseudonymised recording.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withheld {
    /// Values that were no commands: others stand for them, which are refused for the same reason.
    pub values: u64,
    /// Keys other than a merchant's number before a command.
    pub keys: u64,
    /// Records whose headers were left out.
    pub headers: u64,
}

/// See the module's documentation.
pub struct Pseudonyms {
    key: Key,
    checker: Checker,
    withheld: Withheld,
}

impl std::fmt::Debug for Pseudonyms {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pseudonyms").finish_non_exhaustive()
    }
}

impl Pseudonyms {
    /// Fewest bytes of a secret.
    pub const SECRET_BYTES_MIN: usize = 16;

    /// Pseudonyms by this secret, of which at least 16 bytes should be random. Recordings made with the
    /// same one have the same pseudonyms.
    #[must_use]
    pub fn new(secret: &[u8]) -> Pseudonyms {
        let key = Key(siphash(Key([0; 16]), secret).to_le_bytes());
        Pseudonyms { key, checker: Checker::new(), withheld: Withheld::default() }
    }

    /// What was withheld so far.
    #[must_use]
    pub fn withheld(&self) -> Withheld {
        self.withheld
    }

    /// The record as it may be recorded. It does to the pipeline what the original does, but for the names
    /// that its outputs give back.
    #[must_use]
    pub fn hide(&mut self, mut record: Record) -> Record {
        let kind = self.checker.kind_of(&record);
        self.withheld.headers += u64::from(!record.headers.is_empty());
        record.headers.clear();
        if !matches!(kind, Kind::Command { .. }) {
            self.withheld.keys += u64::from(record.key.is_some());
            record.key = None;
        }
        let Some(value) = record.value.take() else { return record };
        let rewritten = match kind {
            Kind::Command { .. } | Kind::Misrouted | Kind::Tick => rewrite(&value, self),
            Kind::Invalid | Kind::TooLarge => None,
        };
        record.value = Some(rewritten.unwrap_or_else(|| {
            self.withheld.values += 1;
            substitute(kind)
        }));
        record
    }

    /// The hash of a text in a space of its own.
    fn hash(&self, space: u8, text: &[u8]) -> u128 {
        siphash(self.key, &[&[space], text].concat())
    }
}

/// A value that is refused like the one that it stands for, and says nothing.
fn substitute(kind: Kind) -> Vec<u8> {
    match kind {
        Kind::TooLarge => vec![b' '; VALUE_BYTES_MAX + 1],
        _ => b"{}".to_vec(),
    }
}

impl Rewriting for Pseudonyms {
    const HIDES: bool = true;

    fn id(&self, space: IdSpace, id: &str) -> String {
        let space = match space {
            IdSpace::Order => 0,
            IdSpace::Payment => 1,
            IdSpace::Refund => 2,
            IdSpace::Receipt => 3,
        };
        format!("{:032x}", self.hash(space, id.as_bytes()))
    }

    /// A keyed permutation of all numbers (Luby and Rackoff 1988, four rounds): two buyers are never one,
    /// so that limits for each buyer keep their effect.
    fn buyer(&self, buyer: u64) -> Option<u64> {
        let (mut left, mut right) = ((buyer >> 32) as u32, buyer as u32);
        for round in 4..8 {
            let mixed = self.hash(round, &right.to_le_bytes()) as u32;
            (left, right) = (right, left ^ mixed);
        }
        Some(u64::from(left) << 32 | u64::from(right))
    }

    fn time_ms(&self, time_ms: u64) -> u64 {
        time_ms
    }
}
