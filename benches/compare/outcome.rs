//! What a run has written, read back with `read_committed` and counted.
//!
//! Not the audit, which derives every output again: here the workload knows the sums. Invariant: an
//! order's answer is counted by its id, so one that comes twice is seen.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;

use crate::ground::{Ground, Place};
use crate::measured::{Came, Volume, Written};
use crate::workload::{Expected, Workload, number_of};

const POLL: Duration = Duration::from_secs(30);

/// Reads all outputs of a run.
pub(crate) fn read(
    ground: &Ground,
    place: &Place,
    workload: &Workload,
) -> anyhow::Result<(Came, Written)> {
    let mut answered = Expected::default();
    let mut seen = vec![0_u64; usize::try_from(workload.orders.div_ceil(64))?];
    let mut settled_twice = 0;
    let settled = each(ground, &place.topics.settled, |_, value| {
        answered.settled += 1;
        answered.amount += number_behind(value, b"\"amount\":").unwrap_or(0);
        let number = behind(value, b"\"order_id\":\"").and_then(number_of).unwrap_or(u64::MAX);
        match seen.get_mut((number / 64) as usize) {
            Some(word) if *word & (1 << (number % 64)) == 0 => *word |= 1 << (number % 64),
            _ => settled_twice += 1,
        }
    })?;
    let status = each(ground, &place.topics.status, |_, value| {
        answered.rejected += u64::from(value.starts_with(br#"{"type":"hold.rejected""#));
    })?;
    let mut totals: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    let gmv = each(ground, &place.topics.gmv, |key, value| {
        if key.windows(5).any(|part| part == b"/all/") {
            totals.insert(key.to_vec(), value.to_vec());
        }
    })?;
    let counted = totals.values().try_fold(Expected::default(), |sum, value| {
        let counter: Value = serde_json::from_slice(value)?;
        let figure = |name: &str| counter[name].as_u64().unwrap_or_default();
        anyhow::Ok(Expected {
            settled: sum.settled + figure("orders_settled"),
            amount: sum.amount + figure("settled"),
            rejected: sum.rejected + figure("orders_rejected"),
            duplicates: sum.duplicates + figure("duplicates"),
        })
    });
    // What the yardstick writes to `gmv` is no counter.
    let counted = counted.unwrap_or_default();
    let written = Written { orders: workload.orders, settled, status, gmv };
    Ok((Came { counted, answered, settled_twice }, written))
}

/// Hands on key and value of every committed record of a topic.
fn each(ground: &Ground, topic: &str, mut on: impl FnMut(&[u8], &[u8])) -> anyhow::Result<Volume> {
    let mut config = ground.client();
    config.set("enable.partition.eof", "true").set("fetch.queue.backoff.ms", "2");
    config.set("check.crcs", "false");
    let consumer: BaseConsumer = config.create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..ground.partitions.cast_signed() {
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let mut volume = Volume::default();
    let mut left = ground.partitions;
    while left > 0 {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                let value = message.payload().unwrap_or_default();
                volume.records += 1;
                volume.value_bytes += value.len() as u64;
                on(message.key().unwrap_or_default(), value);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
            Some(Err(error)) => return Err(error.into()),
            None => anyhow::bail!("{topic} cannot be read to its end"),
        }
    }
    Ok(volume)
}

fn behind<'a>(value: &'a [u8], before: &[u8]) -> Option<&'a [u8]> {
    let at = value.windows(before.len()).position(|window| window == before)?;
    Some(&value[at + before.len()..])
}

fn number_behind(value: &[u8], before: &[u8]) -> Option<u64> {
    let rest = behind(value, before)?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}
