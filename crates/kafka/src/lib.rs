//! The log port of `pipeline` on a real Kafka cluster, and the topics it needs.
//!
//! Not a general Kafka client: [`KafkaLog`] is one member of one consumer group with one
//! transactional producer, [`KafkaOffsets`] answers the questions that may take their time, and
//! [`admin`] creates and checks the topics. It knows partitions, offsets and bytes, no orders.
//!
//! A worker has three clients of librdkafka: a group member that never fetches, a fetcher that
//! belongs to no group, and the producer, which a thread of its own calls. Membership and reading are
//! apart so that a partition can be started and stopped at will without touching the group protocol,
//! in which every assignment and every revocation has to be answered exactly once.
//!
//! Invariant: nothing is committed for a partition after the group took it away, because every
//! commit carries the member and the generation under which the worker was last told what it owns.

mod absence;
pub mod admin;
pub mod answers;
mod batch;
mod bootstrap;
mod courier;
mod ends;
mod errors;
mod fetcher;
pub mod follower;
mod log;
mod logging;
mod member;
mod metadata;
mod offsets;
mod orphans;
mod ownership;
mod producer;
pub mod publisher;
pub mod reader;
mod settings;
pub mod span;
mod ticks;
mod wake;

/// Whether TLS and SCRAM are built in.
pub const HAS_TLS: bool = cfg!(feature = "tls");

pub use ends::End;
pub use log::KafkaLog;
pub use offsets::KafkaOffsets;
pub use settings::{Settings, SettingsError, TopicNames};
