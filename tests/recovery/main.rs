//! The worker's recovery: the real worker on the embedded log, driven turn by turn by one thread.
//!
//! Each test is named for the failure that it prevents, and ends with the plain model's audit of
//! everything that readers of the topics see. Invariant: no test sleeps, looks at a wall clock or
//! draws by chance.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

mod crashes;
mod membership;
mod openings;
mod outcomes;
mod overlaps;
mod rhythm;
mod sale;
#[path = "../sides.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod sides;
mod snapshots;
mod world;
