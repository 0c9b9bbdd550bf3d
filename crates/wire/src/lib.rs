//! Between the bytes of the wire contract and the types of the state machine.
//!
//! Records in: [`Decoder`] checks a record by sections 1 to 3 of the contract and gives a command or
//! a named refusal. Effects out: [`Encoder`] writes them, dead letters and counters by sections 5
//! and 6 into [`Outputs`]. It knows no Kafka client, no clock and no state, and it decides nothing
//! that depends on an earlier record. Invariant: the same record gives the same command, and the
//! same effect the same bytes, on every machine.
#![forbid(unsafe_code)]

mod commands;
pub mod decode;
pub mod encode;
mod fields;
mod json;
mod layout;
pub mod outputs;
pub mod partition;
pub mod record;
pub mod refused;
mod template;
mod words;

pub use decode::{Decoder, Route, Scratch};
pub use encode::Encoder;
pub use outputs::{Output, Outputs, Topic};
pub use record::{Headers, NoHeaders, Record};
pub use refused::{Refused, Why};
