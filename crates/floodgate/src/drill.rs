//! `floodgate drill`: a sale day is rehearsed, and judged on speed and correctness together.
//!
//! Only the wiring: traffic, load and report are the crate `drill`. Each command is in the file of its
//! name.

mod progress;
pub(crate) mod record;
pub(crate) mod replay;
pub(crate) mod report;
pub(crate) mod run;
