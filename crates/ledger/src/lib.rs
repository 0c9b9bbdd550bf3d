//! The order state machine of one input partition: commands in, effects out.
//!
//! It knows orders, stock, money and log time; it knows neither bytes nor Kafka, neither a wall
//! clock nor threads. Invariant: the same records and the same rules give the same effects.
//!
//! Where to look: `ledger` is the machine's frame (clock, sweep, snapshot), `orders` and `goods` carry
//! the commands out. They keep their state in `catalogue` (merchants, SKUs), `places`, `stockroom`
//! (which cell is whose), `buyers` (limits), `holds` and `expiry`, `memory` (what was seen) and `gmv`
//! (`joint`, `tally`). All of these are made of `paged` vectors and the one kind of hash `index`;
//! `export` says in plain terms what they know.
#![forbid(unsafe_code)]

mod allocation;
mod buyers;
mod catalogue;
pub mod command;
pub mod counters;
pub mod effect;
mod expiry;
pub mod export;
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

pub use ledger::{Cadence, Ledger, LogRecord, Notice};
pub use snapshot::{Frozen, RestoreError, STATE_VERSION, Section, SectionId, SectionSource};
