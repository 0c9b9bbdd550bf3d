//! A transaction's way to the brokers, on a thread of its own.
//!
//! librdkafka takes nearly as long for a record as the pipeline takes for an order, so the worker goes on
//! deciding meanwhile. And a call that ends a transaction can wait for ever when its brokers are lost,
//! whatever its timeout ([5456](https://github.com/confluentinc/librdkafka/issues/5456)): here it
//! keeps no worker waiting.
//!
//! Not the decision when to commit, and not what the group has to say to it. Invariant: outputs reach
//! the producer in the order in which they were handed on, and nothing is committed unless all of
//! them did.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{
    Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded, unbounded,
};
use pipeline::log::{CommitOutcome, LogError};
use rdkafka::topic_partition_list::TopicPartitionList;
use wire::Outputs;

use crate::metadata::GroupMetadata;
use crate::producer::{Producer, Refused, TransactionError};
use crate::wake::Wake;

/// Batches that may wait for the thread.
const WAITING_MAX: usize = 8;
/// Longest wait without looking after the client.
const SLICE: Duration = Duration::from_millis(20);
/// How long a transaction may still take after one of its requests was lost: whatever comes of it, its
/// producer is of no more use.
const SUSPECT_MAX: Duration = Duration::from_secs(1);
/// How long a thread may take to end when nothing is wanted of it any more.
const FAREWELL: Duration = Duration::from_millis(200);
const NO_THREAD: &str = "the thread that produces has ended";

/// What ends a transaction.
pub(crate) struct Ending {
    pub(crate) offsets: TopicPartitionList,
    /// None if there are no offsets.
    pub(crate) group: Option<GroupMetadata>,
}

/// What the thread is asked to do.
enum Errand {
    Produce(Outputs),
    End(Ending),
}

/// What became of a transaction, and batches that can be filled again.
struct Ended {
    outcome: Result<CommitOutcome, Refused>,
    idle: Vec<Outputs>,
}

/// A transaction that the thread was asked to end.
struct Awaited {
    deadline: Instant,
    /// The request that was lost, once one was.
    suspicion: Option<String>,
}

impl Awaited {
    /// Why nothing is to be expected any more, if so.
    fn overdue(&mut self, producer: &Producer) -> Option<String> {
        let now = Instant::now();
        if self.suspicion.is_none() {
            self.suspicion = producer.suspicion();
            if self.suspicion.is_some() {
                self.deadline = self.deadline.min(now + SUSPECT_MAX);
            }
        }
        let why = || self.suspicion.as_deref().unwrap_or("its calls do not return");
        (now >= self.deadline).then(|| format!("no end of the transaction: {}", why()))
    }
}

/// See the module's documentation.
pub(crate) struct Courier {
    producer: Arc<Producer>,
    /// Longest that a call on the producer may take, the transaction's timeout.
    patience: Duration,
    errands: Sender<Errand>,
    ended: Receiver<Ended>,
    awaited: Option<Awaited>,
    idle: Vec<Outputs>,
    /// Says that nothing is wanted any more of what still waits.
    dismissed: Arc<AtomicBool>,
}

impl Courier {
    /// Takes a producer whose transactions are initialised; `wake` is told when one has ended.
    pub(crate) fn start(
        producer: Producer,
        patience: Duration,
        wake: Arc<Wake>,
    ) -> Result<Courier, LogError> {
        let producer = Arc::new(producer);
        let dismissed = Arc::new(AtomicBool::new(false));
        let (errands, received) = bounded(WAITING_MAX);
        let (ending, ended) = unbounded();
        let errands_run = Errands {
            producer: producer.clone(),
            patience,
            refused: None,
            dismissed: dismissed.clone(),
            wake,
        };
        thread::Builder::new()
            .name("produce".to_owned())
            .spawn(move || errands_run.run(&received, &ending))
            .map_err(|error| LogError::Retry(format!("starting a thread to produce: {error}")))?;
        Ok(Courier {
            producer,
            patience,
            errands,
            ended,
            awaited: None,
            idle: Vec::new(),
            dismissed,
        })
    }

    pub(crate) fn producer(&self) -> &Producer {
        &self.producer
    }

    /// Hands a copy of the outputs from number `first` on to the thread. That one was refused is told
    /// when the transaction ends.
    pub(crate) fn produce(&mut self, outputs: &Outputs, first: usize) -> Result<(), LogError> {
        let mut batch = self.idle.pop().unwrap_or_default();
        batch.copy_from(outputs, first);
        self.send(Errand::Produce(batch)).map_err(LogError::Transaction)
    }

    /// Has the transaction end when all that was handed on has reached the producer; what becomes of it
    /// is told by [`Self::ended`].
    pub(crate) fn end(&mut self, ending: Ending) -> Result<(), String> {
        self.send(Errand::End(ending))?;
        // Each of the calls may take as long as the transaction, and the first ones share that time.
        let deadline = Instant::now() + 2 * self.patience + SLICE;
        self.awaited = Some(Awaited { deadline, suspicion: None });
        Ok(())
    }

    /// Whether a transaction was asked to end, of which nothing is told yet.
    pub(crate) fn is_ending(&self) -> bool {
        self.awaited.is_some()
    }

    /// Whether there is an outcome to be told.
    pub(crate) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// What became of the transaction, told once; none if it does not become known within `wait`.
    pub(crate) fn ended(&mut self, wait: Duration) -> Option<Result<CommitOutcome, Refused>> {
        let mut awaited = self.awaited.take()?;
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.ended.recv_timeout(left.min(SLICE)) {
                Ok(Ended { outcome, idle }) => {
                    // The first lent is the first to be lent again: it grew the most.
                    self.idle.extend(idle.into_iter().rev());
                    return Some(outcome);
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Some(Ok(CommitOutcome::Unknown(NO_THREAD.to_owned())));
                }
                Err(RecvTimeoutError::Timeout) => self.producer.serve(),
            }
            if let Some(why) = awaited.overdue(&self.producer) {
                return Some(Ok(CommitOutcome::Unknown(why)));
            }
            if left.is_zero() {
                self.awaited = Some(awaited);
                return None;
            }
        }
    }

    /// Waits while too much is under way.
    fn send(&self, errand: Errand) -> Result<(), String> {
        let deadline = Instant::now() + 2 * self.patience;
        let mut errand = errand;
        loop {
            match self.errands.send_timeout(errand, SLICE) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Disconnected(_)) => return Err(NO_THREAD.to_owned()),
                Err(SendTimeoutError::Timeout(back)) if Instant::now() < deadline => {
                    self.producer.serve();
                    errand = back;
                }
                Err(SendTimeoutError::Timeout(_)) => {
                    return Err("the client takes no outputs".to_owned());
                }
            }
        }
    }
}

impl Drop for Courier {
    /// Waits for the thread unless it hangs: then it ends when its call does.
    fn drop(&mut self) {
        // Relaxed: it only spares work.
        self.dismissed.store(true, Ordering::Relaxed);
        self.errands = bounded(0).0;
        let deadline = Instant::now() + FAREWELL;
        while self.ended.recv_deadline(deadline).is_ok() {}
    }
}

impl std::fmt::Debug for Courier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Courier").field("producer", &self.producer).finish_non_exhaustive()
    }
}

/// The thread's side.
struct Errands {
    producer: Arc<Producer>,
    patience: Duration,
    /// The first output of the transaction that the producer did not take.
    refused: Option<Refused>,
    dismissed: Arc<AtomicBool>,
    wake: Arc<Wake>,
}

impl Errands {
    fn run(mut self, errands: &Receiver<Errand>, ended: &Sender<Ended>) {
        for errand in errands {
            // Relaxed: as above.
            if self.dismissed.load(Ordering::Relaxed) {
                break;
            }
            match errand {
                Errand::Produce(batch) => self.produce(batch),
                Errand::End(ending) => {
                    let outcome = self.end(&ending);
                    let idle = self.producer.take_back();
                    if ended.send(Ended { outcome, idle }).is_err() {
                        break;
                    }
                    self.wake.signal();
                }
            }
        }
    }

    fn produce(&mut self, batch: Outputs) {
        // What follows must not be committed without what is missing.
        if self.refused.is_none() {
            self.refused = self.producer.produce(batch, self.patience).err();
        }
    }

    fn end(&mut self, ending: &Ending) -> Result<CommitOutcome, Refused> {
        if let Some(refused) = self.refused.take() {
            return Err(refused);
        }
        let outcome = commit(&self.producer, ending, self.patience);
        Ok(outcome.err().unwrap_or(CommitOutcome::Committed))
    }
}

/// Sends the offsets, flushes and commits; whatever is not plainly committed is an error.
fn commit(producer: &Producer, ending: &Ending, patience: Duration) -> Result<(), CommitOutcome> {
    let deadline = Instant::now() + patience;
    if let Some(group) = &ending.group {
        let mut refused = None;
        let send = || {
            producer.send_offsets(&ending.offsets, group, patience).inspect_err(|error| {
                refused = error.abortable.then(|| error.to_string());
            })
        };
        if let Err(outcome) = retried(deadline, send) {
            return Err(match refused {
                Some(why) => abort(producer, deadline, why),
                None => outcome,
            });
        }
    }
    let unknown = |why: String| Err(CommitOutcome::Unknown(why));
    if !producer.flush(deadline) {
        return unknown("outputs are not acknowledged".to_owned());
    }
    if let Some(failed) = producer.failed_delivery() {
        return unknown(failed.to_string());
    }
    retried(deadline, || producer.commit(patience))?;
    producer.suspicion().map_or(Ok(()), |why| Err(CommitOutcome::CommittedSuspect(why)))
}

/// Ends a transaction that has failed for the reason given; what became of it.
fn abort(producer: &Producer, deadline: Instant, why: String) -> CommitOutcome {
    let aborted = retried(deadline, || {
        producer.serve();
        producer.abort()
    });
    // The records that were taken back say so.
    producer.serve();
    let failed_delivery = || producer.failed_delivery().map(|failed| failed.to_string());
    match (aborted, producer.suspicion().or_else(failed_delivery)) {
        (Ok(()), None) => CommitOutcome::Aborted(why),
        (Ok(()), Some(suspicion)) => CommitOutcome::Unknown(format!("{why}; {suspicion}")),
        (Err(outcome), _) => outcome,
    }
}

/// Makes a call until it succeeds, as long as it can be repeated and there is time.
fn retried(
    deadline: Instant,
    mut call: impl FnMut() -> Result<(), TransactionError>,
) -> Result<(), CommitOutcome> {
    loop {
        match call() {
            Ok(()) => return Ok(()),
            Err(error) if error.fenced() => return Err(CommitOutcome::Fenced(error.to_string())),
            Err(error) if error.retriable && Instant::now() < deadline => {}
            Err(error) => return Err(CommitOutcome::Unknown(error.to_string())),
        }
    }
}
