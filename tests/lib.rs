//! What end-to-end tests share: a real broker, a proxy before it, the binary as a child process, a
//! pipeline of one's own on the broker, and all of that under fire.
//!
//! No expectations of any one test. Invariant: whatever is started here ends with its owner, however
//! the owner ends.

pub mod fire;
pub mod guarded;
mod kafka_server;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod stage;
mod supervisor;

pub use kafka_server::{
    KAFKA_VERSION, KafkaServer, Options, Unavailable, free_port, shared, skip, start_or_skip,
};
