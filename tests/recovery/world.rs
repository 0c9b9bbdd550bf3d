//! A worker's surroundings, all in the test's hands: the embedded log with scripted faults, the
//! clock, the snapshot store, and the jobs that are otherwise done on other threads.
//!
//! Not a simulator: nothing here is drawn by chance, each test says what happens when. Invariant:
//! one thread, and no time passes but by [`World::pass`].

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ledger::rules::Rules;
use ledger::units::Offset;
use pipeline::background::{Background, Done, Job, SnapshotSlot, publish};
use pipeline::clock::Clock;
use pipeline::embedded::faults::{Call, Caller, Faults, Verdict};
use pipeline::embedded::{EmbeddedBroker, MemberId, Settings, Timestamps, Topic};
use pipeline::log::{Committed, Log as _, LogError, Offsets as _, Partition, PartitionCommit};
use pipeline::opening::{NotOpened, Opener, Pipeline};
use pipeline::settings::WorkerSettings;
use pipeline::status::{PartitionStatus, Shared};
use pipeline::stock_view::StockViews;
use pipeline::store::{Created, Place, SnapshotStore, StoreError};
use pipeline::worker::{Turn, Worker, WorkerError};

use crate::sale::Sale;
use crate::sides;
use echo::Echo;

#[path = "echo.rs"]
mod echo;

pub(crate) const GROUP: &str = "settle";
pub(crate) const NAME: &str = "settle-0";
/// Log time at the beginning: midnight of Double 11 in China.
const START: u64 = 1_762_790_400_000;
/// How much time passes from one turn to the next.
pub(crate) const STEP: u64 = 20;

/// See the module's documentation.
pub(crate) struct World {
    pub(crate) broker: Arc<EmbeddedBroker>,
    pub(crate) script: Script,
    pub(crate) store: Arc<Shelf>,
    pub(crate) rules: Rules,
    pub(crate) settings: WorkerSettings,
    pub(crate) sales: Vec<Sale>,
    /// Whether workers hired from now on are handed every record twice.
    pub(crate) echoes: bool,
    /// Where the input seems to end to workers, while this is set.
    pub(crate) ebb: Rc<Cell<Option<Offset>>>,
    /// For how many turns a worker is told nothing of a transaction that it has asked to end.
    pub(crate) delay: Rc<Cell<u32>>,
    clock: ManualClock,
}

/// A worker and what the test sees of it.
pub(crate) struct Hand {
    pub(crate) worker: Worker<Echo, Desk, ManualClock>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) desk: Desk,
    pub(crate) member: MemberId,
}

impl World {
    /// So many partitions under CreateTime, snapshots every 100 ms.
    pub(crate) fn new(partitions: u32) -> World {
        World::with_timestamps(partitions, Timestamps::CreateTime)
    }

    /// The same with another kind of timestamps; ticks where they belong.
    pub(crate) fn with_timestamps(partitions: u32, input_timestamps: Timestamps) -> World {
        let rules = Rules { partitions, hold_ttl_ms: 2_000, ..Rules::default() };
        let mut world = World::empty(rules, input_timestamps);
        for partition in 0..partitions {
            let sale = Sale::in_partition(partition, partitions);
            sides::append(&world.broker, partition, &sale.opening(world.now()));
            world.sales.push(sale);
        }
        world
    }

    /// Without anything in the log, and without a sale.
    pub(crate) fn empty(rules: Rules, input_timestamps: Timestamps) -> World {
        let script = Script::default();
        let partitions = rules.partitions;
        let settings = Settings { partitions, input_timestamps, ..Settings::default() };
        let broker = EmbeddedBroker::simulated(settings, Box::new(script.clone()));
        broker.set_now(START.cast_signed());
        World {
            broker,
            script,
            store: Arc::new(Shelf::default()),
            rules,
            settings: WorkerSettings {
                snapshot_interval: Duration::from_millis(100),
                ticks: input_timestamps == Timestamps::LogAppendTime,
                ..WorkerSettings::default()
            },
            sales: Vec::new(),
            echoes: false,
            ebb: Rc::default(),
            delay: Rc::default(),
            clock: ManualClock::default(),
        }
    }

    /// Log time by the broker's clock.
    pub(crate) fn now(&self) -> u64 {
        self.broker.now().cast_unsigned()
    }

    /// Lets time pass, for the workers and for the broker.
    pub(crate) fn pass(&self, ms: u64) {
        let now = self.clock.0.fetch_add(ms, Ordering::Relaxed) + ms;
        self.broker.set_now((START + now).cast_signed());
    }

    /// Publishes a round of the sale in every partition.
    pub(crate) fn publish(&mut self) {
        for partition in 0..self.rules.partitions {
            self.publish_in(partition);
        }
    }

    /// Publishes a round of the sale in one partition.
    pub(crate) fn publish_in(&mut self, partition: Partition) {
        let now = self.now();
        let round = self.sales[partition as usize].round(now);
        sides::append(&self.broker, partition, &round);
    }

    pub(crate) fn pipeline(&self) -> Pipeline {
        Pipeline {
            cluster: "cluster".to_owned(),
            group: GROUP.to_owned(),
            topic: sides::INPUT.to_owned(),
            rules: self.rules,
        }
    }

    /// A worker of this name that has not turned yet.
    pub(crate) fn hire(&self, name: &str) -> Hand {
        let log = Echo {
            log: self.broker.member(GROUP, name),
            is_on: self.echoes,
            ebb: Rc::clone(&self.ebb),
            delay: Rc::clone(&self.delay),
            delayed: 0,
        };
        let member = log.id();
        let store: Arc<dyn SnapshotStore> = Arc::<Shelf>::clone(&self.store);
        let offsets = Box::new(self.broker.offsets(GROUP));
        let opener = Opener::new(self.pipeline(), offsets, Arc::clone(&store));
        let desk = Desk::new(opener, store);
        let shared = Arc::new(Shared::new(0, Arc::new(StockViews::default())));
        let worker = Worker::new(
            log,
            desk.clone(),
            self.clock.clone(),
            self.pipeline(),
            self.settings.clone(),
            SnapshotSlot::default(),
            Arc::clone(&shared),
        );
        Hand { worker, shared, desk, member }
    }

    /// Ends a worker as `kill -9` does, and lets the group notice it, as it would after the session
    /// timeout.
    pub(crate) fn kill(&self, hand: Hand) {
        self.broker.vanish(hand.member);
        self.broker.expire_session(hand.member);
        drop(hand);
    }

    /// One turn of a worker, after a step of time.
    pub(crate) fn turn(&self, hand: &mut Hand) -> Result<Turn, WorkerError> {
        self.pass(STEP);
        hand.worker.turn()
    }

    /// So many turns, none of which may fail.
    pub(crate) fn turns(&self, hand: &mut Hand, turns: u32) {
        for _ in 0..turns {
            assert_eq!(self.turn(hand).expect("the worker goes on"), Turn::Again);
        }
    }

    /// Turns until something has come about, which takes not long.
    pub(crate) fn until(&self, hand: &mut Hand, what: &str, has_come: impl Fn(&World) -> bool) {
        for _ in 0..500 {
            if has_come(self) {
                return;
            }
            self.turns(hand, 1);
        }
        panic!("never: {what}");
    }

    /// Turns until a transaction is open.
    pub(crate) fn until_in_transaction(&self, hand: &mut Hand) {
        let is_open = |world: &World| !world.broker.open_transactions().is_empty();
        self.until(hand, "an open transaction", is_open);
    }

    /// Turns until nothing can be left to do: every retry pause and the counters' quiet second are
    /// over.
    pub(crate) fn settle(&self, hand: &mut Hand) {
        self.turns(hand, 150);
    }

    /// Stops a worker as SIGTERM does.
    pub(crate) fn stop(&self, mut hand: Hand) {
        hand.shared.stop();
        for _ in 0..1_000 {
            if self.turn(&mut hand).expect("the worker goes on") == Turn::Left {
                return;
            }
        }
        panic!("the worker does not leave");
    }

    /// What is committed for a partition.
    pub(crate) fn committed(&self, partition: Partition) -> Committed {
        let asked = self.broker.offsets(GROUP).committed(&[partition], Duration::ZERO);
        asked.expect("no transaction is open").remove(0)
    }

    /// The end of a partition's input.
    pub(crate) fn end(&self, partition: Partition) -> Offset {
        self.broker.bounds(Topic::Input, partition).next
    }

    /// Every input record is answered, and all is as the plain model says.
    pub(crate) fn assert_settled(&self, what: &str) {
        for partition in 0..self.rules.partitions {
            self.assert_partition_settled(partition, what);
        }
    }

    pub(crate) fn assert_partition_settled(&self, partition: Partition, what: &str) {
        let committed = self.committed(partition).offset;
        let inputs = sides::committed_inputs(&self.broker, partition);
        let answered = inputs.last().map(|last| Offset(last.offset + 1));
        assert_eq!(committed, answered, "{what}: partition {partition}");
        let verdict = sides::audit_partition(&self.broker, &self.rules, partition);
        assert!(verdict.verdict.clean(), "{what}: {verdict:#?}");
        assert!(verdict.verdict.outputs > 0, "{what}: nothing was written");
    }

    /// How many committed outputs there are in a partition, counters included.
    pub(crate) fn outputs(&self, partition: Partition) -> usize {
        let of = |topic| sides::committed_outputs(&self.broker, topic, partition).len();
        wire::Topic::ALL.into_iter().map(of).sum()
    }

    pub(crate) fn place(&self, partition: Partition) -> Place {
        self.pipeline().place(partition)
    }

    /// The snapshots of a partition, newest first.
    pub(crate) fn snapshots(&self, partition: Partition) -> Vec<Offset> {
        self.store.list(&self.place(partition)).expect("the shelf always answers")
    }

    /// Commits offsets as a member of the group that produces nothing, when no other is there.
    pub(crate) fn commit_by_hand(&self, commits: &[PartitionCommit]) {
        let mut log = self.broker.member(GROUP, "by-hand");
        log.replace_producer(Duration::ZERO).expect("no fault is scripted");
        log.join().expect("no fault is scripted");
        log.poll(Duration::ZERO, &mut |_| {}).expect("no fault is scripted");
        log.begin().expect("no fault is scripted");
        assert_eq!(log.commit(commits), pipeline::log::CommitOutcome::Committed);
        self.broker.expire_session(log.id());
    }
}

impl Hand {
    /// What the worker tells of a partition.
    pub(crate) fn partition(&self, partition: Partition) -> PartitionStatus {
        let status = self.shared.status();
        let found = status.partitions.into_iter().find(|status| status.partition == partition);
        found.expect("the partition is assigned")
    }

    /// In which phase a partition is, and why.
    pub(crate) fn phase(&self, partition: Partition) -> (&'static str, String) {
        let PartitionStatus { phase, reason, .. } = self.partition(partition);
        (phase, reason.unwrap_or_default())
    }

    /// What became of each attempt to open a partition, oldest first.
    pub(crate) fn openings(&self) -> Vec<Opening> {
        self.desk.0.borrow().openings.clone()
    }
}

/// An attempt to open a partition, as the worker was told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) partition: Partition,
    pub(crate) outcome: Result<Start, NotOpened>,
}

/// Where a partition starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) at: Offset,
    pub(crate) replay_until: Option<Offset>,
    pub(crate) snapshot: Option<Offset>,
    pub(crate) skipped: Vec<String>,
}

/// The workers' clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct ManualClock(Arc<AtomicU64>);

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Does a worker's jobs when they are asked for, unless the test holds them back.
#[derive(Clone)]
pub(crate) struct Desk(Rc<RefCell<Papers>>);

struct Papers {
    opener: Opener,
    store: Arc<dyn SnapshotStore>,
    jobs: VecDeque<Job>,
    holds_openings: bool,
    holds_publications: bool,
    /// What was done and is not told of yet.
    answers: VecDeque<Done>,
    /// How many openings the worker may still be told of.
    answers_told_max: u64,
    openings: Vec<Opening>,
}

impl Desk {
    fn new(opener: Opener, store: Arc<dyn SnapshotStore>) -> Desk {
        Desk(Rc::new(RefCell::new(Papers {
            opener,
            store,
            jobs: VecDeque::new(),
            holds_openings: false,
            holds_publications: false,
            answers: VecDeque::new(),
            answers_told_max: u64::MAX,
            openings: Vec::new(),
        })))
    }

    /// No snapshot is published while this is set.
    pub(crate) fn hold_publications(&self, hold: bool) {
        self.0.borrow_mut().holds_publications = hold;
    }

    /// Partitions are opened, but the worker is told of so many only, until this is called again.
    pub(crate) fn tell_at_most(&self, openings: u64) {
        self.0.borrow_mut().answers_told_max = openings;
    }

    /// No partition is opened while this is set.
    pub(crate) fn hold_openings(&self, hold: bool) {
        self.0.borrow_mut().holds_openings = hold;
    }
}

impl Papers {
    fn is_held(&self, job: &Job) -> bool {
        match job {
            Job::Open(..) => self.holds_openings,
            Job::Publish(_) => self.holds_publications,
            Job::Committed(_) => false,
        }
    }

    fn work(&mut self, job: Job) -> Done {
        match job {
            Job::Open(partition, attempt) => {
                let outcome = self.opener.open(partition).map(Box::new);
                let told = match &outcome {
                    Err(why) => Err(why.clone()),
                    Ok(opened) => Ok(Start {
                        at: opened.engine.next(),
                        replay_until: opened.replay.map(|replay| replay.until),
                        snapshot: opened.snapshot,
                        skipped: opened.skipped.clone(),
                    }),
                };
                self.openings.push(Opening { partition, outcome: told });
                Done::Opened(partition, attempt, outcome)
            }
            Job::Committed(partitions) => Done::Committed(self.opener.committed(&partitions)),
            Job::Publish(publication) => {
                let (partition, offset) = (publication.place.partition, publication.header.offset);
                Done::Published { partition, offset, outcome: publish(&*self.store, publication) }
            }
        }
    }
}

impl Background for Desk {
    fn submit(&mut self, job: Job) {
        self.0.borrow_mut().jobs.push_back(job);
    }

    fn finished(&mut self) -> Option<Done> {
        let mut papers = self.0.borrow_mut();
        while let Some(next) = papers.jobs.iter().position(|job| !papers.is_held(job)) {
            let job = papers.jobs.remove(next)?;
            let done = papers.work(job);
            papers.answers.push_back(done);
        }
        let is_opening = |done: &Done| matches!(done, Done::Opened(..));
        let may_tell = |done: &Done| !is_opening(done) || papers.answers_told_max > 0;
        let next = papers.answers.iter().position(may_tell)?;
        let done = papers.answers.remove(next)?;
        papers.answers_told_max -= u64::from(is_opening(&done));
        Some(done)
    }
}

/// Snapshots in memory, where a test can get at them.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    snapshots: Mutex<BTreeMap<(String, u64), Vec<u8>>>,
    is_broken: Mutex<bool>,
}

impl Shelf {
    /// Every call fails while this is set.
    pub(crate) fn set_broken(&self, broken: bool) {
        *lock(&self.is_broken) = broken;
    }

    /// Changes a snapshot's bytes.
    pub(crate) fn tamper(&self, place: &Place, offset: Offset, tamper: impl FnOnce(&mut Vec<u8>)) {
        let mut snapshots = lock(&self.snapshots);
        let bytes = snapshots.get_mut(&(place.to_string(), offset.0));
        tamper(bytes.expect("the snapshot is there"));
    }

    /// Puts bytes where a snapshot would be.
    pub(crate) fn put(&self, place: &Place, offset: Offset, bytes: Vec<u8>) {
        lock(&self.snapshots).insert((place.to_string(), offset.0), bytes);
    }

    fn check(&self) -> Result<(), StoreError> {
        let is_broken = *lock(&self.is_broken);
        if is_broken { Err(StoreError("the shelf is broken".to_owned())) } else { Ok(()) }
    }
}

impl SnapshotStore for Shelf {
    fn list(&self, place: &Place) -> Result<Vec<Offset>, StoreError> {
        self.check()?;
        let place = place.to_string();
        let snapshots = lock(&self.snapshots);
        let here = snapshots.keys().filter(|(at, _)| *at == place);
        Ok(here.map(|(_, offset)| Offset(*offset)).rev().collect())
    }

    fn read(&self, place: &Place, offset: Offset) -> Result<Vec<u8>, StoreError> {
        self.check()?;
        let found = lock(&self.snapshots).get(&(place.to_string(), offset.0)).cloned();
        found.ok_or_else(|| StoreError("there is no such snapshot".to_owned()))
    }

    fn create(&self, place: &Place, offset: Offset, bytes: Vec<u8>) -> Result<Created, StoreError> {
        self.check()?;
        match lock(&self.snapshots).entry((place.to_string(), offset.0)) {
            std::collections::btree_map::Entry::Occupied(_) => Ok(Created::Existed),
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(bytes);
                Ok(Created::New)
            }
        }
    }

    fn replace(&self, place: &Place, offset: Offset, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.check()?;
        self.put(place, offset, bytes);
        Ok(())
    }

    fn delete(&self, place: &Place, offset: Offset) -> Result<(), StoreError> {
        self.check()?;
        lock(&self.snapshots).remove(&(place.to_string(), offset.0));
        Ok(())
    }
}

/// What is to become of calls on the log; whatever nobody asked for passes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script(Arc<Mutex<Scripted>>);

#[derive(Debug, Default)]
struct Scripted {
    /// Each waits for the next call of its name and is used up by it.
    expected: VecDeque<(&'static str, Verdict)>,
    /// The verdict on the call of this number, whichever it is.
    at_call: Option<(u64, Verdict)>,
    calls: BTreeMap<&'static str, u64>,
    calls_all: u64,
}

impl Script {
    /// The next call of this name ends so.
    pub(crate) fn expect(&self, call: &'static str, verdict: Verdict) {
        lock(&self.0).expected.push_back((call, verdict));
    }

    /// Call number `number`, from 0, ends so.
    pub(crate) fn expect_at(&self, number: u64, verdict: Verdict) {
        lock(&self.0).at_call = Some((number, verdict));
    }

    /// Whether everything that was asked for has happened.
    pub(crate) fn is_over(&self) -> bool {
        let scripted = lock(&self.0);
        scripted.expected.is_empty() && scripted.at_call.is_none()
    }

    /// Forgets what was asked for and has not happened.
    pub(crate) fn clear(&self) {
        let mut scripted = lock(&self.0);
        scripted.expected.clear();
        scripted.at_call = None;
    }

    /// How many calls of a name there were.
    pub(crate) fn calls(&self, name: &str) -> u64 {
        lock(&self.0).calls.get(name).copied().unwrap_or_default()
    }
}

impl Faults for Script {
    fn verdict(&self, _caller: Caller<'_>, call: Call<'_>) -> Verdict {
        let mut scripted = lock(&self.0);
        let name = name_of(call);
        *scripted.calls.entry(name).or_default() += 1;
        let number = scripted.calls_all;
        scripted.calls_all += 1;
        if let Some((at, verdict)) = scripted.at_call.take_if(|(at, _)| *at == number) {
            let _: u64 = at;
            return verdict;
        }
        let next = scripted.expected.iter().position(|(expected, _)| *expected == name);
        let verdict = next.and_then(|next| scripted.expected.remove(next));
        verdict.map_or(Verdict::Pass, |(_, verdict)| verdict)
    }
}

fn name_of(call: Call<'_>) -> &'static str {
    match call {
        Call::Poll => "poll",
        Call::Start(_) => "start",
        Call::Stop(_) => "stop",
        Call::Release(_) => "release",
        Call::Join => "join",
        Call::Leave => "leave",
        Call::InitProducer => "init",
        Call::Begin => "begin",
        Call::Produce { .. } => "produce",
        Call::SendOffsets => "offsets",
        Call::EndTransaction => "end",
        Call::AbortTransaction => "abort",
        Call::AppendTick(_) => "tick",
        Call::Committed(_) => "committed",
        Call::InputBounds(_) => "bounds",
        Call::OutputsAreEmpty(_) => "outputs",
        Call::PartitionCount => "partitions",
        Call::ClusterId => "cluster",
    }
}

/// Trouble in passing.
pub(crate) fn trouble() -> LogError {
    LogError::Retry("timed out".to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
