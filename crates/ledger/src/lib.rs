//! The order state machine of one input partition: commands in, effects out.
//!
//! It knows orders, stock, money and log time; it knows neither bytes nor Kafka, neither a wall
//! clock nor threads. Invariant: the same records and the same rules give the same effects.
#![forbid(unsafe_code)]

pub mod command;
pub mod counters;
pub mod effect;
pub mod rules;
pub mod units;
