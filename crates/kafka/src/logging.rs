//! What librdkafka has to say, passed on to `tracing`.
//!
//! Not error handling: whatever a caller must know comes back from its call. Invariant: a callback
//! only records; it runs inside a poll and must not call back into the client.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};

/// Context of a client whose callbacks matter to nobody but a reader of the logs.
#[derive(Debug)]
pub(crate) struct Logging {
    /// Which of the clients this is.
    client: &'static str,
    /// How many callbacks ran. Written and read by the thread that polls, so Relaxed is enough.
    callbacks: AtomicU64,
}

impl Logging {
    pub(crate) fn new(client: &'static str) -> Logging {
        Logging { client, callbacks: AtomicU64::new(0) }
    }

    /// How many callbacks ran so far: whether a poll that brought nothing did something.
    pub(crate) fn callbacks(&self) -> u64 {
        self.callbacks.load(Ordering::Relaxed)
    }

    pub(crate) fn count_callback(&self) {
        self.callbacks.fetch_add(1, Ordering::Relaxed);
    }
}

impl ClientContext for Logging {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.count_callback();
        write(self.client, level as i32, facility, message);
    }

    fn stats_raw(&self, _statistics: &[u8]) {
        self.count_callback();
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.count_callback();
        // Reading the end of a partition comes along here too, and is no error.
        if !matches!(error, KafkaError::Global(code) if code == rdkafka::types::RDKafkaErrorCode::PartitionEOF)
        {
            tracing::warn!(client = self.client, %error, reason, "Kafka client error");
        }
    }
}

impl ConsumerContext for Logging {}

impl ProducerContext for Logging {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.count_callback();
        if let Err((error, _)) = result {
            tracing::warn!(client = self.client, %error, "record was not delivered");
        }
    }
}

/// The same line again within this time says nothing new.
const REPEAT_PAUSE: Duration = Duration::from_secs(10);
/// Most lines that are remembered for that.
const REPEATS_MAX: usize = 64;

/// Whether this line was not written lately.
fn is_news(client: &str, facility: &str, message: &str) -> bool {
    static WRITTEN: Mutex<VecDeque<(u64, Instant)>> = Mutex::new(VecDeque::new());
    let mut hasher = DefaultHasher::new();
    (client, facility, message).hash(&mut hasher);
    let line = hasher.finish();
    // A queue of numbers is whole whatever happened to the thread that held it.
    let mut written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    written.retain(|(_, at)| at.elapsed() < REPEAT_PAUSE);
    if written.iter().any(|(known, _)| *known == line) {
        return false;
    }
    if written.len() == REPEATS_MAX {
        written.pop_front();
    }
    written.push_back((line, Instant::now()));
    true
}

/// Writes a line of librdkafka's log, unless it only repeats itself; `level` is that of syslog.
pub(crate) fn write(client: &str, level: i32, facility: &str, message: &str) {
    if !is_news(client, facility, message) {
        return;
    }
    match level {
        0..=3 => tracing::error!(client, facility, message),
        4 => tracing::warn!(client, facility, message),
        5 | 6 => tracing::info!(client, facility, message),
        _ => tracing::debug!(client, facility, message),
    }
}
