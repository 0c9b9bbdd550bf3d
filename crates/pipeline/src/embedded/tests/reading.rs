//! What readers are shown, and where reading goes on.

use super::*;

#[test]
fn an_aborted_record_is_not_shown() {
    let broker = broker(1);
    let mut log = reader_of(&broker);
    let mut publisher = broker.publisher("checkout");
    publisher.begin().unwrap();
    publisher.append(0, &[new_record("withdrawn")]).unwrap();
    publisher.abort().unwrap();
    append(&broker, 0, &["stands"]);

    assert_eq!(poll(&mut log), [records(0, &[(2, "stands")]), Told::End(0, 3)]);
}

#[test]
fn a_reader_does_not_pass_an_open_transaction() {
    let broker = broker(1);
    let mut log = reader_of(&broker);
    append(&broker, 0, &["before"]);
    let mut publisher = broker.publisher("checkout");
    publisher.begin().unwrap();
    publisher.append(0, &[new_record("undecided")]).unwrap();
    append(&broker, 0, &["after"]);

    assert_eq!(poll(&mut log), [records(0, &[(0, "before")]), Told::End(0, 1)]);
    assert_eq!(log.readable_end(0), Some(Offset(1)));
    assert_eq!(poll(&mut log), []);

    publisher.commit().unwrap();
    let rest = records(0, &[(1, "undecided"), (2, "after")]);
    assert_eq!(poll(&mut log), [rest, Told::End(0, 4)]);
    assert_eq!(log.readable_end(0), Some(Offset(4)));
}

#[test]
fn a_committed_transaction_does_not_overtake_an_older_open_one() {
    let broker = broker(1);
    let mut older = broker.publisher("older");
    let mut newer = broker.publisher("newer");
    older.begin().unwrap();
    newer.begin().unwrap();
    older.append(0, &[new_record("first")]).unwrap();
    newer.append(0, &[new_record("second")]).unwrap();
    newer.commit().unwrap();
    assert_eq!(broker.bounds(Topic::Input, 0).last_stable, Offset(0));

    older.abort().unwrap();
    let mut log = reader_of(&broker);
    assert_eq!(poll(&mut log), [records(0, &[(1, "second")]), Told::End(0, 4)]);
}

#[test]
fn offsets_are_not_counted_on_across_markers() {
    let broker = broker(1);
    let mut publisher = broker.publisher("checkout");
    for value in ["a", "b"] {
        publisher.begin().unwrap();
        publisher.append(0, &[new_record(value), new_record(value)]).unwrap();
        publisher.commit().unwrap();
    }
    let mut log = reader_of(&broker);
    let expected = records(0, &[(0, "a"), (1, "a"), (3, "b"), (4, "b")]);
    assert_eq!(poll(&mut log), [expected, Told::End(0, 6)]);
}

#[test]
fn the_end_is_reached_although_only_markers_and_aborted_records_follow() {
    let broker = broker(1);
    append(&broker, 0, &["only"]);
    let mut log = reader_of(&broker);
    assert_eq!(poll(&mut log), [records(0, &[(0, "only")]), Told::End(0, 1)]);

    let mut publisher = broker.publisher("checkout");
    publisher.begin().unwrap();
    publisher.append(0, &[new_record("withdrawn")]).unwrap();
    assert_eq!(poll(&mut log), []);
    publisher.abort().unwrap();
    assert_eq!(poll(&mut log), [Told::End(0, 3)]);
    assert_eq!(poll(&mut log), []);
}

#[test]
fn the_end_of_an_empty_partition_is_told_once_and_again_after_records() {
    let broker = broker(1);
    let mut log = reader_of(&broker);
    assert_eq!(poll(&mut log), [Told::End(0, 0)]);
    assert_eq!(poll(&mut log), []);
    append(&broker, 0, &["a"]);
    assert_eq!(poll(&mut log), [records(0, &[(0, "a")]), Told::End(0, 1)]);
    assert_eq!(poll(&mut log), []);
}

#[test]
fn a_start_below_what_is_left_is_told_and_nothing_is_skipped() {
    let broker = broker(1);
    append(&broker, 0, &["a", "b", "c"]);
    broker.trim(Topic::Input, 0, Offset(2));
    let mut log = reader_of(&broker);
    assert_eq!(poll(&mut log), [Told::OutOfRange(0, 2)]);
    assert_eq!(poll(&mut log), []);
    log.start(0, Offset(2)).unwrap();
    assert_eq!(poll(&mut log), [records(0, &[(2, "c")]), Told::End(0, 3)]);
}

#[test]
fn a_reader_that_retention_overtakes_skips_nothing_silently() {
    let broker = broker(1);
    append(&broker, 0, &["a"]);
    let mut log = reader_of(&broker);
    assert_eq!(poll(&mut log), [records(0, &[(0, "a")]), Told::End(0, 1)]);
    append(&broker, 0, &["b", "c"]);
    broker.trim(Topic::Input, 0, Offset(2));
    assert_eq!(poll(&mut log), [Told::OutOfRange(0, 2)]);
}

#[test]
fn retention_does_not_take_what_is_undecided() {
    let broker = broker(1);
    append(&broker, 0, &["a"]);
    let mut publisher = broker.publisher("checkout");
    publisher.begin().unwrap();
    publisher.append(0, &[new_record("undecided")]).unwrap();
    broker.trim(Topic::Input, 0, Offset(2));
    assert_eq!(broker.bounds(Topic::Input, 0).oldest, Offset(1));
    publisher.commit().unwrap();
    let mut log = reader_of(&broker);
    log.start(0, Offset(1)).unwrap();
    assert_eq!(poll(&mut log), [records(0, &[(1, "undecided")]), Told::End(0, 3)]);
}

#[test]
fn a_log_of_which_everything_was_dropped_goes_on_at_its_old_end() {
    let broker = broker(1);
    append(&broker, 0, &["a", "b"]);
    broker.trim(Topic::Input, 0, Offset(2));
    let mut log = reader_of(&broker);
    log.start(0, Offset(2)).unwrap();
    assert_eq!(poll(&mut log), [Told::End(0, 2)]);
    append(&broker, 0, &["c"]);
    assert_eq!(poll(&mut log), [records(0, &[(2, "c")]), Told::End(0, 3)]);
}

#[test]
fn a_start_beyond_the_log_is_no_silent_wait() {
    let broker = broker(1);
    let mut log = reader_of(&broker);
    log.start(0, Offset(1)).unwrap();
    let error = log.poll(Duration::ZERO, &mut |_| ()).unwrap_err();
    assert!(matches!(error, LogError::Fatal(_)), "{error}");
}

#[test]
fn nothing_is_handed_on_after_stop() {
    let broker = broker(1);
    append(&broker, 0, &["a"]);
    let mut log = reader_of(&broker);
    log.stop(0).unwrap();
    assert_eq!(poll(&mut log), []);
    append(&broker, 0, &["b"]);
    assert_eq!(poll(&mut log), []);
    log.start(0, Offset(1)).unwrap();
    assert_eq!(poll(&mut log), [records(0, &[(1, "b")]), Told::End(0, 2)]);
    log.start(0, Offset(0)).unwrap();
    assert_eq!(poll(&mut log), [records(0, &[(0, "a"), (1, "b")]), Told::End(0, 2)]);
}

#[test]
fn a_partition_that_is_not_assigned_is_not_read() {
    let broker = broker(2);
    append(&broker, 0, &["a"]);
    let mut log = worker(&broker, "worker-0");
    log.start(0, Offset(0)).unwrap();
    assert_eq!(poll(&mut log), [Told::Assigned(vec![0, 1])]);
    assert_eq!(poll(&mut log), []);
}

#[test]
fn an_event_holds_no_more_records_than_it_may() {
    let broker = broker(1);
    let values: Vec<String> = (0..1100).map(|number: u32| number.to_string()).collect();
    append(&broker, 0, &values.iter().map(String::as_str).collect::<Vec<_>>());
    let mut log = reader_of(&broker);
    let mut counts = Vec::new();
    let mut next = 0;
    for _ in 0..4 {
        let handed_on = log.poll(Duration::ZERO, &mut |event| {
            if let Event::Records { records, .. } = event {
                for record in records {
                    assert_eq!(offset_and_value(record), (next, next.to_string()));
                    next += 1;
                }
            }
        });
        counts.push(handed_on.unwrap());
    }
    assert_eq!(counts, [512, 512, 76, 0]);
}

/// Records of all lengths, those longer than a segment among them, from every start and beside
/// hidden ones, against a plain vector.
#[test]
fn no_record_is_lost_or_torn_where_segments_meet() {
    let broker = broker(1);
    let mut expected = Vec::new();
    let mut publisher = broker.publisher("checkout");
    for round in 0..60_usize {
        let value = "x".repeat((round * round * 37) % 70_000) + &round.to_string();
        publisher.begin().unwrap();
        let offset = publisher.append(0, &[new_record(&value)]).unwrap();
        append(&broker, 0, &["beside"]);
        if round % 3 == 0 {
            publisher.abort().unwrap();
        } else {
            expected.push((offset.0, value.clone()));
            publisher.commit().unwrap();
        }
        expected.push((offset.0 + 1, "beside".to_owned()));
    }
    let huge = "y".repeat(3_000_000);
    append(&broker, 0, &[&huge, "last"]);
    expected.extend([(180, huge), (181, "last".to_owned())]);

    for from in 0..=182 {
        let mut found = Vec::new();
        let visit = &mut |record: &Record<'_>| found.push(offset_and_value(record));
        let end = broker.read(Topic::Input, 0, Offset(from), Isolation::ReadCommitted, visit);
        assert_eq!(end, Offset(182));
        assert!(found.iter().eq(expected.iter().filter(|(offset, _)| *offset >= from)), "{from}");
    }
}

#[test]
fn a_reader_of_uncommitted_records_sees_all_but_markers() {
    let broker = broker(1);
    let mut publisher = broker.publisher("checkout");
    publisher.begin().unwrap();
    publisher.append(0, &[new_record("withdrawn")]).unwrap();
    publisher.abort().unwrap();
    publisher.begin().unwrap();
    publisher.append(0, &[new_record("undecided")]).unwrap();
    let mut found = Vec::new();
    let visit = &mut |record: &Record<'_>| found.push(offset_and_value(record));
    broker.read(Topic::Input, 0, Offset(0), Isolation::ReadUncommitted, visit);
    assert_eq!(found, [(0, "withdrawn".to_owned()), (2, "undecided".to_owned())]);
}

#[derive(Debug)]
struct TwoHeaders;

impl wire::record::Headers for TwoHeaders {
    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        visit("trace", Some(b"1"));
        visit("trace", None);
        visit("", Some(b""));
    }
}

#[test]
fn absent_and_empty_are_not_mixed_up() {
    let broker = broker(1);
    let record = |key, value, headers| NewRecord { timestamp: 0, key, value, headers };
    broker.append(
        0,
        &[
            record(None, Some(b"v"), &NoHeaders),
            record(Some(b"k"), None, &TwoHeaders),
            record(Some(b""), Some(b""), &NoHeaders),
            record(None, None, &TwoHeaders),
        ],
    );
    let mut found = Vec::new();
    broker.read(Topic::Input, 0, Offset(0), Isolation::ReadCommitted, &mut |record| {
        let mut headers = Vec::new();
        record.headers.each(&mut |name, value| {
            headers.push((name.to_owned(), value.map(<[u8]>::to_vec)));
        });
        found.push((record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec), headers));
    });
    let two = vec![
        ("trace".to_owned(), Some(b"1".to_vec())),
        ("trace".to_owned(), None),
        (String::new(), Some(Vec::new())),
    ];
    let expected = [
        (None, Some(b"v".to_vec()), Vec::new()),
        (Some(b"k".to_vec()), None, two.clone()),
        (Some(Vec::new()), Some(Vec::new()), Vec::new()),
        (None, None, two),
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_publishers_time_counts_only_where_the_topic_says_so() {
    for (input_timestamps, expected) in
        [(Timestamps::CreateTime, [5, 6, 99]), (Timestamps::LogAppendTime, [99, 99, 99])]
    {
        let broker = EmbeddedBroker::new(Settings { input_timestamps, ..Settings::default() });
        broker.set_now(99);
        let mut log = reader_of(&broker);
        broker.append(0, &[NewRecord { timestamp: 5, ..new_record("a") }]);
        let mut publisher = broker.publisher("checkout");
        publisher.begin().unwrap();
        publisher.append(0, &[NewRecord { timestamp: 6, ..new_record("b") }]).unwrap();
        publisher.commit().unwrap();
        log.append_tick(0).unwrap();
        let mut found = Vec::new();
        let visit = &mut |record: &Record<'_>| found.push(record.timestamp);
        broker.read(Topic::Input, 0, Offset(0), Isolation::ReadCommitted, visit);
        assert_eq!(found, expected);
    }
}

#[test]
fn a_tick_is_read_like_any_input() {
    let broker = broker(1);
    let mut log = reader_of(&broker);
    log.append_tick(0).unwrap();
    assert_eq!(poll(&mut log), [records(0, &[(0, r#"{"type":"tick"}"#)]), Told::End(0, 1)]);
    assert!(matches!(log.append_tick(1), Err(LogError::Fatal(_))));
}
