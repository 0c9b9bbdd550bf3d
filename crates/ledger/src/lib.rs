//! The order state machine of one input partition: commands in, effects out.
//!
//! It knows orders, stock, money and log time; it knows neither bytes nor Kafka, neither a wall
//! clock nor threads. Invariant: the same records and the same rules give the same effects.
#![forbid(unsafe_code)]

mod allocation;
mod buyers;
mod catalogue;
pub mod command;
pub mod counters;
pub mod effect;
mod expiry;
mod gmv;
mod goods;
mod hash;
mod holds;
mod index;
mod joint;
mod ledger;
mod memory;
mod orders;
mod packed_id;
mod paged;
mod places;
mod prefetch;
pub mod rules;
mod snapshot;
mod stockroom;
mod tally;
pub mod units;

pub use ledger::{Cadence, Ledger, Notice};
pub use snapshot::{Frozen, RestoreError, STATE_VERSION, Section, SectionId, SectionSource};
