//! A worker's membership in the consumer group.
//!
//! Not a reader: the member's own client fetches nothing. Invariant: the group is answered once for
//! every change, and a partition counts as this worker's only under the identity (member id and
//! generation) under which the group last told what it owns, and never before the worker has heard
//! of a loss that came in between.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pipeline::log::{Event, LogError, Partition};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use crate::absence::Absence;
use crate::bootstrap::remind;
use crate::errors::{Rights, is_missing, log_error};
use crate::logging::Logging;
use crate::metadata::{GroupMetadata, Identity};
use crate::orphans::{Orphans, orphans};
use crate::ownership::Ownership;
use crate::settings::Settings;
use crate::wake::Wake;

/// How long a commit waits for the group to tell what changed with a new generation.
const SETTLE_MAX: Duration = Duration::from_secs(1);
/// Longest wait for an answer about a topic or the group.
const ANSWER_WAIT: Duration = Duration::from_millis(500);
/// How often a member that owes an answer looks whether the group still knows it.
const STILL_MEMBER_INTERVAL: Duration = Duration::from_millis(200);

/// Longest that a departing member waits until the client has told the group ...
const DEPART_MAX: Duration = Duration::from_secs(2);
/// ... and how often it looks.
const DEPART_LOOK: Duration = Duration::from_millis(10);

/// Being fenced this often within [`FENCED_WITHIN`] means that somebody else uses our name.
const FENCED_MAX: usize = 3;
const FENCED_WITHIN: Duration = Duration::from_secs(60);

/// See the module's documentation.
pub(crate) struct Member {
    settings: Settings,
    rights: Rights,
    wake: Arc<Wake>,
    ownership: Ownership,
    absence: Absence,
    orphans: Orphans,
    /// Under which the worker was last told what it owns.
    identity: Option<Identity>,
    /// What the worker has yet to be told, in order.
    untold: VecDeque<Change>,
    checked_at: Instant,
    unsubscribed: bool,
    /// When members of the same name took this one's place, lately.
    fenced_at: VecDeque<Instant>,
    consumer: BaseConsumer<Rebalances>,
}

/// A change of what the worker owns.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) kind: Kind,
    pub(crate) partitions: Vec<Partition>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Assigned,
    Revoked,
    Lost,
}

impl Change {
    pub(crate) fn as_event(&self) -> Event<'_> {
        match self.kind {
            Kind::Assigned => Event::Assigned(&self.partitions),
            Kind::Revoked => Event::Revoked(&self.partitions),
            Kind::Lost => Event::Lost(&self.partitions),
        }
    }
}

impl Member {
    /// A member that has not joined yet. `wake` is signalled when the group has something to say.
    pub(crate) fn new(settings: &Settings, wake: &Arc<Wake>) -> Result<Member, LogError> {
        Ok(Member {
            settings: settings.clone(),
            rights: Rights::of(settings),
            wake: wake.clone(),
            ownership: Ownership::default(),
            absence: Absence::new(Duration::from_millis(settings.missing_topic_ms.into())),
            orphans: Orphans::new(),
            identity: None,
            untold: VecDeque::new(),
            checked_at: Instant::now(),
            unsubscribed: false,
            fenced_at: VecDeque::new(),
            consumer: client(settings, wake)?,
        })
    }

    pub(crate) fn join(&mut self) -> Result<(), LogError> {
        self.consumer
            .subscribe(&[&self.settings.topics.orders])
            .map_err(|error| log_error("joining the group", &error))
    }

    /// Serves the group without waiting. Errors are about the group as a whole.
    pub(crate) fn serve(&mut self) -> Result<(), LogError> {
        let mut result = Ok(());
        loop {
            let callbacks = self.consumer.context().logging.callbacks();
            if let Some(Err(error)) = self.consumer.poll(Duration::ZERO) {
                if is_missing(&error) {
                    self.absence.miss(&self.settings.topics.orders, 0);
                }
                let orders = &self.settings.topics.orders;
                let error = self.rights.log_error("Read", orders, "serving the group", &error);
                result = Err(self.consumer.context().logging.explained_in_passing(error));
            }
            if self.consumer.context().logging.callbacks() == callbacks {
                break;
            }
        }
        remind(&self.consumer);
        self.take_in();
        if let Some((code, why)) = self.consumer.client().fatal_error() {
            return self.on_fatal(code, &why);
        }
        self.notice_expulsion();
        self.answer()?;
        self.look_for_missing_topics()?;
        self.look_for_orphans()?;
        result
    }

    /// The client goes on after most errors, but not after these.
    fn on_fatal(&mut self, code: RDKafkaErrorCode, why: &str) -> Result<(), LogError> {
        if code != RDKafkaErrorCode::FencedInstanceId {
            return Err(LogError::Fatal(format!("serving the group: {why}")));
        }
        let now = Instant::now();
        self.fenced_at.push_back(now);
        self.fenced_at.retain(|at| now.duration_since(*at) < FENCED_WITHIN);
        if self.fenced_at.len() < FENCED_MAX {
            return self.start_over();
        }
        Err(LogError::Fatal(
            "another process uses the name of this one in the group. Give each process its own \
             --instance"
                .to_owned(),
        ))
    }

    /// Another member has taken this one's place under its name. That need not be another process: a
    /// request to join that was taken for lost can reach the group behind the one that was sent in its
    /// stead. So this one joins anew; a namesake that lives does the same, until one of them has been
    /// fenced too often.
    fn start_over(&mut self) -> Result<(), LogError> {
        tracing::warn!("fenced by a member of the same name, joining the group anew");
        let lost = self.ownership.start_over();
        self.tell(Kind::Lost, lost);
        self.identity = None;
        let consumer = client(&self.settings, &self.wake)?;
        let fenced = std::mem::replace(&mut self.consumer, consumer);
        fenced.context().closing.store(true, Ordering::Relaxed);
        drop(fenced);
        if self.ownership.can_leave() { Ok(()) } else { self.join() }
    }

    /// A call failed, perhaps because the brokers do not know this partition of this topic.
    pub(crate) fn miss(&mut self, topic: &str, partition: Partition) {
        self.absence.miss(topic, partition);
    }

    fn look_for_missing_topics(&mut self) -> Result<(), LogError> {
        self.absence.look(|topic, partition| {
            let metadata = self
                .consumer
                .fetch_metadata(Some(topic), ANSWER_WAIT)
                .map_err(|error| log_error("asking for a missing topic", &error))?;
            let mut topics = metadata.topics().iter().filter(|found| found.name() == topic);
            Ok(topics.any(|found| found.partitions().len() > partition as usize))
        })
    }

    /// Who has nothing to do has time to see whether it should have: see [`crate::orphans`].
    fn look_for_orphans(&mut self) -> Result<(), LogError> {
        if !self.ownership.is_idle() || !self.orphans.look_is_due() {
            return Ok(());
        }
        let identity = self.metadata().map(|metadata| metadata.identity());
        let Some(identity) = identity.filter(Identity::is_member) else { return Ok(()) };
        // Where the brokers do not answer, nothing is known to be wrong.
        let found = self.find_orphans().unwrap_or_default();
        if self.orphans.note(identity, !found.is_empty()) {
            tracing::warn!(partitions = ?found, "nobody in the group has these, joining anew");
            self.depart();
            self.join()?;
        }
        Ok(())
    }

    fn find_orphans(&self) -> KafkaResult<BTreeSet<Partition>> {
        let Settings { group, topics, .. } = &self.settings;
        let metadata = self.consumer.fetch_metadata(Some(&topics.orders), ANSWER_WAIT)?;
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        let groups = self.consumer.fetch_group_list(Some(group), ANSWER_WAIT)?;
        let ours = groups.groups().iter().find(|found| found.name() == group);
        let partitions = u32::try_from(partitions).expect("partitions are numbered in 31 bits");
        Ok(ours.map(|ours| orphans(ours, &topics.orders, partitions)).unwrap_or_default())
    }

    /// Whether the brokers answer, and know all topics. Takes its time where they do not.
    pub(crate) fn is_answered(&self) -> bool {
        let orders = Some(self.settings.topics.orders.as_str());
        self.absence.is_over() && self.consumer.fetch_metadata(orders, ANSWER_WAIT).is_ok()
    }

    /// The next change that the worker is to be told of.
    pub(crate) fn next_change(&mut self) -> Option<Change> {
        self.untold.pop_front()
    }

    /// Whether the worker may read and commit the partition. What it has of one that was lost and
    /// given back since it was last told is stale: somebody else may have moved it on meanwhile.
    pub(crate) fn works_on(&self, partition: Partition) -> bool {
        let tells_of_loss =
            |change: &Change| change.kind == Kind::Lost && change.partitions.contains(&partition);
        self.ownership.works_on(partition) && !self.untold.iter().any(tells_of_loss)
    }

    pub(crate) fn release(&mut self, partitions: &[Partition]) -> Result<(), LogError> {
        self.ownership.release(partitions);
        self.answer()
    }

    /// Asks for everything back; the group hears of it when it is released, since a client that has
    /// unsubscribed sends no heartbeats any more.
    pub(crate) fn leave(&mut self) -> Result<(), LogError> {
        let partitions = self.ownership.leave();
        self.tell(Kind::Revoked, partitions);
        self.answer()
    }

    /// The metadata for a commit of these partitions, or why they must not be committed. Waits
    /// shortly while the group has a new generation and has not told yet what that changes.
    pub(crate) fn metadata_for(
        &mut self,
        partitions: impl Iterator<Item = Partition> + Clone,
    ) -> Result<GroupMetadata, String> {
        let deadline = Instant::now() + SETTLE_MAX;
        loop {
            // Trouble with the group shows in what follows, or in the next poll.
            let served = self.serve();
            if let Some(partition) = partitions.clone().find(|partition| !self.works_on(*partition))
            {
                return Err(format!("partition {partition} is not this worker's any more"));
            }
            let metadata = self.metadata().ok_or("the client has no group")?;
            let identity = metadata.identity();
            if !identity.is_member() || self.consumer.assignment_lost() {
                return Err("this worker is not a member of the group any more".to_owned());
            }
            if Some(&identity) == self.identity.as_ref() {
                return Ok(metadata);
            }
            if Instant::now() > deadline {
                let why = served.err().map(|error| format!(": {error}")).unwrap_or_default();
                return Err(format!("the group is rebalancing{why}"));
            }
            drop(self.consumer.poll(Duration::from_millis(10)));
        }
    }

    /// Takes in what the callback recorded.
    fn take_in(&mut self) {
        loop {
            let Some(rebalance) = self.consumer.context().lock().pop_front() else { return };
            self.identity = rebalance.identity;
            let partitions = match rebalance.kind {
                // The remainder of a rebalance in which the group expelled this worker.
                Kind::Assigned if !self.identity.as_ref().is_some_and(Identity::is_member) => {
                    self.ownership.turn_away(&rebalance.partitions);
                    Vec::new()
                }
                Kind::Assigned => self.ownership.assign(&rebalance.partitions),
                Kind::Revoked => self.ownership.revoke(&rebalance.partitions),
                Kind::Lost => self.ownership.lose(&rebalance.partitions),
            };
            self.tell(rebalance.kind, partitions);
            if rebalance.kind == Kind::Revoked {
                let refused = self.ownership.take_refused(&rebalance.partitions);
                self.tell(Kind::Lost, refused);
            }
        }
    }

    /// While a revocation waits for its answer, the client only forgets its member id when the
    /// group has expelled it, and says nothing.
    fn notice_expulsion(&mut self) {
        if !self.ownership.owes_answer() || self.checked_at.elapsed() < STILL_MEMBER_INTERVAL {
            return;
        }
        self.checked_at = Instant::now();
        if self.metadata().is_some_and(|metadata| !metadata.identity().is_member()) {
            let partitions = self.ownership.lose_all();
            self.tell(Kind::Lost, partitions);
        }
    }

    /// Answers the group if all that it asked for is released.
    fn answer(&mut self) -> Result<(), LogError> {
        if let Some(partitions) = self.ownership.take_answer() {
            let list = list(&self.settings.topics.orders, &partitions);
            self.consumer
                .incremental_unassign(&list)
                .map_err(|error| log_error("giving partitions back", &error))?;
        }
        if self.ownership.can_leave() && !self.unsubscribed {
            self.unsubscribed = true;
            self.consumer.unsubscribe();
        }
        Ok(())
    }

    /// Waits until the client has told the group that it leaves: the consumer's own drop does not tell
    /// it of a member with a name of its own, whose partitions would wait until its session times out.
    fn depart(&mut self) {
        let consumer = &self.consumer;
        if !self.unsubscribed {
            consumer.unsubscribe();
        }
        let deadline = Instant::now() + DEPART_MAX;
        let is_member = || self.metadata().is_some_and(|metadata| metadata.identity().is_member());
        while is_member() && consumer.client().fatal_error().is_none() && Instant::now() < deadline
        {
            // Serves the client's last callbacks; what it has to say matters to nobody any more.
            drop(consumer.poll(DEPART_LOOK));
        }
    }

    fn tell(&mut self, kind: Kind, partitions: Vec<Partition>) {
        if !partitions.is_empty() {
            tracing::info!(?kind, ?partitions, "the group's assignment changed");
            self.untold.push_back(Change { kind, partitions });
        }
    }

    fn metadata(&self) -> Option<GroupMetadata> {
        // SAFETY: the client lives as long as the consumer.
        unsafe { GroupMetadata::of(self.consumer.client().native_ptr()) }
    }
}

impl Drop for Member {
    /// Gives everything back and leaves the group; the consumer's own drop waits until it knows.
    fn drop(&mut self) {
        self.consumer.context().closing.store(true, Ordering::Relaxed);
        self.take_in();
        let partitions = self.ownership.lose_all();
        if !partitions.is_empty() {
            tracing::warn!(?partitions, "dropped while owning partitions");
        }
        if let Err(error) = self.answer() {
            tracing::warn!(%error, "could not answer the group before leaving it");
        }
        self.depart();
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member")
            .field("ownership", &self.ownership)
            .field("identity", &self.identity)
            .field("untold", &self.untold)
            .finish_non_exhaustive()
    }
}

/// The group's client, which has not joined yet. `wake` is signalled when it has something to say.
fn client(settings: &Settings, wake: &Arc<Wake>) -> Result<BaseConsumer<Rebalances>, LogError> {
    let mut consumer: BaseConsumer<Rebalances> = settings
        .member()
        .create_with_context(Rebalances::new(settings))
        .map_err(|error| log_error("making the group's client", &error))?;
    let wake = wake.clone();
    consumer.set_nonempty_callback(move || wake.signal());
    Ok(consumer)
}

/// What the group said, recorded by the callback. It runs inside the member's poll, and once more
/// while its client is dropped.
#[derive(Debug)]
struct Rebalances {
    logging: Logging,
    recorded: Mutex<VecDeque<Rebalance>>,
    /// Whether nobody is left to release anything. Set and read by the member's thread.
    closing: AtomicBool,
}

#[derive(Debug)]
struct Rebalance {
    kind: Kind,
    partitions: Vec<Partition>,
    identity: Option<Identity>,
}

impl Rebalances {
    fn new(settings: &Settings) -> Rebalances {
        Rebalances {
            logging: Logging::new("member", settings),
            recorded: Mutex::default(),
            closing: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Rebalance>> {
        // Nothing can panic while a rebalance is pushed or popped.
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<Logging> for Rebalances {
    fn as_ref(&self) -> &Logging {
        &self.logging
    }
}

impl ClientContext for Rebalances {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.logging.log(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.logging.stats_raw(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.logging.error(error, reason);
    }
}

impl ConsumerContext for Rebalances {
    /// Records the change. An assignment or a loss is answered at once, a revocation when the
    /// worker has released it.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        self.logging.count_callback();
        // Before the answer, so that it is the identity to which the change belongs.
        // SAFETY: the client lives as long as the consumer.
        let metadata = unsafe { GroupMetadata::of(consumer.client().native_ptr()) };
        let closing = self.closing.load(Ordering::Relaxed);
        let (kind, answered) = if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            (Kind::Assigned, assign_without_fetching(consumer, list))
        } else if consumer.assignment_lost() || closing {
            (Kind::Lost, consumer.incremental_unassign(list))
        } else {
            (Kind::Revoked, Ok(()))
        };
        if let Err(error) = answered {
            tracing::error!(%error, ?kind, "could not answer the group");
        }
        self.lock().push_back(Rebalance {
            kind,
            partitions: partitions(list),
            identity: metadata.map(|metadata| metadata.identity()),
        });
    }
}

/// Accepts an assignment. The member's client must have some position and be paused: what it reads
/// before the pause takes effect is dropped by whoever polls.
fn assign_without_fetching(
    consumer: &BaseConsumer<Rebalances>,
    list: &mut TopicPartitionList,
) -> KafkaResult<()> {
    list.set_all_offsets(Offset::End)?;
    consumer.incremental_assign(list)?;
    if list.count() == 0 { Ok(()) } else { consumer.pause(list) }
}

fn list(topic: &str, partitions: &[Partition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(topic, i32::try_from(*partition).expect("the group gave it so"));
    }
    list
}

fn partitions(list: &TopicPartitionList) -> Vec<Partition> {
    let number = |partition| u32::try_from(partition).expect("the group assigns real partitions");
    list.elements().iter().map(|element| number(element.partition())).collect()
}

#[cfg(test)]
mod member_tests {
    use super::*;

    /// A member that has been told that partition 0 is its own. Nobody answers at its broker's
    /// address: what the group says is put in its mouth.
    fn owning_0() -> Member {
        let settings = Settings::new("127.0.0.1:1", "group", "id");
        let mut member = Member::new(&settings, &Arc::new(Wake::default())).unwrap();
        hear(&member, Kind::Assigned, 1);
        // It may have noticed already that nobody answers.
        drop(member.serve());
        assert_eq!(member.next_change().map(|change| change.kind), Some(Kind::Assigned));
        assert!(member.works_on(0));
        member
    }

    fn hear(member: &Member, kind: Kind, generation: i32) {
        let identity = Some(Identity { member: "me".to_owned(), generation });
        member.consumer.context().lock().push_back(Rebalance {
            kind,
            partitions: vec![0],
            identity,
        });
    }

    #[test]
    fn a_partition_that_was_lost_and_came_back_is_not_committed_before_its_worker_knows() {
        let mut member = owning_0();
        hear(&member, Kind::Lost, 1);
        hear(&member, Kind::Assigned, 5);
        let refused = member.metadata_for([0].into_iter()).err();
        assert_eq!(refused.as_deref(), Some("partition 0 is not this worker's any more"));
        let told: Vec<Kind> = std::iter::from_fn(|| Some(member.next_change()?.kind)).collect();
        assert_eq!(told, [Kind::Lost, Kind::Assigned]);
        assert!(member.works_on(0), "it is opened anew");
    }
}
