//! Work that may take its time, done off the worker's thread: opening partitions, asking for
//! committed offsets, publishing snapshots.
//!
//! The worker hands in a [`Job`] and later finds a [`Done`]; nothing else is shared. The threads of
//! [`Threads`] are one way to run jobs; a simulation runs them where it likes. Invariant: every job
//! is answered once, unless the process ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use ledger::Frozen;
use ledger::units::Offset;

use crate::log::{Committed, LogError, Partition};
use crate::opening::{NotOpened, Opened, Opener};
use crate::snapshot::{self, Header};
use crate::store::{Place, SnapshotStore, StoreError};

/// Something to be done.
#[derive(Debug)]
pub enum Job {
    /// Load a partition's state; the number is given back with the answer.
    Open(Partition, u64),
    /// Ask for committed offsets.
    Committed(Vec<Partition>),
    /// Serialise a state and keep it.
    Publish(Publication),
}

/// A state on its way to the snapshot store.
#[derive(Debug)]
pub struct Publication {
    /// Whose state.
    pub place: Place,
    /// What the snapshot says of itself.
    pub header: Header,
    /// The state.
    pub state: Frozen,
    /// The newest snapshot that this process has restored or published, which is therefore whole.
    pub previous: Option<Offset>,
    /// Held until the publication is over, so that one is under way at a time.
    pub slot: Option<SlotGuard>,
}

/// Something that was done.
#[derive(Debug)]
pub enum Done {
    /// A partition was opened or not, for the job of this number.
    Opened(Partition, u64, Result<Box<Opened>, NotOpened>),
    /// The committed offsets, in the order of the question.
    Committed(Result<Vec<Committed>, LogError>),
    /// A snapshot was published or not.
    Published {
        /// Whose snapshot.
        partition: Partition,
        /// Its offset.
        offset: Offset,
        /// What became of it.
        outcome: Result<Published, StoreError>,
    },
}

/// Figures of a published snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its size in the store.
    pub bytes: u64,
    /// How long serialising and storing took.
    pub took: Duration,
}

/// Runs jobs.
pub trait Background {
    /// Takes a job on; never waits.
    fn submit(&mut self, job: Job);

    /// The next finished job, if there is one; never waits.
    fn finished(&mut self) -> Option<Done>;
}

/// Lets one periodic snapshot at a time be under way in a process, whichever worker takes it.
#[derive(Debug, Clone, Default)]
pub struct SnapshotSlot(Arc<AtomicBool>);

/// Holds the slot; gives it back when dropped.
#[derive(Debug)]
pub struct SlotGuard(Arc<AtomicBool>);

impl SnapshotSlot {
    /// The slot, if nobody has it.
    pub fn take(&self) -> Option<SlotGuard> {
        // Acquire pairs with the Release of the guard's drop: what the last holder did is over.
        let taken = self.0.swap(true, Ordering::Acquire);
        (!taken).then(|| SlotGuard(Arc::clone(&self.0)))
    }

    /// Whether nobody has it; somebody may, a moment later.
    pub(crate) fn is_free(&self) -> bool {
        // Relaxed: nothing follows from it but an attempt to take it.
        !self.0.load(Ordering::Relaxed)
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        // Release pairs with the Acquire in `take`.
        self.0.store(false, Ordering::Release);
    }
}

/// Serialises a state, keeps it, and removes the snapshots that are no longer needed.
///
/// Of those below it the newest whole one stays, so that two can be started from.
pub fn publish(
    store: &dyn SnapshotStore,
    publication: Publication,
) -> Result<Published, StoreError> {
    let started = Instant::now();
    let Publication { place, header, state, previous, slot } = publication;
    let bytes = snapshot::encode(&place, &header, &state)
        .map_err(|error| StoreError(format!("cannot serialise: {error}")))?;
    // Gives the shared pages back before the slow part.
    drop(state);
    let size = bytes.len() as u64;
    let present = store.list(&place)?;
    keep(store, &place, header.offset, bytes, present.contains(&header.offset))?;
    let below = present.into_iter().filter(|old| *old < header.offset);
    prune(store, &place, below, previous)?;
    drop(slot);
    Ok(Published { bytes: size, took: started.elapsed() })
}

/// Leaves a whole snapshot at `offset`, whatever is there now.
fn keep(
    store: &dyn SnapshotStore,
    place: &Place,
    offset: Offset,
    bytes: Vec<u8>,
    is_present: bool,
) -> Result<(), StoreError> {
    if !is_present {
        return store.create(place, offset, bytes).map(drop);
    }
    if snapshot::is_whole(place, offset, &store.read(place, offset)?) {
        return Ok(());
    }
    tracing::warn!("the snapshot {place}/{} is damaged, writing it anew", offset.0);
    store.replace(place, offset, bytes)
}

/// Removes all but the newest whole one of these snapshots, which come newest first. They are read
/// down to that one only, and `previous` is known to be whole without.
fn prune(
    store: &dyn SnapshotStore,
    place: &Place,
    mut snapshots: impl Iterator<Item = Offset>,
    previous: Option<Offset>,
) -> Result<(), StoreError> {
    for offset in snapshots.by_ref() {
        if previous == Some(offset)
            || snapshot::is_whole(place, offset, &store.read(place, offset)?)
        {
            break;
        }
        tracing::warn!("the snapshot {place}/{} is damaged, removing it", offset.0);
        store.delete(place, offset)?;
    }
    snapshots.try_for_each(|offset| store.delete(place, offset))
}

/// Two threads of one worker: one opens and asks, one publishes.
#[derive(Debug)]
pub struct Threads {
    questions: Sender<Job>,
    publications: Sender<Publication>,
    done: Receiver<Done>,
}

impl Threads {
    /// Starts the threads; they end when this is dropped and their last job is over.
    pub fn start(mut opener: Opener, store: Arc<dyn SnapshotStore>) -> std::io::Result<Threads> {
        // Bounded by the number of partitions: a worker has at most one question and one
        // publication for each.
        let (questions, asked) = unbounded::<Job>();
        let (publications, to_publish) = bounded::<Publication>(1024);
        let (answers, done) = unbounded();
        let published = answers.clone();
        thread::Builder::new().name("opener".to_owned()).spawn(move || {
            for job in asked {
                let answer = match job {
                    Job::Open(partition, attempt) => {
                        Done::Opened(partition, attempt, opener.open(partition).map(Box::new))
                    }
                    Job::Committed(partitions) => Done::Committed(opener.committed(&partitions)),
                    Job::Publish(_) => continue,
                };
                if answers.send(answer).is_err() {
                    break;
                }
            }
        })?;
        thread::Builder::new().name("snapshots".to_owned()).spawn(move || {
            for publication in to_publish {
                let (partition, offset) = (publication.place.partition, publication.header.offset);
                let outcome = publish(&*store, publication);
                if published.send(Done::Published { partition, offset, outcome }).is_err() {
                    break;
                }
            }
        })?;
        Ok(Threads { questions, publications, done })
    }
}

impl Background for Threads {
    fn submit(&mut self, job: Job) {
        // A send fails only when the thread has panicked, and a panic ends the process
        // (`panic = "abort"` in the release profile).
        match job {
            Job::Publish(publication) => drop(self.publications.send(publication)),
            question => drop(self.questions.send(question)),
        }
    }

    fn finished(&mut self) -> Option<Done> {
        self.done.try_recv().ok()
    }
}
