//! What a broker, a network or a stalled worker can do to the port's implementation on Kafka.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use e2e::proxy::{COMMIT_OFFSETS, END_TRANSACTION, Loss, Proxy};
use e2e::{KafkaServer, Options};
use kafka::admin::{Finding, Timestamps, check_topics, create_topics};
use kafka::follower::Follower;
use kafka::reader::PartitionReader;
use kafka::{KafkaLog, KafkaOffsets};
use ledger::units::Offset;
use pipeline::log::{CommitOutcome, Log as _, LogError, Offsets as _};
use wire::Topic;

use crate::conformance::{
    Harness as _, Kept, NEVER, Publisher as _, Worker, commit_of, committed, is_committed,
    numbered, outputs, texts, until_both,
};
use crate::kafka_harness::{KafkaHarness, brokers_told};

const PRODUCE: i16 = 0;
const ADD_PARTITIONS: i16 = 24;
const ADD_OFFSETS: i16 = 25;

/// A broker behind a proxy, shared by the tests that lose requests, whoever sends them: one of them at a
/// time has it.
fn behind_proxy() -> Option<(MutexGuard<'static, ()>, &'static Proxy)> {
    static SHARED: OnceLock<Option<(Proxy, KafkaServer)>> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let start = || {
        let proxy = Proxy::start().unwrap();
        let server = e2e::start_or_skip(&Options::default().behind(&proxy))?;
        Some((proxy, server))
    };
    let (proxy, _) = SHARED.get_or_init(start).as_ref()?;
    // Whoever had it before may have failed.
    proxy.restore();
    Some((turn, proxy))
}

/// The client says once that nobody answers, and never that somebody does again.
#[test]
fn trouble_is_told_by_every_poll_until_a_broker_answers() {
    let Some((_turn, proxy)) = behind_proxy() else { return };
    let harness = KafkaHarness::on(&proxy.address());
    let mut worker = Worker::owning(&harness, 2);
    worker.start(0, 0);
    worker.until("the end", |worker| worker.end(0) == Some(0));
    let mut is_troubled = || match worker.log.poll(Duration::from_millis(20), &mut |_| {}) {
        Ok(_) => false,
        Err(LogError::Retry(_)) => true,
        Err(error) => panic!("{error}"),
    };
    let started = Instant::now();
    proxy.cut();
    while !is_troubled() {
        assert!(started.elapsed() < NEVER, "nobody misses the broker");
    }
    for _ in 0..100 {
        assert!(is_troubled(), "nobody has answered");
    }
    proxy.restore();
    // No record comes that would tell so.
    while is_troubled() {
        assert!(started.elapsed() < NEVER, "nobody hears the broker");
    }
}

/// Else every partition that is written to would look as if a publisher's transaction blocked it.
#[test]
fn what_waits_to_be_handed_on_is_not_undecided() {
    let Some(harness) = KafkaHarness::new() else { return };
    harness.append(0, &numbered(10));
    let mut worker = Worker::owning(&harness, 2);
    worker.start(0, 0);
    worker.until("the end", |worker| worker.end(0) == Some(10));
    harness.append(0, &numbered(10));
    let started = Instant::now();
    while worker.log.queues().fetched == 0 || worker.log.log_end(0) != Some(Offset(20)) {
        assert!(started.elapsed() < NEVER, "nothing was fetched");
        thread::yield_now();
    }
    assert_eq!(worker.log.readable_end(0), Some(Offset(20)));
}

/// librdkafka repeats such a request and reports success; its double may arrive late.
#[test]
fn a_commit_with_a_request_lost_on_its_way_is_suspect() {
    let Some((_turn, proxy)) = behind_proxy() else { return };
    let harness = KafkaHarness::on(&proxy.address());
    let mut settings = harness.settings("worker");
    // What is repeated must not run into the transaction's end on a busy machine.
    settings.transaction_timeout_ms = 60_000;
    let mut worker = Worker::on(KafkaLog::new(settings).unwrap());
    worker.log.join().unwrap();
    worker.until("everything is assigned", |worker| worker.assigned().len() == 2);
    let losses = [
        Loss::Answer(END_TRANSACTION),
        Loss::Request(END_TRANSACTION),
        Loss::Answer(COMMIT_OFFSETS),
        Loss::Answer(ADD_OFFSETS),
        Loss::Answer(ADD_PARTITIONS),
        Loss::Answer(PRODUCE),
        Loss::Request(PRODUCE),
    ];
    for (round, loss) in (1..).zip(losses) {
        proxy.lose(loss);
        worker.produce(Topic::Settled, 0, &["once"]);
        let outcome = worker.log.commit(&[commit_of(0, round, "")]);
        assert!(proxy.has_lost(), "{loss:?} did not come by");
        assert!(matches!(outcome, CommitOutcome::CommittedSuspect(_)), "{loss:?}: {outcome:?}");
        assert_eq!(committed(&harness, 0).offset, Some(Offset(round)));
        worker.replace_producer();
    }
    worker.produce(Topic::Settled, 0, &["once"]);
    assert_eq!(worker.log.commit(&[commit_of(0, 100, "")]), CommitOutcome::Committed);
    assert_eq!(texts(&harness, Topic::Settled, 0), vec!["once"; losses.len() + 1]);
}

/// A new producer would take a second of the coordinator's time at every rebalance.
#[test]
fn a_commit_of_an_old_generation_is_aborted_and_its_producer_goes_on() {
    let Some((_turn, proxy)) = behind_proxy() else { return };
    let harness = KafkaHarness::on(&proxy.address());
    let mut worker = Worker::owning(&harness, 2);
    for round in 1..=3 {
        worker.produce(Topic::Settled, 0, &["aborted"]);
        proxy.lose(Loss::Generation);
        let outcome = worker.log.commit(&[commit_of(0, round, "")]);
        assert!(proxy.has_lost(), "no offsets came by");
        assert!(matches!(outcome, CommitOutcome::Aborted(_)), "{outcome:?}");
        worker.produce(Topic::Settled, 0, &["once"]);
        assert_eq!(worker.log.commit(&[commit_of(0, round, "")]), CommitOutcome::Committed);
        assert_eq!(committed(&harness, 0).offset, Some(Offset(round)));
    }
    assert_eq!(texts(&harness, Topic::Settled, 0), ["once"; 3]);
}

/// It gets at once what it had kept, without a word to anybody, so that no member would ever ask again
/// for what it was giving back when it was killed.
#[test]
fn what_a_member_was_giving_back_when_it_was_killed_finds_an_owner() {
    let Some(harness) = KafkaHarness::new() else { return };
    let named = |name: &str| {
        let mut settings = harness.settings(name);
        settings.member_name = Some(name.to_owned());
        let mut worker = Worker::on(KafkaLog::new(settings).unwrap());
        worker.log.join().unwrap();
        worker
    };
    let mut first = named("first");
    first.until("everything is assigned", |worker| worker.assigned().len() == 2);
    let mut second = named("second");
    let started = Instant::now();
    while first.revoked().is_empty() {
        assert!(started.elapsed() < NEVER, "nothing is asked back: {:#?}", first.kept);
        first.poll();
        second.poll();
    }
    // Its client still beats, as that of a process that was frozen; the group does not hear it any more.
    std::mem::forget(first);
    let mut back = named("first");
    until_both(&mut back, &mut second, "a partition for each", |back, second| {
        back.assigned().len() == 1 && second.assigned().len() == 1
    });
    assert_ne!(back.assigned(), second.assigned());
}

#[test]
fn a_broker_that_is_killed_and_comes_back_neither_loses_nor_doubles() {
    let Some(mut server) = e2e::start_or_skip(&Options::default()) else { return };
    let harness = KafkaHarness::on(server.bootstrap());
    harness.append(0, &numbered(10));
    let mut worker = Worker::owning(&harness, 2);
    worker.start(0, 0);
    worker.until("the end", |worker| worker.end(0) == Some(10));
    worker.produce(Topic::Settled, 0, &["once"]);
    server.kill();
    let outcome = thread::scope(|scope| {
        scope.spawn(|| server.restart().unwrap());
        worker.log.commit(&[commit_of(0, 10, "")])
    });
    // Nothing was lost on its way only if the commit found the broker up again.
    worker.replace_producer();
    let offset = committed(&harness, 0).offset;
    assert!(!is_committed(&outcome) || offset == Some(Offset(10)), "{outcome:?} at {offset:?}");
    let started = Instant::now();
    while committed(&harness, 0).offset.is_none() {
        assert!(started.elapsed() < NEVER, "it cannot be committed again");
        worker.produce(Topic::Settled, 0, &["once"]);
        if !is_committed(&worker.log.commit(&[commit_of(0, 10, "")])) {
            worker.replace_producer();
            worker.poll();
        }
    }
    assert_eq!(texts(&harness, Topic::Settled, 0), ["once"]);
    harness.append(0, &numbered(10));
    // A broker that is killed right after a rebalance may have forgotten its member.
    worker.until("everything is assigned", |worker| worker.assigned().len() == 2);
    worker.start(0, 10);
    worker.until("it reads on", |worker| worker.end(0) == Some(20));
    let offsets: Vec<u64> = worker.records().iter().map(|seen| seen.offset).collect();
    assert_eq!(offsets, (0..20).collect::<Vec<_>>());
}

#[test]
fn the_tools_read_what_is_committed_up_to_its_end() {
    let Some(harness) = KafkaHarness::new() else { return };
    let mut publisher = harness.publisher();
    harness.append(0, &numbered(3));
    publisher.begin();
    publisher.append(0, &numbered(1));
    publisher.abort();
    // Its marker comes after the answer, and would else stand behind what is appended next.
    let (mut offsets, started) = (harness.offsets(), Instant::now());
    while offsets.input_bounds(0).unwrap().next != Offset(5) {
        assert!(started.elapsed() < NEVER, "the marker of the abort does not come");
    }
    harness.append(0, &numbered(1));
    let settings = harness.settings("tools");
    let reader = PartitionReader::start(&settings, &settings.topics.orders, 0, 1).unwrap();
    let offsets: Vec<u64> = reader.map(|record| record.unwrap().offset).collect();
    assert_eq!(offsets, [1, 2, 5]);

    let offsets = KafkaOffsets::new(&settings).unwrap();
    offsets.set_committed(&commit_of(0, 2, "by hand")).unwrap();
    assert_eq!(committed(&harness, 0).metadata, "by hand");
    assert_eq!(committed(&harness, 0).offset, Some(Offset(2)));
}

/// A log that the group expels when it is not polled for a second.
fn impatient(harness: &KafkaHarness) -> Worker<KafkaLog> {
    let mut settings = harness.settings("impatient");
    settings.session_timeout_ms = 1_000;
    settings.consumer.insert("max.poll.interval.ms".to_owned(), "1000".to_owned());
    let mut worker = Worker::on(KafkaLog::new(settings).unwrap());
    worker.log.join().unwrap();
    worker.until("everything is assigned", |worker| worker.assigned().len() == 2);
    worker
}

fn patient_broker() -> Option<KafkaServer> {
    e2e::start_or_skip(&Options::default().with("group.min.session.timeout.ms", "500"))
}

#[test]
fn a_stalled_worker_loses_its_partitions_and_cannot_commit_them() {
    let Some(server) = patient_broker() else { return };
    let harness = KafkaHarness::on(server.bootstrap());
    let mut stalled = impatient(&harness);
    stalled.start(0, 0);
    stalled.produce(Topic::Settled, 0, &["zombie"]);
    let mut other = Worker::new(&harness, "other");
    other.log.join().unwrap();
    other.until("the other has everything", |other| other.assigned().len() == 2);

    let outcome = stalled.log.commit(&[commit_of(0, 1, "zombie")]);
    assert!(!is_committed(&outcome), "{outcome:?}");
    stalled.until("it learns of it", |stalled| stalled.kept.contains(&Kept::Lost(vec![0, 1])));
    assert_eq!(texts(&harness, Topic::Settled, 0), [""; 0]);
    // It is taken in again.
    until_both(&mut stalled, &mut other, "one partition for each", |stalled, other| {
        stalled.assigned().len() == 1 && other.assigned().len() == 1
    });
}

#[test]
fn a_worker_expelled_while_it_owes_a_release_learns_of_it() {
    let Some(server) = patient_broker() else { return };
    let harness = KafkaHarness::on(server.bootstrap());
    let mut stalled = impatient(&harness);
    let mut other = Worker::new(&harness, "other");
    other.log.join().unwrap();
    let started = Instant::now();
    while stalled.revoked().is_empty() {
        assert!(started.elapsed() < NEVER, "nothing is revoked");
        stalled.poll();
        other.poll();
    }
    // librdkafka says nothing of an expulsion while it waits for its answer.
    other.until("the other has everything", |other| other.assigned().len() == 2);
    stalled.log.begin().unwrap();
    let outcome = stalled.log.commit(&[commit_of(0, 1, "zombie")]);
    assert!(!is_committed(&outcome), "{outcome:?}");
    stalled.until("it learns of it", |stalled| {
        stalled.assigned().is_empty()
            && stalled.kept.iter().any(|kept| matches!(kept, Kept::Lost(_)))
    });
    until_both(&mut stalled, &mut other, "one partition for each", |stalled, other| {
        stalled.assigned().len() == 1 && other.assigned().len() == 1
    });
}

#[test]
fn created_topics_pass_the_check_and_others_do_not() {
    let Some(harness) = KafkaHarness::new() else { return };
    let settings = harness.settings("check");
    assert_eq!(check_topics(&settings, Timestamps::Create), Ok(Vec::new()));
    // The input is a rehearsal's.
    let findings = check_topics(&settings, Timestamps::Append).unwrap();
    let is_about = |wanted: &str| {
        findings.iter().any(
            |finding| matches!(finding, Finding::Setting { setting, .. } if *setting == wanted),
        )
    };
    assert!(is_about("message.timestamp.type"), "{findings:?}");

    let mut missing = settings.clone();
    missing.topics.gmv = "no.such.topic".to_owned();
    missing.topics.settled = settings.topics.gmv.clone();
    let findings = check_topics(&missing, Timestamps::Create).unwrap();
    assert!(findings.contains(&Finding::Missing { topic: "no.such.topic".to_owned() }));
    assert!(findings.iter().any(|finding| {
        matches!(finding, Finding::Setting { topic, setting: "cleanup.policy", .. }
            if *topic == settings.topics.gmv)
    }));
}

#[test]
fn a_topic_that_is_created_late_is_waited_for() {
    let Some(harness) = KafkaHarness::new() else { return };
    let mut settings = harness.settings("early");
    settings.topics.orders = format!("{}.late", settings.topics.orders);
    let mut worker = Worker::on(KafkaLog::new(settings.clone()).unwrap());
    worker.log.join().unwrap();
    let started = Instant::now();
    let missed = loop {
        assert!(started.elapsed() < NEVER, "nobody misses the topic");
        match worker.log.poll(Duration::from_millis(20), &mut |_| {}) {
            Ok(_) => {}
            Err(LogError::Retry(missed)) => break missed,
            Err(error) => panic!("{error:?}"),
        }
    };
    assert!(missed.contains("floodgate topics create"), "{missed}");
    create_topics(&settings, 2, 1, Timestamps::Create).unwrap();
    worker.until("everything is assigned", |worker| worker.assigned().len() == 2);
}

/// The client refuses it at once, on another thread than the worker's.
#[test]
fn a_transaction_is_not_committed_without_an_output_that_the_client_refuses() {
    let Some(harness) = KafkaHarness::new() else { return };
    let mut worker = Worker::owning(&harness, 2);
    worker.produce(Topic::Settled, 0, &["before"]);
    assert_eq!(worker.log.commit(&[commit_of(0, 1, "")]), CommitOutcome::Committed);
    worker.produce(Topic::Settled, 0, &["with it"]);
    let nowhere = outputs(Topic::Settled, 99, &["refused"]);
    let produced = worker.log.produce(&nowhere, 0);
    let outcome = worker.log.commit(&[commit_of(0, 2, "")]);
    assert!(produced.is_err() || matches!(outcome, CommitOutcome::Unknown(_)), "{outcome:?}");
    worker.replace_producer();
    assert_eq!(texts(&harness, Topic::Settled, 0), ["before"]);
    assert_eq!(committed(&harness, 0).offset, Some(Offset(1)));
    // The next one begins anew.
    worker.produce(Topic::Settled, 0, &["after"]);
    assert_eq!(worker.log.commit(&[commit_of(0, 2, "")]), CommitOutcome::Committed);
}

#[test]
fn a_missing_topic_and_a_bad_property_are_fatal() {
    let Some(harness) = KafkaHarness::new() else { return };
    let mut settings = harness.settings("missing");
    settings.topics.orders = "no.such.topic".to_owned();
    settings.missing_topic_ms = 1_000;
    let mut log = KafkaLog::new(settings).unwrap();
    log.join().unwrap();
    let started = Instant::now();
    let error = loop {
        assert!(started.elapsed() < NEVER, "nobody misses the topic");
        match log.poll(Duration::from_millis(20), &mut |_| {}) {
            Ok(_) | Err(LogError::Retry(_)) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LogError::Fatal(_)), "{error:?}");
    assert!(error.to_string().contains("floodgate topics create"), "{error}");

    let mut settings = harness.settings("bad");
    settings.common.insert("sasl.password.typo".to_owned(), "hunter2".to_owned());
    let error = KafkaLog::new(settings).unwrap_err();
    assert!(matches!(error, LogError::Fatal(_)) && !error.to_string().contains("hunter2"));
}

/// Every client of a worker, and those of whoever looks on.
struct Clients {
    worker: Worker<KafkaLog>,
    offsets: KafkaOffsets,
    follower: Follower,
}

/// What answered.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answered {
    offsets: bool,
    transaction: bool,
    follower: bool,
}

impl Clients {
    fn on(harness: &KafkaHarness) -> Clients {
        harness.append(0, &numbered(1));
        let mut settings = harness.settings("worker");
        settings.transaction_timeout_ms = 1_000;
        let started = Instant::now();
        let follower = loop {
            match Follower::start(&settings, settings.topics.output(Topic::Settled)) {
                Ok(follower) => break follower,
                // A topic is made before its partitions have a leader.
                Err(LogError::Retry(_)) => assert!(started.elapsed() < NEVER, "no leader"),
                Err(error) => panic!("{error}"),
            }
        };
        let mut worker = Worker::on(KafkaLog::new(settings).unwrap());
        worker.log.join().unwrap();
        worker.until("everything is assigned", |worker| worker.assigned().len() == 2);
        worker.start(0, 0);
        let offsets = harness.offsets().waiting_at_most(Duration::from_secs(1));
        Clients { worker, offsets, follower }
    }

    fn ask(&mut self) -> Answered {
        let Clients { worker, offsets, follower } = self;
        worker.poll();
        let output = outputs(Topic::Settled, 0, &["once"]);
        let handed_on = worker.log.begin().and_then(|()| worker.log.produce(&output, 0));
        let transaction =
            handed_on.is_ok() && is_committed(&worker.log.commit(&[commit_of(0, 1, "")]));
        if !transaction {
            // As the loop does after an outcome that it does not know.
            drop(worker.log.replace_producer(Duration::from_secs(1)));
        }
        let followed = follower.look(Duration::from_millis(10), &mut |_, _| {});
        Answered {
            offsets: offsets.input_bounds(0).is_ok(),
            transaction,
            follower: followed.is_ok_and(|followed| followed.records > 0),
        }
    }

    fn until_all_are_answered(&mut self) {
        let started = Instant::now();
        let all = Answered { offsets: true, transaction: true, follower: true };
        loop {
            let answered = self.ask();
            if answered == all {
                break;
            }
            assert!(started.elapsed() < NEVER, "{answered:?}");
        }
        let (started, mut seen) = (Instant::now(), 0);
        let read = self.worker.records().len();
        while self.worker.records().len() == read {
            assert!(started.elapsed() < NEVER, "nothing is read: {:#?}", self.worker.kept);
            // The group may take the partition away and give it back, also again.
            let is_given = |kept: &&Kept| matches!(kept, Kept::Assigned(_));
            let given = self.worker.kept.iter().filter(is_given).count();
            if given > seen {
                self.worker.start(0, 0);
                seen = given;
            }
            self.worker.poll();
        }
    }
}

/// Heartbeats come so seldom that the controller takes the broker for dead for four seconds in 16.
/// Whoever asks it then is told of topics without a leader, and of no broker at all: librdkafka drops
/// all that it knows, and does not find one again by itself.
#[test]
fn clients_that_were_told_of_no_broker_find_it_again() {
    let fading = Options::default()
        .with("broker.heartbeat.interval.ms", "16000")
        .with("broker.session.timeout.ms", "12000");
    let Some(server) = e2e::start_or_skip(&fading) else { return };
    let until_faded = |has_faded: bool, meanwhile: &mut dyn FnMut()| {
        let started = Instant::now();
        while (brokers_told(server.bootstrap()) == Some(0)) != has_faded {
            assert!(started.elapsed() < NEVER, "the broker neither fades nor comes back");
            meanwhile();
        }
    };
    until_faded(true, &mut || {});
    until_faded(false, &mut || {});
    // Now there are twelve seconds to begin in.
    let harness = KafkaHarness::on(server.bootstrap());
    let mut clients = Clients::on(&harness);
    let mut ask = || _ = clients.ask();
    until_faded(true, &mut ask);
    until_faded(false, &mut ask);
    clients.until_all_are_answered();
}

#[test]
fn clients_find_a_broker_again_that_was_stopped_in_order() {
    let Some(mut server) = e2e::start_or_skip(&Options::default()) else { return };
    let harness = KafkaHarness::on(server.bootstrap());
    let mut clients = Clients::on(&harness);
    thread::scope(|scope| {
        let stopped = scope.spawn(|| assert!(server.stop(), "the broker did not stop in order"));
        while !stopped.is_finished() {
            clients.ask();
        }
    });
    server.restart().unwrap();
    clients.until_all_are_answered();
}
