//! The port's `Log` on Kafka: a group member, a fetcher and a transactional producer put together.
//!
//! Not a worker: it decides nothing about what is read or written. Invariant: records of a partition
//! are handed on only while it is this worker's, and a commit is confirmed by the group's own
//! metadata first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::units::Offset;
use pipeline::log::{CommitOutcome, Event, Log, LogError, Partition, PartitionCommit, Queues};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};
use wire::{Outputs, Topic};

use crate::courier::{Courier, Ending};
use crate::errors::{Class, Rights, class};
use crate::fetcher::Fetcher;
use crate::member::{Kind, Member};
use crate::producer::{Producer, Refused};
use crate::settings::Settings;
use crate::ticks::Ticks;
use crate::wake::Wake;

/// Longest wait for a producer's transactions before it is looked at what keeps them waiting.
const INITIALISE_SLICE: Duration = Duration::from_millis(100);
/// Pause between two questions whether trouble that a poll has told of is over.
const OVER_PAUSE: Duration = Duration::from_millis(500);
const NO_PRODUCER: &str = "there is no producer yet";

/// See the module's documentation. It must be dropped by the thread that uses it; that leaves the
/// group and can take as long as the group's coordinator takes to answer.
#[derive(Debug)]
pub struct KafkaLog {
    settings: Settings,
    rights: Rights,
    /// Why no transaction can be committed before somebody grants a right, once that is known.
    denied: Option<String>,
    /// What a poll has told of, as long as it is not over.
    trouble: Option<Trouble>,
    wake: Arc<Wake>,
    member: Member,
    fetcher: Fetcher,
    /// With the producer, once its transactions are initialised.
    courier: Option<Courier>,
    /// Why the transaction's end could not even be asked for, until that is told.
    not_asked_to_end: Option<String>,
    /// A producer whose transactions are being initialised.
    next_producer: Option<Producer>,
    ticks: Option<Ticks>,
}

/// Trouble with the brokers, and when it was last looked whether it is over.
#[derive(Debug)]
struct Trouble {
    told: String,
    looked_at: Instant,
}

impl KafkaLog {
    /// A member that has not joined yet, without a producer.
    pub fn new(settings: Settings) -> Result<KafkaLog, LogError> {
        settings.check().map_err(|error| LogError::Fatal(error.to_string()))?;
        let wake = Arc::new(Wake::default());
        Ok(KafkaLog {
            member: Member::new(&settings, &wake)?,
            fetcher: Fetcher::new(&settings, wake.clone())?,
            courier: None,
            not_asked_to_end: None,
            next_producer: None,
            ticks: None,
            wake,
            rights: Rights::of(&settings),
            denied: None,
            trouble: None,
            settings,
        })
    }

    /// Tells the worker what changed, and stops reading what is not its own any more.
    fn hand_on_changes(&mut self, on_event: &mut dyn FnMut(Event<'_>)) -> bool {
        let mut any = false;
        while let Some(change) = self.member.next_change() {
            if change.kind == Kind::Lost {
                change.partitions.iter().for_each(|partition| self.fetcher.stop(*partition));
            }
            on_event(change.as_event());
            any = true;
        }
        any
    }

    /// Serves and fetches until something has come, a transaction's outcome too, or the deadline has.
    fn poll_until(
        &mut self,
        deadline: Instant,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, LogError> {
        loop {
            self.wake.reset();
            let served = self.member.serve();
            let changed = self.hand_on_changes(on_event);
            served?;
            self.fetcher.serve();
            self.courier.iter().for_each(|courier| courier.producer().serve());
            self.ticks.iter().for_each(Ticks::serve);
            let records = self.fetcher.hand_on(on_event);
            if let Some(partition) = self.fetcher.take_missed() {
                self.member.miss(&self.settings.topics.orders, partition);
            }
            let records = records?;
            let ended = self.courier.as_ref().is_some_and(Courier::has_ended);
            if changed || ended || records.is_some() || !self.wake.wait_until(deadline) {
                return Ok(records.unwrap_or(0));
            }
        }
    }

    /// The client tells once that no broker is there, and nobody that one is back: where no record
    /// comes, the brokers are asked.
    fn tell_trouble(&mut self) -> Result<usize, LogError> {
        let Some(trouble) = &mut self.trouble else { return Ok(0) };
        if trouble.looked_at.elapsed() >= OVER_PAUSE {
            if self.member.is_answered() {
                self.trouble = None;
                return Ok(0);
            }
            trouble.looked_at = Instant::now();
        }
        Err(LogError::Retry(trouble.told.clone()))
    }

    /// Goes on with initialising a producer's transactions.
    fn initialise_producer(&mut self, wait: Duration) -> Result<(), LogError> {
        let producer = match self.next_producer.take() {
            Some(producer) => producer,
            None => Producer::new(&self.settings)?,
        };
        let initialised = producer.init_transactions(wait);
        producer.serve();
        match &initialised {
            Ok(()) => {
                let (patience, wake) = (self.transaction_timeout(), self.wake.clone());
                self.courier = Some(Courier::start(producer, patience, wake)?);
            }
            // The broker is still ending what the last producer left open. This client would ask
            // again half a second later, a new one asks at once.
            Err(error) if error.is_concurrent() => {}
            Err(error) if error.retriable => self.next_producer = Some(producer),
            // The next attempt needs a new client.
            Err(_) => {}
        }
        initialised.map_err(|error| error.into_log_error(&self.rights))
    }

    fn courier(&mut self) -> Result<&mut Courier, LogError> {
        self.courier.as_mut().ok_or_else(|| LogError::Transaction(NO_PRODUCER.to_owned()))
    }

    fn transaction_timeout(&self) -> Duration {
        Duration::from_millis(self.settings.transaction_timeout_ms.into())
    }

    /// What a record's refusal by the producer means.
    fn not_produced(&mut self, refused: Refused) -> CommitOutcome {
        let Refused { topic, partition, code } = refused;
        let name = self.settings.topics.output(topic);
        if class(code) == Class::Missing {
            self.member.miss(name, partition);
        }
        let message = format!("producing to {name} {partition}: {code}");
        let error = self.rights.with_code("Write", name, code, message);
        if let LogError::Fatal(why) = &error {
            self.denied = Some(why.clone());
        }
        // What was handed on before stays in the transaction, so it cannot be repeated.
        CommitOutcome::Unknown(error.to_string())
    }

    fn offsets(&self, commits: &[PartitionCommit]) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(commits.len());
        for commit in commits {
            let partition = i32::try_from(commit.partition).expect("the group gave it so");
            let offset = i64::try_from(commit.offset.0).expect("offsets come from the log");
            let mut element = list.add_partition(&self.settings.topics.orders, partition);
            element.set_offset(NativeOffset::Offset(offset))?;
            element.set_metadata(&commit.metadata);
        }
        Ok(list)
    }

    /// What the brokers' ACLs do not allow, if that is why a transaction was refused.
    fn denial(&self) -> Option<String> {
        let (code, topic) = self.courier.as_ref()?.producer().refusal()?;
        let outputs = || Topic::ALL.map(|topic| self.settings.topics.output(topic)).join(" or ");
        let denial = self.rights.denial(code, "Write", &topic.unwrap_or_else(outputs))?;
        Some(format!("committing: {denial}"))
    }

    /// Fails if no transaction can be committed before somebody grants a right.
    fn check_denied(&mut self) -> Result<(), LogError> {
        self.denied.take().map_or(Ok(()), |denied| Err(LogError::Fatal(denied)))
    }

    /// What ends the transaction, if the group still has it so; why not, if it has not.
    fn ending(&mut self, commits: &[PartitionCommit]) -> Result<Ending, String> {
        let offsets = self.offsets(commits).map_err(|error| error.to_string())?;
        // Without offsets nothing is claimed that the group could have given to somebody else.
        let group = match commits {
            [] => None,
            _ => {
                let partitions = commits.iter().map(|commit| commit.partition);
                Some(self.member.metadata_for(partitions)?)
            }
        };
        Ok(Ending { offsets, group })
    }

    fn try_to_end(&mut self, commits: &[PartitionCommit]) -> Result<(), String> {
        let ending = self.ending(commits)?;
        let courier = self.courier.as_mut().ok_or_else(|| NO_PRODUCER.to_owned())?;
        courier.end(ending)
    }

    fn outcome(&mut self, wait: Duration) -> Option<CommitOutcome> {
        if let Some(why) = self.not_asked_to_end.take() {
            return Some(CommitOutcome::Unknown(why));
        }
        let outcome = self.courier.as_mut()?.ended(wait)?;
        Some(outcome.unwrap_or_else(|refused| self.not_produced(refused)))
    }
}

impl Log for KafkaLog {
    fn poll(
        &mut self,
        wait: Duration,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, LogError> {
        self.check_denied()?;
        match self.poll_until(Instant::now() + wait, on_event) {
            Ok(0) => self.tell_trouble(),
            Err(LogError::Retry(told)) => {
                self.trouble = Some(Trouble { told: told.clone(), looked_at: Instant::now() });
                Err(LogError::Retry(told))
            }
            polled => {
                self.trouble = None;
                polled
            }
        }
    }

    fn start(&mut self, partition: Partition, offset: Offset) -> Result<(), LogError> {
        if !self.member.works_on(partition) {
            // It was lost meanwhile, of which the next poll will tell.
            tracing::debug!(partition, "not started: it is not this worker's any more");
            return Ok(());
        }
        self.fetcher.start(partition, offset)
    }

    fn stop(&mut self, partition: Partition) -> Result<(), LogError> {
        self.fetcher.stop(partition);
        Ok(())
    }

    fn release(&mut self, partitions: &[Partition]) -> Result<(), LogError> {
        partitions.iter().for_each(|partition| self.fetcher.stop(*partition));
        self.member.release(partitions)
    }

    fn join(&mut self) -> Result<(), LogError> {
        self.member.join()
    }

    fn leave(&mut self) -> Result<(), LogError> {
        self.member.leave()
    }

    fn replace_producer(&mut self, wait: Duration) -> Result<(), LogError> {
        self.check_denied()?;
        self.courier = None;
        self.not_asked_to_end = None;
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let initialised = self.initialise_producer(left.min(INITIALISE_SLICE));
            match initialised {
                Err(LogError::Retry(_)) if Instant::now() < deadline => {}
                initialised => return initialised,
            }
        }
    }

    fn begin(&mut self) -> Result<(), LogError> {
        let courier = self.courier()?;
        if courier.is_ending() {
            return Err(LogError::Transaction("the one before has not ended".to_owned()));
        }
        let begun = courier.producer().begin();
        begun.map_err(|error| error.into_log_error(&self.rights))
    }

    fn produce(&mut self, outputs: &Outputs, first: usize) -> Result<(), LogError> {
        self.courier()?.produce(outputs, first)
    }

    fn end(&mut self, commits: &[PartitionCommit]) {
        self.not_asked_to_end = self.try_to_end(commits).err();
    }

    fn ended(&mut self, wait: Duration) -> Option<CommitOutcome> {
        let outcome = self.outcome(wait)?;
        if outcome != CommitOutcome::Committed {
            self.denied = self.denied.take().or_else(|| self.denial());
        }
        if matches!(outcome, CommitOutcome::Unknown(_)) {
            // The client keeps records for a topic that the brokers do not know, and says nothing.
            for topic in Topic::ALL {
                self.member.miss(self.settings.topics.output(topic), 0);
            }
        }
        Some(outcome)
    }

    fn append_tick(&mut self, partition: Partition) -> Result<(), LogError> {
        let ticks = match self.ticks.take() {
            Some(ticks) => ticks,
            None => Ticks::new(&self.settings)?,
        };
        ticks.append(partition);
        self.ticks = Some(ticks);
        Ok(())
    }

    fn readable_end(&self, partition: Partition) -> Option<Offset> {
        self.fetcher.readable_end(partition)
    }

    fn log_end(&self, partition: Partition) -> Option<Offset> {
        self.fetcher.log_end(partition)
    }

    fn queues(&self) -> Queues {
        let unacknowledged = |courier: &Courier| courier.producer().unacknowledged();
        Queues {
            fetched: self.fetcher.waiting(),
            unacknowledged: self.courier.as_ref().map_or(0, unacknowledged),
        }
    }
}
