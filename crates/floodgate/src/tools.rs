//! What the commands need that look at a pipeline from outside: its topics, its offsets, its
//! snapshots.
//!
//! Not a member of the group. Invariant: nothing is asked of the snapshot store before somebody needs
//! a snapshot.

use std::path::PathBuf;

use anyhow::Context;
use kafka::{KafkaOffsets, Settings};
use pipeline::opening::Pipeline;
use pipeline::store::{ObjectSnapshots, StoreError};

use crate::arguments::Connection;
use crate::configuration::Overrides;
use crate::connection;

/// See the module's documentation.
pub(crate) struct Tools {
    pub(crate) settings: Settings,
    pub(crate) offsets: KafkaOffsets,
    pub(crate) pipeline: Pipeline,
    pub(crate) partitions: u32,
    directory: PathBuf,
}

impl Tools {
    pub(crate) fn new(
        connection: &Connection,
        snapshots: Option<&PathBuf>,
    ) -> anyhow::Result<Tools> {
        let mut overrides = Overrides::default();
        overrides.set("snapshots.directory", snapshots);
        let configuration = connection::configuration_of_tool(connection, &mut overrides)?;
        let (settings, mut offsets) = connection::offsets(&configuration)?;
        let cluster = connection::cluster(&mut offsets).context("asking Kafka")?;
        let pipeline = Pipeline {
            cluster: cluster.id,
            group: configuration.group(),
            topic: settings.topics.orders.clone(),
            rules: configuration.rules(cluster.partitions),
        };
        let directory = configuration.snapshots.directory;
        Ok(Tools { settings, offsets, pipeline, partitions: cluster.partitions, directory })
    }

    /// Where the snapshots are.
    pub(crate) fn store(&self) -> Result<ObjectSnapshots, StoreError> {
        ObjectSnapshots::in_directory(&self.directory)
    }
}
