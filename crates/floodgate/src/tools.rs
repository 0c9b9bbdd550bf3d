//! What the commands need that look at a pipeline from outside: its topics, its offsets, its
//! snapshots.
//!
//! Not a member of the group. Invariant: nothing is asked of the snapshot store before somebody needs
//! a snapshot.

use std::path::PathBuf;

use anyhow::Context;
use kafka::{KafkaOffsets, Settings};
use pipeline::opening::Pipeline;
use pipeline::store::ObjectSnapshots;

use crate::arguments::Connection;
use crate::configuration::{Configuration, Overrides};
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
        Tools::of(connection::configuration_of_tool(connection, &mut overrides)?)
    }

    /// The same for a command that has read its configuration.
    pub(crate) fn of(configuration: Configuration) -> anyhow::Result<Tools> {
        let (settings, mut offsets) = connection::offsets(&configuration)?;
        let cluster = connection::cluster(&mut offsets)
            .with_context(|| format!("asking Kafka at {}", settings.brokers))?;
        let pipeline = Pipeline {
            cluster: cluster.id,
            group: configuration.group(),
            topic: settings.topics.orders.clone(),
            rules: configuration.rules(cluster.partitions),
        };
        let directory = configuration.snapshots.directory;
        Ok(Tools { settings, offsets, pipeline, partitions: cluster.partitions, directory })
    }

    /// Where the snapshots are; a place that is not there is a mistake of whoever named it.
    pub(crate) fn store(&self) -> anyhow::Result<ObjectSnapshots> {
        ObjectSnapshots::existing_at(&self.directory).context("name settle's own with --snapshots")
    }
}
