//! Publishes records as an upstream system does: idempotent, without transactions.
//!
//! Not the workers' producer. Invariant: records of one partition arrive in the order in which they
//! were handed on, or are counted as failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pipeline::log::{LogError, Partition};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use crate::errors::log_error;
use crate::logging::Logging;
use crate::settings::Settings;

/// Longest that a record may wait for room, or for its delivery when all are waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const ROOM_WAIT: Duration = Duration::from_millis(2);

/// A record to be published.
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// Partition of the input.
    pub partition: Partition,
    /// Timestamp in milliseconds since 1970; counts where the topic takes the publisher's.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
}

/// See the module's documentation.
pub struct Publisher {
    topic: String,
    producer: BaseProducer<Deliveries>,
    failed: Arc<AtomicU64>,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Publisher").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Publisher {
    /// A publisher to the input topic.
    pub fn new(settings: &Settings) -> Result<Publisher, LogError> {
        let failed = Arc::new(AtomicU64::new(0));
        let logging = Logging::with_rights("publisher", settings);
        let deliveries = Deliveries { logging, failed: Arc::clone(&failed) };
        let producer = settings
            .publisher()
            .create_with_context(deliveries)
            .map_err(|error| log_error("making the client that publishes", &error))?;
        Ok(Publisher { topic: settings.topics.orders.clone(), producer, failed })
    }

    /// Hands a record on; waits while too many are under way.
    pub fn publish(&self, record: &NewRecord<'_>) -> Result<(), LogError> {
        self.publish_with_headers(record, &[])
    }

    /// The same with headers, in this order.
    pub fn publish_with_headers(
        &self,
        record: &NewRecord<'_>,
        headers: &[(String, Option<Vec<u8>>)],
    ) -> Result<(), LogError> {
        let partition = i32::try_from(record.partition).expect("a topic's partition has a number");
        let mut next: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(&self.topic).partition(partition).timestamp(record.timestamp_ms);
        (next.key, next.payload) = (record.key, record.value);
        next.headers = native(headers);
        let mut deadline = None;
        loop {
            match self.producer.send(next) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    let now = Instant::now();
                    if now >= *deadline.get_or_insert(now + PATIENCE) {
                        let why = format!("nothing was delivered for {PATIENCE:?}");
                        return Err(LogError::Retry(why));
                    }
                    self.serve(ROOM_WAIT);
                    next = back;
                }
                Err((error, _)) => return Err(self.refused(&error)),
            }
        }
    }

    /// The client tells what ended it for good apart from the error.
    fn refused(&self, error: &KafkaError) -> LogError {
        match self.producer.client().fatal_error() {
            Some((code, why)) => {
                let error = KafkaError::MessageProduction(code);
                let error = self.producer.context().logging.undelivered(&error);
                LogError::Fatal(format!("publishing: {why}: {error}"))
            }
            None => log_error("publishing", error),
        }
    }

    /// Serves what is under way, for about `wait`.
    pub fn serve(&self, wait: Duration) {
        self.producer.poll(wait);
        let Deliveries { logging, .. } = self.producer.context().as_ref();
        // SAFETY: the producer keeps its client alive.
        unsafe { logging.bootstrap.remind(self.producer.client().native_ptr()) };
    }

    /// Waits until every record is delivered or has failed.
    pub fn flush(&self) -> Result<(), LogError> {
        let deadline = Instant::now() + PATIENCE;
        while self.producer.in_flight_count() > 0 {
            if Instant::now() >= deadline {
                let waiting = self.producer.in_flight_count();
                return Err(LogError::Retry(format!("{waiting} records are not delivered yet")));
            }
            self.serve(ROOM_WAIT);
        }
        Ok(())
    }

    /// Records that could not be delivered so far.
    #[must_use]
    pub fn failed(&self) -> u64 {
        // Relaxed: a figure for itself.
        self.failed.load(Ordering::Relaxed)
    }
}

/// None if there are none, so that the client takes no memory for them.
fn native(headers: &[(String, Option<Vec<u8>>)]) -> Option<OwnedHeaders> {
    let all = OwnedHeaders::new_with_capacity(headers.len());
    let insert = |all: OwnedHeaders, (key, value): &(String, Option<Vec<u8>>)| {
        all.insert(Header { key, value: value.as_deref() })
    };
    (!headers.is_empty()).then(|| headers.iter().fold(all, insert))
}

/// Counts what could not be delivered; what was delivered is not reported.
struct Deliveries {
    logging: Logging,
    failed: Arc<AtomicU64>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.logging.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.logging.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            // Relaxed: as above.
            if self.failed.fetch_add(1, Ordering::Relaxed) == 0 {
                let error = self.logging.undelivered(error);
                tracing::warn!("{error}; further ones are only counted");
            }
        }
    }
}
