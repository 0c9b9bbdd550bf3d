//! `floodgate drill`: a sale day is rehearsed, and judged on speed and correctness together.
//!
//! Only the wiring: traffic, load and report are the crate `drill`. Each command is in the file of its
//! name; a load from its catalogue to its last answer is in [`sale`], where it runs in [`ground`].

mod crew;
mod faults;
mod ground;
pub(crate) mod knee;
mod on_embedded;
mod on_kafka;
mod progress;
pub(crate) mod record;
pub(crate) mod rehearse;
pub(crate) mod replay;
pub(crate) mod report;
pub(crate) mod run;
mod sale;
mod scraper;
