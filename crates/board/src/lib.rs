//! The live board: GMV counters added up, a page and a JSON API.
//!
//! It reads the topic `gmv` and nothing else, through a [`Source`]; of Kafka, of orders and of the
//! state machine it knows nothing. [`Totals`] is a pure fold of records, the keeper's thread alone
//! touches it, and whoever serves pages shares the unchangeable figures that it publishes.
//!
//! Invariant: what is shown adds up each partition's newest counters, all read with read_committed,
//! and the age of the newest is shown with it.
#![forbid(unsafe_code)]

mod access;
mod api;
mod assets;
mod bounds;
mod calendar;
mod compare;
mod counters;
pub mod exposition;
mod figures;
mod gate;
mod health;
mod keeper;
pub mod metrics;
mod milestones;
mod pace;
mod ranking;
mod record;
mod server;
mod shops;
mod source;
mod standstill;
mod stream;
mod totals;

pub use access::{Access, AccessError};
pub use calendar::{Day, NoDay};
pub use compare::{Compare, CompareError};
pub use counters::{AllCounters, Answers, Counters};
pub use figures::Clock;
pub use record::{CounterRecord, Split, Subject, Unreadable};
pub use server::{Board, Settings, serve};
pub use shops::{LocationCounters, Shop};
pub use source::{End, Looked, OnRecord, Source, SourceError};
pub use totals::Totals;
