//! The port's questions to the log, on clients of their own.
//!
//! Not part of the group: its consumer has the group's id and never subscribes, so that it can ask
//! what is committed without disturbing anybody. Invariant: a committed offset is stable (no open
//! transaction can still change it), and the bounds of a partition count what is not committed yet.

use std::time::{Duration, Instant};

use ledger::units::Offset;
use pipeline::log::{Committed, InputBounds, LogError, Offsets, Partition, PartitionCommit};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use wire::Topic;

use crate::errors::{Rights, is_missing, log_error, unreachable};
use crate::logging::{Logging, serve};
use crate::reader::PartitionReader;
use crate::settings::Settings;

/// Longest wait for an answer about partitions, topics or the cluster, unless another one is asked
/// for.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);

/// See the module's documentation.
pub struct KafkaOffsets {
    settings: Settings,
    rights: Rights,
    answer_wait: Duration,
    committed: BaseConsumer<Logging>,
    watermarks: BaseConsumer<Logging>,
}

impl KafkaOffsets {
    /// Connects in the background; nothing is asked yet.
    pub fn new(settings: &Settings) -> Result<KafkaOffsets, LogError> {
        settings.check().map_err(|error| LogError::Fatal(error.to_string()))?;
        let failed = |error| log_error("making the client for offsets", &error);
        let client = |config: rdkafka::ClientConfig| {
            config.create_with_context(Logging::with_rights("offsets", settings)).map_err(failed)
        };
        Ok(KafkaOffsets {
            settings: settings.clone(),
            rights: Rights::of(settings),
            answer_wait: ANSWER_WAIT_MAX,
            committed: client(settings.committed())?,
            watermarks: client(settings.watermarks())?,
        })
    }

    /// The same, waiting at most so long for each answer. Who asks in short questions again and
    /// again can be stopped in between, and loses nothing: the connections stay.
    pub fn waiting_at_most(self, answer_wait: Duration) -> KafkaOffsets {
        KafkaOffsets { answer_wait, ..self }
    }

    /// First and next offset of a partition, records of open transactions included.
    fn bounds(&self, topic: &str, partition: Partition) -> Result<(u64, u64), LogError> {
        self.bounds_by(&self.watermarks, topic, partition)
    }

    fn bounds_by(
        &self,
        client: &BaseConsumer<Logging>,
        topic: &str,
        partition: Partition,
    ) -> Result<(u64, u64), LogError> {
        let bounds = client.fetch_watermarks(topic, native(partition)?, self.answer_wait);
        if bounds.as_ref().is_err_and(is_missing) {
            // So it is too for a client that has forgotten its brokers: it is reminded before it asks.
            serve(client);
            // Which is all that is said of a topic that may not be seen.
            let metadata = client.fetch_metadata(Some(topic), self.answer_wait);
            metadata.map_or(Ok(()), |found| refused(&self.rights, found.topics().first()))?;
        }
        let (low, high) = self.answer(client, topic, "asking for a partition's bounds", bounds)?;
        let offset = |offset: i64| {
            u64::try_from(offset)
                .map_err(|_| LogError::Retry(format!("{topic} {partition} has no bounds yet")))
        };
        Ok((offset(low)?, offset(high)?))
    }

    /// The offset that the next record of an output's partition will get.
    pub fn output_end(&self, topic: Topic, partition: Partition) -> Result<Offset, LogError> {
        Ok(Offset(self.bounds(self.settings.topics.output(topic), partition)?.1))
    }

    /// The offset up to which an output's partition can be read: its end, or the first record of the
    /// oldest transaction that is still open there.
    pub fn output_stable_end(
        &self,
        topic: Topic,
        partition: Partition,
    ) -> Result<Offset, LogError> {
        // This client reads only what is committed, and is told of ends accordingly.
        Ok(Offset(
            self.bounds_by(&self.committed, self.settings.topics.output(topic), partition)?.1,
        ))
    }

    /// Whether a partition of the input holds a record with this timestamp or a later one, in milliseconds
    /// since 1970.
    pub fn input_holds_since(&self, partition: Partition, time_ms: i64) -> Result<bool, LogError> {
        let orders = &self.settings.topics.orders;
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(orders, native(partition)?, NativeOffset::Offset(time_ms))
            .map_err(|error| log_error("asking for the offset of a time", &error))?;
        let found = self.watermarks.offsets_for_times(list, self.answer_wait);
        let doing = "asking for the offset of a time";
        let found = self.answer(&self.watermarks, orders, doing, found)?;
        let elements = found.elements();
        let failed = |error| self.rights.log_error("Describe", orders, doing, &error);
        elements.iter().try_for_each(|element| element.error().map_err(failed))?;
        Ok(elements.iter().any(|element| matches!(element.offset(), NativeOffset::Offset(_))))
    }

    /// Who belongs to the group at present, as `client id at host`: also who has died, until its
    /// session ends.
    pub fn members(&self) -> Result<Vec<String>, LogError> {
        let group = self.settings.group.as_str();
        let groups = self.committed.fetch_group_list(Some(group), self.answer_wait);
        let groups = self.answer(&self.committed, "", "asking for the group's members", groups)?;
        let members = groups.groups().iter().flat_map(|group| group.members());
        Ok(members.map(|who| format!("{} at {}", who.client_id(), who.client_host())).collect())
    }

    /// Sets a committed offset by hand. The group must be without members.
    pub fn set_committed(&self, commit: &PartitionCommit) -> Result<(), LogError> {
        let offset = i64::try_from(commit.offset.0)
            .map_err(|_| LogError::Fatal(format!("there is no offset {}", commit.offset.0)))?;
        let orders = &self.settings.topics.orders;
        let failed = |error| self.rights.log_error("Read", orders, "committing an offset", &error);
        let mut list = TopicPartitionList::with_capacity(1);
        let mut element = list.add_partition(orders, native(commit.partition)?);
        element.set_offset(NativeOffset::Offset(offset)).map_err(failed)?;
        element.set_metadata(&commit.metadata);
        self.committed.commit(&list, CommitMode::Sync).map_err(failed)
    }

    /// What a client answered that was asked about a topic; whatever it has to say besides comes into
    /// the log first.
    fn answer<T>(
        &self,
        client: &BaseConsumer<Logging>,
        topic: &str,
        doing: &str,
        answer: KafkaResult<T>,
    ) -> Result<T, LogError> {
        serve(client);
        answer
            .inspect(|_| client.context().reached())
            .map_err(|error| self.rights.log_error("Describe", topic, doing, &error))
            .map_err(|error| client.context().explained(error))
    }
}

impl Offsets for KafkaOffsets {
    fn committed(
        &mut self,
        partitions: &[Partition],
        wait: Duration,
    ) -> Result<Vec<Committed>, LogError> {
        const DOING: &str = "asking for committed offsets";
        let deadline = Instant::now() + wait;
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&self.settings.topics.orders, native(*partition)?);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let orders = &self.settings.topics.orders;
        let list = self.committed.committed_offsets(list, left);
        let list = self.answer(&self.committed, orders, DOING, list)?;
        let find = |partition: &Partition| {
            let element = list
                .find_partition(orders, native(*partition)?)
                .ok_or_else(|| LogError::Retry(format!("no answer for partition {partition}")))?;
            let failed = |error| self.rights.log_error("Describe", orders, DOING, &error);
            element.error().map_err(failed)?;
            let offset = match element.offset() {
                NativeOffset::Offset(offset) => u64::try_from(offset).ok().map(Offset),
                _ => None,
            };
            Ok(Committed { offset, metadata: element.metadata().to_owned() })
        };
        partitions.iter().map(find).collect()
    }

    fn input_bounds(&mut self, partition: Partition) -> Result<InputBounds, LogError> {
        let (oldest, next) = self.bounds(&self.settings.topics.orders, partition)?;
        Ok(InputBounds { oldest: Offset(oldest), next: Offset(next) })
    }

    fn outputs_are_empty(&mut self, partition: Partition) -> Result<bool, LogError> {
        for topic in Topic::ALL {
            let name = self.settings.topics.output(topic);
            let (oldest, next) = self.bounds(name, partition)?;
            // Where records were deleted, some were there.
            if oldest > 0 {
                return Ok(false);
            }
            // A partition that was never written to needs no reader, which takes a connection.
            if next > 0 {
                let mut records = PartitionReader::start(&self.settings, name, partition, 0)?;
                if records.next().transpose()?.is_some() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn partition_count(&mut self) -> Result<u32, LogError> {
        let orders = &self.settings.topics.orders;
        let metadata = self.watermarks.fetch_metadata(Some(orders), self.answer_wait);
        let metadata = self.answer(&self.watermarks, orders, "asking for the topic", metadata)?;
        let topic = metadata.topics().first();
        refused(&self.rights, topic)?;
        let partitions = topic.map_or(0, |topic| topic.partitions().len());
        if partitions == 0 {
            return Err(LogError::Retry(format!(
                "the topic {orders} does not exist; create it with `floodgate topics create`"
            )));
        }
        Ok(u32::try_from(partitions).expect("partitions are numbered in 31 bits"))
    }

    fn cluster_id(&mut self) -> Result<String, LogError> {
        let id = self.watermarks.client().fetch_cluster_id(self.answer_wait);
        serve(&self.watermarks);
        let context = self.watermarks.context();
        id.inspect(|_| context.reached())
            .ok_or_else(|| context.explained(unreachable("the brokers do not answer")))
    }
}

impl std::fmt::Debug for KafkaOffsets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaOffsets")
            .field("topics", &self.settings.topics)
            .finish_non_exhaustive()
    }
}

/// Metadata of a topic that may not be seen says so beside it, and has no partitions.
pub(crate) fn refused(rights: &Rights, topic: Option<&MetadataTopic>) -> Result<(), LogError> {
    let Some(topic) = topic else { return Ok(()) };
    let code = topic.error().map(RDKafkaErrorCode::from);
    match code.and_then(|code| rights.denial(code, "Describe", topic.name())) {
        Some(denial) => Err(LogError::Fatal(format!("asking for the topic: {denial}"))),
        None => Ok(()),
    }
}

fn native(partition: Partition) -> Result<i32, LogError> {
    i32::try_from(partition)
        .map_err(|_| LogError::Fatal(format!("{partition} cannot be the number of a partition")))
}
