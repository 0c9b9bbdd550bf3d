//! The plain model of the wire contract, and the audit that judges real output by it.
//!
//! This crate is the second opinion. It is written from `docs/contract.md` alone, in maps and
//! strings, with a JSON parser of its own, and it shares no code with the fast path: where the two
//! disagree, one of them has a defect. What it is not: fast, concurrent, or able to talk to Kafka.
//! Callers hand it records and take records, or a verdict, back.
//!
//! Where to look (the numbers are the contract's sections):
//!
//! | file | what |
//! |---|---|
//! | `json`, `decode`, `command`, `canonical` | 2 and 3: bytes to a command, or why not |
//! | `routing` | 1: which partition a key belongs to |
//! | `partition` | 4.1 and 4.2: clock, sweep, checks, and the way to the rules |
//! | `memory` | 4.3: which ids are remembered, and for how long |
//! | `orders` | 4.3, 4.4, 4.6, 4.7, 4.8: orders, payments, cancellations, refunds |
//! | `allocation` | 4.5: which location serves what |
//! | `merchant` | 4.5, 4.9, 4.10, 4.11: stock cells, catalogue, buyer counts |
//! | `output` | 5: outputs as bytes |
//! | `counters`, `day` | 6: the GMV counters |
//! | `state` | what a partition has to be told to go on from the middle of its life |
//! | `audit`, `matching`, `lookahead`, `oversold`, `miscounted`, `verdict` | the judge |

mod allocation;
mod audit;
mod canonical;
mod command;
mod counters;
mod day;
mod decode;
mod json;
mod lookahead;
mod matching;
mod memory;
mod merchant;
mod miscounted;
mod orders;
mod output;
mod oversold;
mod partition;
mod record;
mod routing;
mod rules;
mod state;
mod verdict;

#[cfg(test)]
mod audit_from_tests;
#[cfg(test)]
mod audit_tests;
#[cfg(test)]
mod decode_tests;
#[cfg(test)]
mod example_tests;
#[cfg(test)]
mod output_tests;
#[cfg(test)]
mod rule_tests;
#[cfg(test)]
mod text_log;

pub use audit::{AuditError, PartitionLog, audit_partition, audit_partition_from};
pub use canonical::canonical;
pub use counters::{Counter, CounterKey, Counters, Dimension, Figures};
pub use day::Day;
pub use orders::Ending;
pub use partition::PlainPartition;
pub use record::{Headers, InputRecord, Output, OutputRecord, Topic};
pub use rules::{Partitioner, Rules};
pub use state::{Fact, IdSpace, OpenHold, OpenLine, OpenPresale};
pub use verdict::{AuditReport, FINDINGS_MAX, PartitionVerdict, Verdict};
