//! The load: a sale day's traffic, published as it falls due.
//!
//! Not a throughput test: the rate is that of the clock, whatever becomes of the pipeline. Invariant:
//! what is counted as published was acknowledged by the broker, and is published once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use drill::traffic::{Sent, Settings, Traffic};
use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use super::ground::{HOLD_TTL_MS, millis_since_1970};
use crate::stage::Stage;

/// The catalogue is published within this time.
const OPENING_MS: u64 = 3_000;
/// The sale is planned for so long; a run ends sooner.
const SALE_SECONDS: u64 = 4 * 3_600;
/// Longest nap between two looks whether to stop.
const NAP: Duration = Duration::from_millis(20);
/// Longest that the broker may take to acknowledge, its restarts and pauses included.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(300);

/// See the module's documentation.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), String>>,
    counts: Arc<Counts>,
}

/// Written by the producer's thread, read by whoever asks.
#[derive(Debug, Default)]
struct Counts {
    acknowledged: AtomicU64,
    failed: AtomicU64,
}

/// Counts what becomes of records.
struct Count(Arc<Counts>);

impl ClientContext for Count {}

impl ProducerContext for Count {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let counter = if result.is_ok() { &self.0.acknowledged } else { &self.0.failed };
        // Relaxed: nothing is handed over with the count.
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Load {
    /// Starts to publish: so many orders a second, and about twice as many records.
    pub fn start(stage: &Stage, orders_per_second: u64, seed: u64) -> Load {
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
        let mut config = stage.client();
        config.set("enable.idempotence", "true").set("linger.ms", "5");
        config.set("message.max.bytes", "1048576");
        config.set("message.timeout.ms", ACKNOWLEDGED_WITHIN.as_millis().to_string());
        let producer = ThreadedProducer::from_config_and_context(&config, Count(counts.clone()))
            .expect("the settings are valid");
        let (topic, stopped) = (stage.topic("orders"), stop.clone());
        let traffic = traffic(orders_per_second, seed, stage.partitions);
        let thread = thread::spawn(move || publish(&producer, &topic, traffic, &stopped));
        Load { stop, thread, counts }
    }

    /// Records that the broker has acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.counts.acknowledged.load(Ordering::Relaxed)
    }

    /// Stops; everything that was sent is acknowledged, or it is an error.
    pub fn stop(self) -> Result<u64, String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the publisher panicked".to_owned())??;
        match self.counts.failed.load(Ordering::Relaxed) {
            0 => Ok(self.counts.acknowledged.load(Ordering::Relaxed)),
            failed => Err(format!("{failed} records were not acknowledged")),
        }
    }
}

/// A sale whose seconds are those of the clock.
fn traffic(orders_per_second: u64, seed: u64, partitions: u32) -> Traffic {
    let settings = Settings {
        merchants_max: 300,
        opening_ms: OPENING_MS,
        orders_per_second,
        rush_orders_per_mille: 0,
        rush_time_per_mille: 0,
        time_to_live_ms: HOLD_TTL_MS,
        ..Settings::default()
    };
    let start_ms = millis_since_1970(SystemTime::now());
    Traffic::new(settings, orders_per_second * SALE_SECONDS, seed, partitions, start_ms)
}

fn publish(
    producer: &ThreadedProducer<Count>,
    topic: &str,
    mut traffic: Traffic,
    stop: &AtomicBool,
) -> Result<(), String> {
    let mut sent = Sent::new();
    while traffic.next_into(&mut sent) {
        loop {
            // Relaxed: nothing is handed over with the flag.
            if stop.load(Ordering::Relaxed) {
                return producer.flush(ACKNOWLEDGED_WITHIN).map_err(|error| error.to_string());
            }
            let early_ms = sent.timestamp_ms - millis_since_1970(SystemTime::now());
            if early_ms <= 0 && send(producer, topic, &sent)? {
                break;
            }
            thread::sleep(Duration::from_millis(early_ms.max(1).unsigned_abs()).min(NAP));
        }
    }
    Err("the sale is over before the faults are".to_owned())
}

/// False if the queue is full: the broker is away.
fn send(producer: &ThreadedProducer<Count>, topic: &str, sent: &Sent) -> Result<bool, String> {
    let mut record: BaseRecord<'_, [u8], [u8]> =
        BaseRecord::to(topic).partition(sent.partition.cast_signed());
    record.key = sent.key();
    record.payload = sent.value();
    match producer.send(record) {
        Ok(()) => Ok(true),
        Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(false),
        Err((error, _)) => Err(format!("publishing: {error}")),
    }
}
