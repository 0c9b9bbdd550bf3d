//! The worker loop of a pipeline and everything it stands on: recovery, snapshots, the running
//! digest, and the ports for log, snapshot store and clock.
//!
//! It knows no Kafka client. Invariant: every effect of a record is committed together with the
//! record's offset, or not at all.
#![forbid(unsafe_code)]

pub mod adoption;
pub mod background;
pub mod clock;
pub mod digest;
pub mod embedded;
pub mod engine;
mod figures;
mod intake;
pub mod log;
pub mod metadata;
pub mod objects;
pub mod opening;
mod partition;
pub mod settings;
pub mod snapshot;
pub mod status;
pub mod stock_view;
pub mod store;
pub mod tally;
mod transaction;
pub mod worker;
