//! The `floodgate` binary on a real Kafka: what operators do to it and what happens to it.
//!
//! Not the port's conformance suite and not the simulator: here are the process, its files, its
//! exit codes, and a broker that was started from Maven jars. Most tests are judged by
//! `floodgate audit`. Invariant: the tests share one broker and nothing on it; where Kafka cannot
//! run they say so loudly, or fail if `FLOODGATE_REQUIRE_KAFKA=1`.

#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

mod answers;
mod audits;
mod boards;
mod brokers_away;
mod crashes;
mod dashboards;
mod drills;
mod groups;
mod guarded;
mod history;
mod orders;
mod recordings;
mod rehearsals;
mod served;
mod wrong;

use e2e::{process, stage};
