//! Reminds a client of its brokers when it has forgotten all of them.
//!
//! A broker that the controller takes for dead, as one that was stopped for longer than its session,
//! answers for a moment with topics and without any broker. librdkafka then drops every broker that it
//! knows, with the one that answered. Its own return to `bootstrap.servers` comes too early: it finds
//! the one that is being dropped still in its list, and adds none; no request is made any more that
//! could lead to a second attempt (<https://github.com/confluentinc/librdkafka/issues/5301>, 2.10 to
//! 2.15 at least). Such a client reaches nobody for as long as it lives.
//!
//! Not reconnecting: to brokers that it knows, librdkafka finds its way by itself. Invariant: it is
//! reminded from the thread that polls, never from a callback.

use std::ffi::CString;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::types::RDKafka;

use crate::logging::Logging;
use crate::settings::Settings;

/// How long after all brokers were lost, or after the time before, a client is reminded. One that is
/// dropped takes a moment to leave the list, longer where a name is being resolved. A broker that is
/// in it is not added again, but every reminder stays in the client's memory.
const PAUSES: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(8),
    Duration::from_secs(32),
];

/// The addresses of a client's brokers, and when it is to be reminded of them.
#[derive(Debug)]
pub(crate) struct Bootstrap {
    addresses: CString,
    reminder: Mutex<Option<Reminder>>,
}

#[derive(Debug)]
struct Reminder {
    /// Which of the pauses this one comes after.
    pause: usize,
    due: Instant,
}

impl Bootstrap {
    pub(crate) fn of(settings: &Settings) -> Bootstrap {
        let addresses = CString::new(settings.brokers.as_str()).unwrap_or_default();
        Bootstrap { addresses, reminder: Mutex::new(None) }
    }

    /// All brokers are down, or forgotten; the client says it once, and in the same words.
    pub(crate) fn lose(&self) {
        let due = || Reminder { pause: 0, due: Instant::now() + PAUSES[0] };
        self.reminder().get_or_insert_with(due);
    }

    /// Whether it is time to remind the client.
    fn is_due(&self, now: Instant) -> bool {
        let mut reminder = self.reminder();
        let Some(Reminder { pause, .. }) = reminder.take_if(|reminder| reminder.due <= now) else {
            return false;
        };
        let next = pause + 1;
        *reminder = PAUSES.get(next).map(|wait| Reminder { pause: next, due: now + *wait });
        true
    }

    /// Reminds the client if it is time.
    ///
    /// # Safety
    /// `client` is alive.
    pub(crate) unsafe fn remind(&self, client: *mut RDKafka) {
        if self.is_due(Instant::now()) {
            // SAFETY: the client is alive, and copies the text.
            unsafe { native::rd_kafka_brokers_add(client, self.addresses.as_ptr()) };
        }
    }

    fn reminder(&self) -> MutexGuard<'_, Option<Reminder>> {
        // It is replaced as a whole.
        self.reminder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reminds a consumer if it is time.
pub(crate) fn remind<C: ConsumerContext + AsRef<Logging>>(consumer: &BaseConsumer<C>) {
    let logging: &Logging = (**consumer.context()).as_ref();
    // SAFETY: the consumer keeps its client alive.
    unsafe { logging.bootstrap.remind(consumer.client().native_ptr()) };
}

#[cfg(test)]
mod bootstrap_tests {
    use super::*;

    #[test]
    fn a_client_is_reminded_a_few_times_after_it_lost_its_brokers() {
        let bootstrap = Bootstrap::of(&Settings::new("localhost:9092", "group", "id"));
        let start = Instant::now();
        assert!(!bootstrap.is_due(start + Duration::from_secs(60)), "nothing was lost");
        bootstrap.lose();
        let start = Instant::now();
        let ticks = (0..1_000).map(|tick| start + Duration::from_millis(100 * tick));
        let reminded = |bootstrap: &Bootstrap, at: &Instant| {
            // It goes on telling so.
            if *at < start + Duration::from_secs(40) {
                bootstrap.lose();
            }
            bootstrap.is_due(*at)
        };
        let at: Vec<u128> = ticks
            .filter(|at| reminded(&bootstrap, at))
            .map(|at| at.duration_since(start).as_millis())
            .collect();
        assert_eq!(at, [0, 500, 2_500, 10_500, 42_500]);
    }
}
