//! Outputs and offsets are decided together, once, and by the newest producer only.

use super::*;

#[test]
fn outputs_and_offset_appear_together() {
    let broker = broker(1);
    let mut log = reader_of(&broker);
    assert_eq!(committed(&broker, 0), Ok(None));
    log.begin().unwrap();
    log.produce(&settled(0, &["a", "b"]), 1).unwrap();
    assert_eq!(shown(&broker, 0), [""; 0]);
    assert_eq!(log.commit(&[up_to(0, 5)]), CommitOutcome::Committed);
    assert_eq!(shown(&broker, 0), ["b"]);
    assert_eq!(committed(&broker, 0), Ok(Some(Offset(5))));
}

#[test]
fn an_output_keeps_its_key_time_and_headers() {
    let broker = broker(1);
    let mut log = reader_of(&broker);
    let mut outputs = Outputs::new();
    outputs.push(outputs::Topic::DeadLetters, 0, Millis(42), None, Some(b"bad"));
    outputs.header("__connect.errors.stage", Some(b"decode"));
    log.begin().unwrap();
    log.produce(&outputs, 0).unwrap();
    assert_eq!(log.commit(&[]), CommitOutcome::Committed);
    let mut found = Vec::new();
    let topic = Topic::Output(outputs::Topic::DeadLetters);
    broker.read(topic, 0, Offset(0), Isolation::ReadCommitted, &mut |record| {
        record.headers.each(&mut |name, value| {
            let (name, value) = (name.to_owned(), value.map(<[u8]>::to_vec));
            found.push((record.timestamp, record.key.is_none(), name, value));
        });
    });
    let header = ("__connect.errors.stage".to_owned(), Some(b"decode".to_vec()));
    assert_eq!(found, [(42, true, header.0, header.1)]);
}

#[test]
fn an_offset_is_not_told_before_its_transaction_is_decided() {
    let script = Script::default();
    let broker = script.broker();
    let mut log = reader_of(&broker);
    assert_eq!(transact(&mut log, &["a"], up_to(0, 1)), CommitOutcome::Committed);

    script.expect("EndTransaction", Verdict::FailBefore(retry("timed out")));
    assert_eq!(
        transact(&mut log, &["b"], up_to(0, 2)),
        CommitOutcome::Unknown("timed out".to_owned())
    );
    assert!(matches!(committed(&broker, 0), Err(LogError::Retry(_))));
    assert_eq!(shown(&broker, 0), ["a"]);

    log.replace_producer(Duration::ZERO).unwrap();
    assert_eq!(committed(&broker, 0), Ok(Some(Offset(1))));
    assert_eq!(shown(&broker, 0), ["a"]);
}

#[test]
fn a_zombie_commits_nothing_once_it_is_replaced() {
    let broker = broker(1);
    let mut zombie = reader_of(&broker);
    zombie.begin().unwrap();
    zombie.produce(&settled(0, &["zombie's"]), 0).unwrap();
    let mut successor = broker.member(GROUP, "worker-0");
    successor.replace_producer(Duration::ZERO).unwrap();

    assert!(broker.open_transactions().is_empty());
    assert!(matches!(zombie.commit(&[up_to(0, 9)]), CommitOutcome::Fenced(_)));
    assert_eq!(shown(&broker, 0), [""; 0]);
    assert_eq!(committed(&broker, 0), Ok(None));
    assert!(matches!(zombie.begin(), Err(LogError::Transaction(_))));
}

#[test]
fn a_zombie_writes_nothing_once_it_is_replaced() {
    for has_written_before in [false, true] {
        let broker = broker(1);
        let mut zombie = reader_of(&broker);
        zombie.begin().unwrap();
        if has_written_before {
            zombie.produce(&settled(0, &["aborted"]), 0).unwrap();
        }
        let mut successor = broker.member(GROUP, "worker-0");
        successor.replace_producer(Duration::ZERO).unwrap();
        let end = broker.bounds(SETTLED, 0).next;
        let error = zombie.produce(&settled(0, &["zombie's"]), 0).unwrap_err();
        assert!(matches!(error, LogError::Fenced(_)), "{error}");
        assert_eq!(broker.bounds(SETTLED, 0).next, end);
    }
}

#[test]
fn a_replaced_producer_leaves_nothing_open() {
    let broker = broker(1);
    let mut log = reader_of(&broker);
    log.begin().unwrap();
    log.produce(&settled(0, &["given up"]), 0).unwrap();
    assert_eq!(broker.open_transactions().len(), 1);
    log.replace_producer(Duration::ZERO).unwrap();
    assert!(broker.open_transactions().is_empty());
    assert_eq!(transact(&mut log, &["kept"], up_to(0, 1)), CommitOutcome::Committed);
    assert_eq!(shown(&broker, 0), ["kept"]);
}

#[test]
fn a_dead_workers_transaction_does_not_block_readers_for_ever() {
    let broker = broker(1);
    let mut log = reader_of(&broker);
    broker.set_now(1_000);
    log.begin().unwrap();
    log.produce(&settled(0, &["lost"]), 0).unwrap();
    broker.set_now(11_000);
    assert_eq!(broker.open_transactions().len(), 1);
    broker.set_now(11_001);
    assert!(broker.open_transactions().is_empty());
    let bounds = broker.bounds(SETTLED, 0);
    assert_eq!((bounds.last_stable, bounds.next), (Offset(2), Offset(2)));
    assert!(matches!(log.commit(&[]), CommitOutcome::Fenced(_)));
}

#[test]
fn a_transaction_of_nothing_leaves_no_marker() {
    let broker = broker(1);
    let mut log = reader_of(&broker);
    log.begin().unwrap();
    assert_eq!(log.commit(&[]), CommitOutcome::Committed);
    assert_eq!(broker.bounds(SETTLED, 0).next, Offset(0));
}

#[test]
fn offsets_alone_are_a_transaction() {
    let broker = broker(1);
    let mut log = reader_of(&broker);
    log.begin().unwrap();
    assert_eq!(log.commit(&[up_to(0, 3)]), CommitOutcome::Committed);
    assert_eq!(committed(&broker, 0), Ok(Some(Offset(3))));
    assert_eq!(broker.bounds(SETTLED, 0).next, Offset(0));
}

#[test]
fn a_call_out_of_turn_is_turned_down() {
    let broker = broker(1);
    let mut log = broker.member(GROUP, "worker-0");
    assert!(matches!(log.begin(), Err(LogError::Transaction(_))), "no producer");
    log.replace_producer(Duration::ZERO).unwrap();
    assert!(matches!(log.produce(&settled(0, &["a"]), 0), Err(LogError::Transaction(_))));
    log.replace_producer(Duration::ZERO).unwrap();
    assert!(matches!(log.commit(&[]), CommitOutcome::Unknown(_)), "nothing begun");
    log.replace_producer(Duration::ZERO).unwrap();
    log.begin().unwrap();
    assert!(matches!(log.begin(), Err(LogError::Transaction(_))), "begun twice");
    log.replace_producer(Duration::ZERO).unwrap();
    log.begin().unwrap();
    assert!(matches!(log.produce(&settled(1, &["a"]), 0), Err(LogError::Fatal(_))));
}

#[test]
fn metadata_that_kafka_would_not_keep_is_turned_down() {
    let broker = broker(1);
    let mut log = reader_of(&broker);
    for (bytes, fits) in [(4_096, true), (4_097, false)] {
        log.begin().unwrap();
        let commit = PartitionCommit { metadata: "m".repeat(bytes), ..up_to(0, 1) };
        assert_eq!(log.commit(&[commit]) == CommitOutcome::Committed, fits, "{bytes}");
    }
}

/// Or a first start that died in its first transaction could never be made again.
#[test]
fn outputs_that_nobody_can_read_count_as_none_unless_retention_took_them() {
    let broker = broker(1);
    let mut log = reader_of(&broker);
    let mut offsets = broker.offsets(GROUP);
    assert_eq!(offsets.outputs_are_empty(0), Ok(true));
    log.begin().unwrap();
    log.produce(&settled(0, &["undecided"]), 0).unwrap();
    assert_eq!(offsets.outputs_are_empty(0), Ok(true));
    log.replace_producer(Duration::ZERO).unwrap();
    assert_eq!(offsets.outputs_are_empty(0), Ok(true), "aborted");
    broker.trim(SETTLED, 0, broker.bounds(SETTLED, 0).next);
    assert_eq!(offsets.outputs_are_empty(0), Ok(false));
}

#[test]
fn forgotten_offsets_are_not_told_as_zero() {
    let broker = broker(1);
    let mut log = reader_of(&broker);
    assert_eq!(transact(&mut log, &["a"], up_to(0, 1)), CommitOutcome::Committed);
    broker.forget_offsets(GROUP, 0);
    assert_eq!(committed(&broker, 0), Ok(None));
}

#[test]
fn groups_do_not_mix_their_offsets() {
    let broker = broker(1);
    let mut log = reader_of(&broker);
    assert_eq!(transact(&mut log, &["a"], up_to(0, 1)), CommitOutcome::Committed);
    let others = broker.offsets("rehearsal").committed(&[0], Duration::ZERO).unwrap();
    assert_eq!(others, [Committed { offset: None, metadata: String::new() }]);
}

#[test]
fn a_question_about_the_log_is_answered_from_the_log() {
    let broker = broker(3);
    append(&broker, 2, &["a", "b", "c"]);
    broker.trim(Topic::Input, 2, Offset(1));
    let mut offsets = broker.offsets(GROUP);
    let bounds = offsets.input_bounds(2).unwrap();
    assert_eq!((bounds.oldest, bounds.next), (Offset(1), Offset(3)));
    assert_eq!(offsets.partition_count(), Ok(3));
    assert_eq!(offsets.cluster_id(), broker.offsets("another").cluster_id());
    assert!(matches!(offsets.input_bounds(3), Err(LogError::Fatal(_))));
    assert!(matches!(offsets.committed(&[3], Duration::ZERO), Err(LogError::Fatal(_))));
}
