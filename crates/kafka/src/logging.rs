//! What librdkafka has to say, passed on to `tracing`.
//!
//! Not error handling: whatever a caller must know comes back from its call. Invariant: a callback
//! only records; it runs inside a poll and must not call back into the client.

use std::collections::VecDeque;
use std::ffi::{CStr, c_char};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pipeline::log::LogError;
use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::{RDKafka, RDKafkaErrorCode};

use crate::bootstrap::{Bootstrap, remind};
use crate::errors::{Rights, log_error};
use crate::settings::Settings;

/// Context of a client whose callbacks matter to nobody but a reader of the logs.
#[derive(Debug)]
pub(crate) struct Logging {
    /// Which of the clients this is.
    client: &'static str,
    /// How many callbacks ran. Written and read by the thread that polls, so Relaxed is enough.
    callbacks: AtomicU64,
    /// Why the brokers cannot be talked to, since somebody last could.
    obstacle: Mutex<Option<Obstacle>>,
    /// Who this is to the brokers, and the input's topic, where a refusal is told with them.
    rights: Option<(Rights, String)>,
    /// Where the brokers are, for a client that has forgotten them.
    pub(crate) bootstrap: Bootstrap,
}

/// What stands between a client and its brokers, which the call that waits in vain does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Obstacle {
    /// Whether it stays until somebody changes something.
    lasting: bool,
    told: String,
}

impl Obstacle {
    fn of(code: RDKafkaErrorCode, reason: &str) -> Option<Obstacle> {
        const BROKEN: [&str; 3] = ["transport failure", "Disconnected", "Timed out"];
        let is_broken = BROKEN.iter().any(|broken| reason.contains(broken));
        let (lasting, remedy) = match code {
            RDKafkaErrorCode::Authentication if !is_broken => (
                true,
                "the brokers refuse this user: mend username, password_file or mechanism in \
                 kafka.security, or the user's credentials at the brokers (docs/security.md)",
            ),
            RDKafkaErrorCode::SSL if reason.contains("verif") => (
                true,
                "the brokers' certificate is not trusted: kafka.security.ca_file must hold the \
                 certificate of the authority that signed it, and it must name the host in \
                 kafka.brokers (docs/security.md)",
            ),
            RDKafkaErrorCode::SSL => {
                (false, "TLS fails: do kafka.security and the brokers' listener agree?")
            }
            // The first thing that is said to a broker, which does not understand it.
            RDKafkaErrorCode::BrokerTransportFailure
                if reason.contains("Disconnected") && reason.contains("APIVERSION_QUERY") =>
            {
                (false, "does kafka.security.protocol agree with the brokers' listener?")
            }
            _ => return None,
        };
        Some(Obstacle { lasting, told: format!("{reason}; {remedy}") })
    }
}

impl Logging {
    pub(crate) fn new(client: &'static str, settings: &Settings) -> Logging {
        Logging {
            client,
            callbacks: AtomicU64::new(0),
            obstacle: Mutex::new(None),
            rights: None,
            bootstrap: Bootstrap::of(settings),
        }
    }

    /// The same of a client that writes to the input, or asks for the group's offsets.
    pub(crate) fn with_rights(client: &'static str, settings: &Settings) -> Logging {
        let rights = Some((Rights::of(settings), settings.topics.orders.clone()));
        Logging { rights, ..Logging::new(client, settings) }
    }

    /// Why a record for the input could not be delivered.
    pub(crate) fn undelivered(&self, error: &KafkaError) -> LogError {
        const DOING: &str = "a record was not delivered";
        match &self.rights {
            Some((rights, topic)) => rights.log_error("Write", topic, DOING, error),
            None => log_error(DOING, error),
        }
    }

    /// The same for who goes on trying whatever it is: one broker of several may be set up wrongly.
    pub(crate) fn explained_in_passing(&self, error: LogError) -> LogError {
        match (error, self.obstacle().clone()) {
            (LogError::Retry(message), Some(Obstacle { told, .. })) => {
                LogError::Retry(format!("{message}: {told}"))
            }
            (error, _) => error,
        }
    }

    /// The error with what stands between client and brokers, if that is known; as a lasting one, if
    /// that will not pass by itself. To be asked after the client was served.
    pub(crate) fn explained(&self, error: LogError) -> LogError {
        let Some(Obstacle { lasting, told }) = self.obstacle().clone() else { return error };
        match error {
            LogError::Retry(message) if lasting => LogError::Fatal(format!("{message}: {told}")),
            LogError::Retry(message) => LogError::Retry(format!("{message}: {told}")),
            LogError::Fatal(message) => LogError::Fatal(format!("{message}: {told}")),
            other => other,
        }
    }

    /// Whether there is no use in waiting longer.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.obstacle().as_ref().is_some_and(|obstacle| obstacle.lasting)
    }

    /// The brokers have answered.
    pub(crate) fn reached(&self) {
        *self.obstacle() = None;
    }

    fn obstacle(&self) -> MutexGuard<'_, Option<Obstacle>> {
        // It is replaced as a whole.
        self.obstacle.lock().unwrap_or_else(PoisonError::into_inner)
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
        if facility == LOST_CONNECTION {
            let code = RDKafkaErrorCode::BrokerTransportFailure;
            let found = Obstacle::of(code, message);
            let mut obstacle = self.obstacle();
            *obstacle = obstacle.take().or(found);
        }
        write(self.client, level as i32, facility, message);
    }

    fn stats_raw(&self, _statistics: &[u8]) {
        self.count_callback();
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.count_callback();
        // Reading the end of a partition comes along here too, and is no error.
        let Some(code) = error.rdkafka_error_code().filter(|code| *code != PARTITION_END) else {
            return;
        };
        if code == RDKafkaErrorCode::AllBrokersDown {
            self.bootstrap.lose();
        }
        let denial = || {
            let (rights, _) = self.rights.as_ref()?;
            let group_only = Some(code).filter(|code| *code == GROUP_REFUSED)?;
            Some(Obstacle { lasting: true, told: rights.denial(group_only, "Read", "")? })
        };
        if let Some(obstacle) = Obstacle::of(code, reason).or_else(denial) {
            *self.obstacle() = Some(obstacle);
        }
        write_error(self.client, &error.to_string(), reason);
    }
}

/// Of lines about a connection that ended, whose reason no error tells.
const LOST_CONNECTION: &str = "FAIL";
/// Who waits for an answer about the group only hears that it did not come.
const GROUP_REFUSED: RDKafkaErrorCode = RDKafkaErrorCode::GroupAuthorizationFailed;
const PARTITION_END: RDKafkaErrorCode = RDKafkaErrorCode::PartitionEOF;

impl ConsumerContext for Logging {}

impl AsRef<Logging> for Logging {
    fn as_ref(&self) -> &Logging {
        self
    }
}

/// Lets a client that reads nothing write its log, without waiting, and reminds it of its brokers.
pub(crate) fn serve<C: ConsumerContext + AsRef<Logging>>(client: &BaseConsumer<C>) {
    loop {
        let logging: &Logging = (**client.context()).as_ref();
        let callbacks = logging.callbacks();
        let came = client.poll(Duration::ZERO).is_some();
        if !came && logging.callbacks() == callbacks {
            break;
        }
    }
    remind(client);
}

impl ProducerContext for Logging {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.count_callback();
        if let Err((error, _)) = result {
            let error = self.undelivered(error).to_string();
            if is_news(self.client, "delivery", &error) {
                tracing::warn!(client = self.client, "{error}");
            }
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

/// Writes a line of a client's log, which it returns, or an error that it tells of; other events are
/// passed over.
///
/// # Safety
/// `event` is alive.
pub(crate) unsafe fn write_event(
    client: &str,
    event: *mut native::rd_kafka_event_t,
) -> Option<String> {
    // SAFETY: the event is alive, and the texts live as long.
    unsafe {
        match native::rd_kafka_event_type(event) {
            native::RD_KAFKA_EVENT_LOG => {
                let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
                let (facility_at, text_at) = (&raw mut facility, &raw mut text);
                if native::rd_kafka_event_log(event, facility_at, text_at, &raw mut level) == 0 {
                    let line = string(text);
                    write(client, level, &string(facility), &line);
                    return Some(line);
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
    None
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

#[cfg(test)]
mod logging_tests {
    use super::*;

    fn told(code: RDKafkaErrorCode, reason: &str, error: LogError) -> LogError {
        let logging = Logging::new("test", &Settings::new("localhost:9092", "group", "id"));
        logging.error(KafkaError::Global(code), reason);
        logging.explained(error)
    }

    #[test]
    fn a_call_that_waited_in_vain_says_why() {
        let vain = || LogError::Retry("no answer".to_owned());
        let refused = told(RDKafkaErrorCode::Authentication, "SASL said no", vain());
        let LogError::Fatal(refused) = refused else { panic!("{refused:?}") };
        assert!(refused.starts_with("no answer: SASL said no; "), "{refused}");
        assert!(refused.contains("password_file"), "{refused}");
        let untrusted = told(RDKafkaErrorCode::SSL, "certificate verify failed", vain());
        let LogError::Fatal(untrusted) = untrusted else { panic!("{untrusted:?}") };
        assert!(untrusted.contains("ca_file"), "{untrusted}");
        let broken = "SASL handshake failed: Local: Broker transport failure (in state DOWN)";
        let broken = told(RDKafkaErrorCode::Authentication, broken, vain());
        assert_eq!(broken, vain(), "a broker that goes away refuses nobody");
        let passing = told(RDKafkaErrorCode::SSL, "Disconnected", vain());
        assert!(matches!(passing, LogError::Retry(_)), "{passing:?}");
        let unrelated = told(RDKafkaErrorCode::MessageTimedOut, "late", vain());
        assert_eq!(unrelated, vain());
    }

    #[test]
    fn what_stood_in_the_way_is_forgotten_once_brokers_answer() {
        let logging = Logging::new("test", &Settings::new("localhost:9092", "group", "id"));
        logging.error(KafkaError::Global(RDKafkaErrorCode::Authentication), "SASL said no");
        assert!(logging.is_hopeless());
        logging.reached();
        assert!(!logging.is_hopeless());
        let later = LogError::Retry("no answer".to_owned());
        assert_eq!(logging.explained(later.clone()), later);
    }
}
