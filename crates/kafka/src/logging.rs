//! What librdkafka has to say, passed on to `tracing`.
//!
//! Not error handling: whatever a caller must know comes back from its call. Invariant: a callback
//! only records; it runs inside a poll and must not call back into the client.

use std::collections::VecDeque;
use std::ffi::{CStr, c_char};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafka;

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
            write_error(self.client, &error.to_string(), reason);
        }
    }
}

impl ConsumerContext for Logging {}

/// Lets a client that reads nothing write its log, without waiting.
pub(crate) fn serve(client: &BaseConsumer<Logging>) {
    loop {
        let callbacks = client.context().callbacks();
        let came = client.poll(Duration::ZERO).is_some();
        if !came && client.context().callbacks() == callbacks {
            return;
        }
    }
}

impl ProducerContext for Logging {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.count_callback();
        if let Err((error, _)) = result {
            tracing::warn!(client = self.client, %error, "record was not delivered");
        }
    }
}

/// Takes what waits in a client's main queue, without waiting for more.
///
/// # Safety
/// `client` is alive. Each event lives until `take` returns.
pub(crate) unsafe fn each_event(
    client: *mut RDKafka,
    mut take: impl FnMut(*mut native::rd_kafka_event_t),
) {
    // SAFETY: the client is alive; the queue is ours and destroyed below, and so is each event after
    // its last use.
    unsafe {
        let queue = native::rd_kafka_queue_get_main(client);
        loop {
            let event = native::rd_kafka_queue_poll(queue, 0);
            if event.is_null() {
                break;
            }
            take(event);
            native::rd_kafka_event_destroy(event);
        }
        native::rd_kafka_queue_destroy(queue);
    }
}

/// Writes a line of a client's log, or an error that it tells of; other events are passed over.
///
/// # Safety
/// `event` is alive.
pub(crate) unsafe fn write_event(client: &str, event: *mut native::rd_kafka_event_t) {
    // SAFETY: the event is alive, and the texts live as long.
    unsafe {
        match native::rd_kafka_event_type(event) {
            native::RD_KAFKA_EVENT_LOG => {
                let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
                let (facility_at, text_at) = (&raw mut facility, &raw mut text);
                if native::rd_kafka_event_log(event, facility_at, text_at, &raw mut level) == 0 {
                    write(client, level, &string(facility), &string(text));
                }
            }
            native::RD_KAFKA_EVENT_ERROR => {
                let error = string(native::rd_kafka_err2name(native::rd_kafka_event_error(event)));
                let reason = string(native::rd_kafka_event_error_string(event));
                write_error(client, &error, &reason);
            }
            _ => {}
        }
    }
}

/// # Safety
/// `text` is a string.
pub(crate) unsafe fn string(text: *const c_char) -> String {
    // SAFETY: that is the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
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

/// Writes an error that a client tells of, unless the same was written lately: a client that reaches no
/// broker tells so at every attempt, each time with other milliseconds in the reason.
pub(crate) fn write_error(client: &str, error: &str, reason: &str) {
    if is_news(client, "error", error) {
        tracing::warn!(client, error, reason, "Kafka client error");
    }
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
