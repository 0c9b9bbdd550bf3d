//! A reader downstream: which partitions have answered what came in after which moment.
//!
//! Not a judge: it looks at timestamps only. Invariant: what it sees is committed, and a watch is over
//! only when every partition has answered in every topic that is written all the time: the transaction
//! of a dead process may hold up the readers of one topic and not of another.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use rdkafka::consumer::BaseConsumer;
use rdkafka::message::Message as _;

use super::ground::millis_since_1970;
use crate::stage::Stage;

/// Every partition's orders are answered in the one and its sales in the other, all the time.
const WRITTEN: [&str; 2] = ["orders.status", "orders.settled"];
/// How long a poll waits.
const POLL: Duration = Duration::from_millis(20);

/// See the module's documentation.
#[derive(Debug)]
pub struct Reader {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    seen: Arc<Seen>,
    partitions: u32,
}

#[derive(Debug, Default)]
struct Seen {
    answers: AtomicU64,
    watches: Mutex<Vec<Arc<Mutex<Watch>>>>,
}

/// A topic and a partition of it.
type Answering = (&'static str, u32);

/// A moment, and who has yet to answer what came in after it.
#[derive(Debug)]
struct Watch {
    since_ms: i64,
    since: Instant,
    missing: BTreeSet<Answering>,
    first: Option<Duration>,
    recovered: Option<Duration>,
}

/// Waits for answers to what comes in after the moment at which it was made.
#[derive(Debug, Clone)]
pub struct Recovery(Arc<Mutex<Watch>>);

impl Recovery {
    /// How long it took, once all partitions have answered.
    pub fn took(&self) -> Option<Duration> {
        lock(&self.0).recovered
    }

    /// How long it took until the first partition has answered.
    pub fn first(&self) -> Option<Duration> {
        lock(&self.0).first
    }

    /// The topics and partitions that have not answered yet.
    pub fn missing(&self) -> BTreeSet<Answering> {
        lock(&self.0).missing.clone()
    }
}

/// Nothing can panic while it is held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reader {
    /// Reads everything from the beginning on.
    pub fn start(stage: &Stage) -> Reader {
        let consumer = stage.reader(&["orders.status", "orders.settled", "orders.dlq"]);
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Seen::default()));
        let (stopped, noted) = (stop.clone(), seen.clone());
        let thread = Some(thread::spawn(move || read(&consumer, &stopped, &noted)));
        Reader { stop, thread, seen, partitions: stage.partitions }
    }

    /// From now on.
    pub fn watch(&self) -> Recovery {
        let watch = Arc::new(Mutex::new(Watch {
            since_ms: millis_since_1970(SystemTime::now()),
            since: Instant::now(),
            missing: WRITTEN
                .into_iter()
                .flat_map(|topic| (0..self.partitions).map(move |partition| (topic, partition)))
                .collect(),
            first: None,
            recovered: None,
        }));
        lock(&self.seen.watches).push(watch.clone());
        Recovery(watch)
    }

    /// Answers seen so far.
    pub fn answers(&self) -> u64 {
        self.seen.answers.load(Ordering::Relaxed)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Relaxed: nothing is handed over with the flag.
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn read(consumer: &BaseConsumer, stop: &AtomicBool, seen: &Seen) {
    while !stop.load(Ordering::Relaxed) {
        // An error means that the broker is away, which is what some faults are about.
        let Some(Ok(message)) = consumer.poll(POLL) else { continue };
        seen.answers.fetch_add(1, Ordering::Relaxed);
        let log_time_ms = message.timestamp().to_millis().unwrap_or(-1);
        let topic = WRITTEN.into_iter().find(|topic| message.topic().ends_with(topic));
        let answering = topic.map(|topic| (topic, message.partition().cast_unsigned()));
        lock(&seen.watches).retain(|watch| !is_over(&mut lock(watch), answering, log_time_ms));
    }
}

/// Takes an answer in; true if all have answered.
fn is_over(watch: &mut Watch, answering: Option<Answering>, log_time_ms: i64) -> bool {
    if log_time_ms > watch.since_ms {
        watch.first.get_or_insert_with(|| watch.since.elapsed());
        if let Some(answering) = answering {
            watch.missing.remove(&answering);
        }
    }
    let over = watch.missing.is_empty();
    if over {
        watch.recovered = Some(watch.since.elapsed());
    }
    over
}
