//! Proof that the audit can fail: every kind of fault changes its own figure, and only that.

use std::convert::Infallible;

use crate::example_tests::example_inputs;
use crate::text_log::record;
use crate::{
    AuditError, AuditReport, FINDINGS_MAX, InputRecord, OutputRecord, PartitionLog,
    PartitionVerdict, PlainPartition, Rules, Topic, Verdict, audit_partition,
};

/// A partition's input and what stands in its output topics.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) rules: Rules,
    pub(crate) committed: u64,
    pub(crate) inputs: Vec<InputRecord>,
    /// `orders.status`, `orders.settled`, `orders.dlq` and `gmv`.
    pub(crate) topics: [Vec<OutputRecord>; 4],
}

type Inputs = Vec<Result<InputRecord, Infallible>>;
type Outputs = std::vec::IntoIter<Result<OutputRecord, Infallible>>;

pub(crate) const STATUS: usize = 0;
pub(crate) const SETTLED: usize = 1;
pub(crate) const DEAD_LETTERS: usize = 2;
pub(crate) const GMV: usize = 3;

impl Log {
    /// A faultless log: the model's outputs, with the counters written after every `rhythm` inputs
    /// and at the end.
    pub(crate) fn of(rules: &Rules, inputs: Vec<InputRecord>, rhythm: usize) -> Log {
        let mut partition = PlainPartition::new(rules.clone(), 0);
        let mut topics: [Vec<OutputRecord>; 4] = Default::default();
        for (index, input) in inputs.iter().enumerate() {
            let mut outputs = partition.apply(input);
            if (index + 1) % rhythm == 0 || index + 1 == inputs.len() {
                let counters = partition.counters();
                let due = counters
                    .iter()
                    .filter_map(|(key, _)| counters.record(key, input.offset, partition.time()));
                outputs.extend(due);
            }
            for output in outputs {
                let topic = &mut topics[topic_index(output.topic)];
                // Every other offset, as transaction markers leave gaps.
                topic.push(OutputRecord::at_offset(2 * topic.len() as u64 + 10, output));
            }
        }
        let committed = inputs.last().map_or(0, |input| input.offset + 1);
        Log { rules: rules.clone(), committed, inputs, topics }
    }

    fn judge(&self) -> PartitionVerdict {
        self.judge_from(0).unwrap()
    }

    fn judge_from(&self, starts_at: u64) -> Result<PartitionVerdict, AuditError<Infallible>> {
        audit_partition(&self.rules, self.from(starts_at))
    }

    /// The log as an audit gets it.
    pub(crate) fn from(&self, starts_at: u64) -> PartitionLog<Inputs, Outputs> {
        let [status, settled, dead_letters, gmv] = self
            .topics
            .clone()
            .map(|records| records.into_iter().map(Ok).collect::<Vec<_>>().into_iter());
        PartitionLog {
            partition: 0,
            input_topic: "orders".to_owned(),
            starts_at,
            committed: self.committed,
            inputs: self.inputs.iter().cloned().map(Ok).collect(),
            status,
            settled,
            dead_letters,
            gmv,
        }
    }

    /// Asserts the five figures, in the order of their names.
    #[track_caller]
    fn expect(&self, figures: Figures) {
        let found = self.judge();
        assert_eq!(Figures::of(&found.verdict), figures, "{:#?}", found.findings);
        assert_eq!(found.verdict.clean(), figures == NONE);
    }

    /// Gives a topic's records ascending offsets again.
    pub(crate) fn renumber(&mut self, topic: usize) {
        for (index, record) in self.topics[topic].iter_mut().enumerate() {
            record.offset = 2 * index as u64 + 10;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) oversold: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) miscounted: u64,
    pub(crate) different: u64,
}

impl Figures {
    pub(crate) fn of(verdict: &Verdict) -> Figures {
        let Verdict { oversold, lost, duplicated, miscounted, different, .. } = *verdict;
        Figures { oversold, lost, duplicated, miscounted, different }
    }
}

pub(crate) const NONE: Figures =
    Figures { oversold: 0, lost: 0, duplicated: 0, miscounted: 0, different: 0 };

fn topic_index(topic: Topic) -> usize {
    match topic {
        Topic::Status => STATUS,
        Topic::Settled => SETTLED,
        Topic::DeadLetters => DEAD_LETTERS,
        Topic::Gmv => GMV,
    }
}

pub(crate) fn text_of(record: &OutputRecord) -> String {
    String::from_utf8(record.value.clone().unwrap()).unwrap()
}

pub(crate) fn replace(record: &mut OutputRecord, from: &str, to: &str) {
    let text = text_of(record);
    assert!(text.contains(from), "{from} is not in {text}");
    record.value = Some(text.replacen(from, to, 1).into_bytes());
}

/// The contract's example log.
fn example() -> Log {
    Log::of(&Rules::default(), example_inputs(), 7)
}

/// Holds, settlements, refunds, a cancellation and an expiry, with stock to spare.
pub(crate) fn sale(orders: u64) -> Log {
    let mut commands = vec![
        "sku.listed 1 category=x".to_owned(),
        "sku.listed 2".to_owned(),
        format!("stock.received r1 sku=1 qty={}", 100 * orders),
        format!("stock.received r2 sku=2 qty={}", 100 * orders),
    ];
    for number in 0..orders {
        commands.push(format!("order.placed o{number} lines=1x2@100,2x1@7 discount=3"));
        commands.push(match number % 4 {
            0 => format!("order.paid p{number} order_id=o{number} amount=204"),
            1 => format!("order.cancelled o{number}"),
            2 => format!("order.refunded f{number} restock=true lines=1x1@0"),
            _ => format!("order.placed s{number} settle=on_placement"),
        });
    }
    let inputs = commands.iter().enumerate();
    // Offsets have gaps here too.
    let inputs = inputs.map(|(index, command)| record(3 * index as u64, index as i64, command));
    Log::of(&Rules::default(), inputs.collect(), 5)
}

// --- Nothing is wrong --------------------------------------------------------------------------

#[test]
fn a_faultless_log_is_clean_at_every_rhythm_of_the_counters() {
    for rhythm in [1, 2, 13, 1_000] {
        let log = Log::of(&Rules::default(), example_inputs(), rhythm);
        log.expect(NONE);
        let found = log.judge();
        assert_eq!(found.verdict.inputs, 62);
        let outputs: usize = log.topics.iter().map(Vec::len).sum();
        assert_eq!(found.verdict.outputs, outputs as u64);
    }
    sale(200).expect(NONE);
    Log::of(&Rules::default(), Vec::new(), 1).expect(NONE);
}

#[test]
fn the_message_of_a_dead_letter_is_free_but_its_code_is_not() {
    let mut log = example();
    for (name, value) in &mut log.topics[DEAD_LETTERS][0].headers {
        if name.ends_with("exception.message") {
            *value = Some(b"other words".to_vec());
        }
    }
    log.expect(NONE);
    for (name, value) in &mut log.topics[DEAD_LETTERS][0].headers {
        if name.ends_with("class.name") {
            *value = Some(b"invalid".to_vec());
        }
    }
    log.expect(Figures { different: 1, ..NONE });
}

#[test]
fn the_missing_parts_of_a_dead_letter_are_named_as_the_contract_has_it() {
    let input = InputRecord {
        value: Some(vec![b' '; 900_000]),
        headers: vec![("trace".to_owned(), Some(vec![0; 900_001]))],
        ..record(0, 1, "tick")
    };
    let log = Log::of(&Rules::default(), vec![input], 1);
    log.expect(NONE);
    for text in ["headers,value", "value, headers", "value;headers", "value"] {
        let mut log = log.clone();
        let (name, value) = log.topics[DEAD_LETTERS][0].headers.last_mut().unwrap();
        assert_eq!(name, "__connect.errors.omitted");
        assert_eq!(value.replace(text.as_bytes().to_vec()).unwrap(), b"value,headers");
        log.expect(Figures { different: 1, ..NONE });
    }
}

#[test]
fn outputs_and_counters_of_inputs_beyond_the_committed_offset_are_not_judged() {
    for committed in 0..62 {
        let mut log = Log::of(&Rules::default(), example_inputs(), 1);
        log.committed = committed;
        log.expect(NONE);
        let inputs = example_inputs().into_iter().take(committed as usize).collect();
        let judged = Log::of(&Rules::default(), inputs, 1);
        let outputs: usize = judged.topics.iter().map(Vec::len).sum();
        let verdict = log.judge().verdict;
        assert_eq!((verdict.inputs, verdict.outputs), (committed, outputs as u64));
    }
}

#[test]
fn a_counter_that_compaction_has_left_only_a_later_record_of_is_not_missed() {
    let mut log = Log::of(&Rules::default(), example_inputs(), 1);
    log.committed = 40;
    let last = log.topics[GMV].last().unwrap().clone();
    log.topics[GMV].retain(|record| text_of(record).contains("\"offset\":61"));
    assert_eq!(last.offset, log.topics[GMV].last().unwrap().offset);
    log.expect(NONE);
}

// --- Outputs -----------------------------------------------------------------------------------

#[test]
fn any_dropped_output_is_lost() {
    for topic in [STATUS, SETTLED] {
        let whole = sale(20);
        for index in 0..whole.topics[topic].len() {
            let mut log = whole.clone();
            log.topics[topic].remove(index);
            log.expect(Figures { lost: 1, ..NONE });
        }
    }
    for index in 0..example().topics[DEAD_LETTERS].len() {
        let mut log = example();
        log.topics[DEAD_LETTERS].remove(index);
        log.expect(Figures { lost: 1, ..NONE });
    }
}

#[test]
fn any_repeated_output_is_duplicated_near_or_far() {
    for topic in [STATUS, SETTLED, DEAD_LETTERS] {
        let whole = example();
        for index in 0..whole.topics[topic].len() {
            for at in [index + 1, whole.topics[topic].len()] {
                let mut log = whole.clone();
                let again = log.topics[topic][index].clone();
                log.topics[topic].insert(at, again);
                log.renumber(topic);
                log.expect(Figures { duplicated: 1, ..NONE });
            }
        }
    }
}

#[test]
fn a_transaction_written_twice_is_duplicated_even_beyond_the_look_ahead() {
    let mut log = sale(8_000);
    let (again, count) = (log.topics[STATUS][..5_000].to_vec(), 5_000);
    log.topics[STATUS].extend(again);
    log.renumber(STATUS);
    log.expect(Figures { duplicated: count, ..NONE });
    assert_eq!(log.judge().findings.len(), FINDINGS_MAX);
}

#[test]
fn any_altered_byte_is_different() {
    let whole = Log::of(&Rules::default(), example_inputs(), 1_000);
    for topic in [STATUS, SETTLED] {
        for index in (0..whole.topics[topic].len()).step_by(4) {
            let text = text_of(&whole.topics[topic][index]);
            let digits = text.find("\"offset\":").unwrap()..text.find(",\"order_id\"").unwrap_or(0);
            for at in 0..text.len() {
                // The cause itself is another matter: see the next test.
                if digits.contains(&at) {
                    continue;
                }
                let mut log = whole.clone();
                log.topics[topic][index].value.as_mut().unwrap()[at] ^= 1;
                let found = log.judge().verdict;
                assert_eq!(
                    (found.different, found.lost, found.duplicated),
                    (1, 0, 0),
                    "{text} {at}"
                );
            }
        }
    }
}

#[test]
fn an_output_that_names_another_cause_is_lost_there_and_unexplained_here() {
    for other in ["\"offset\":7,", "\"offset\":59,", "\"offset\":1,"] {
        let mut log = example();
        replace(&mut log.topics[STATUS][5], "\"offset\":13,", other);
        log.expect(Figures { lost: 1, different: 1, ..NONE });
    }
    // A cause that is not judged at all leaves only the gap.
    let mut log = example();
    replace(&mut log.topics[STATUS][5], "\"offset\":13,", "\"offset\":1300,");
    log.expect(Figures { lost: 1, ..NONE });
    let mut log = example();
    replace(&mut log.topics[STATUS][5], "\"offset\":13,", "\"offset\":x,");
    log.expect(Figures { lost: 1, different: 1, ..NONE });
}

#[test]
fn another_key_timestamp_or_header_is_different() {
    let alterations: [fn(&mut OutputRecord); 6] = [
        |record| record.key = Some(b"1003".to_vec()),
        |record| record.key = None,
        |record| record.timestamp += 1,
        |record| record.headers.push(("x".to_owned(), None)),
        |record| record.headers.insert(0, ("x".to_owned(), None)),
        |record| record.value.as_mut().unwrap().push(b' '),
    ];
    for topic in [STATUS, SETTLED, DEAD_LETTERS] {
        for alter in alterations {
            let mut log = example();
            alter(&mut log.topics[topic][1]);
            log.expect(Figures { different: 1, ..NONE });
        }
    }
}

#[test]
fn outputs_out_of_order_are_different() {
    let whole = sale(20);
    for index in 1..whole.topics[STATUS].len() {
        let mut log = whole.clone();
        log.topics[STATUS].swap(index - 1, index);
        log.renumber(STATUS);
        log.expect(Figures { different: 1, ..NONE });
    }
}

#[test]
fn the_sweeps_releases_out_of_order_are_different() {
    let mut commands = vec!["sku.listed 1".to_owned(), "stock.received r qty=9".to_owned()];
    commands.extend((0..5).map(|number| format!("order.placed o{number} pay_by=50")));
    commands.push("tick".to_owned());
    let inputs = commands.iter().enumerate();
    let inputs = inputs.map(|(index, command)| record(index as u64, 10 * index as i64, command));
    let mut log = Log::of(&Rules::default(), inputs.collect(), 100);
    log.expect(NONE);
    let last = log.topics[STATUS].len() - 1;
    assert!(text_of(&log.topics[STATUS][last]).contains("hold.released"));
    log.topics[STATUS].swap(last - 1, last);
    log.renumber(STATUS);
    log.expect(Figures { different: 1, ..NONE });
}

#[test]
fn an_output_that_nothing_explains_is_different() {
    let mut log = sale(20);
    let mut invented = log.topics[SETTLED][0].clone();
    replace(&mut invented, "\"order_id\":\"", "\"order_id\":\"x");
    log.topics[SETTLED].insert(1, invented);
    log.renumber(SETTLED);
    log.expect(Figures { different: 1, ..NONE });
    let mut log = sale(20);
    let mut invented = log.topics[SETTLED][0].clone();
    invented.value = None;
    log.topics[SETTLED].push(invented);
    log.renumber(SETTLED);
    log.expect(Figures { different: 1, ..NONE });
}

// --- Counters ----------------------------------------------------------------------------------

#[test]
fn any_altered_counter_is_miscounted() {
    let whole = example();
    for index in 0..whole.topics[GMV].len() {
        for (from, to) in [
            ("\"orders_placed\":", "\"orders_placed\":1"),
            ("\"settled\":", "\"settled\":1"),
            ("\"at\":", "\"at\":1"),
            ("\"partition\":0", "\"partition\":1"),
        ] {
            let mut log = whole.clone();
            replace(&mut log.topics[GMV][index], from, to);
            log.expect(Figures { miscounted: 1, ..NONE });
        }
        let mut log = whole.clone();
        log.topics[GMV][index].timestamp += 1;
        log.expect(Figures { miscounted: 1, ..NONE });
    }
}

#[test]
fn a_counter_without_its_last_record_is_miscounted() {
    let whole = Log::of(&Rules::default(), example_inputs(), 1_000);
    for index in 0..whole.topics[GMV].len() {
        let mut log = whole.clone();
        log.topics[GMV].remove(index);
        log.expect(Figures { miscounted: 1, ..NONE });
    }
    // With an older record left, which was right in its time, the counter is outdated.
    let mut log = Log::of(&Rules::default(), example_inputs(), 1);
    let all = |record: &OutputRecord| record.key.as_deref() == Some(b"0/2025-11-11/all/all");
    let last = log.topics[GMV].iter().rposition(all).unwrap();
    log.topics[GMV].remove(last);
    log.expect(Figures { miscounted: 1, ..NONE });
}

#[test]
fn a_counter_of_nothing_is_miscounted() {
    for (from, to) in [("/app", "/web"), ("0/2025", "1/2025"), ("channel", "chanel"), ("0/", "00/")]
    {
        let mut log = Log::of(&Rules::default(), example_inputs(), 1_000);
        let app = |record: &&OutputRecord| record.key.as_deref().unwrap().ends_with(b"/app");
        let mut invented = log.topics[GMV].iter().find(app).unwrap().clone();
        let key = String::from_utf8(invented.key.unwrap()).unwrap();
        invented.key = Some(key.replacen(from, to, 1).into_bytes());
        log.topics[GMV].push(invented);
        log.renumber(GMV);
        log.expect(Figures { miscounted: 1, ..NONE });
    }
}

#[test]
fn a_counter_that_ends_with_an_older_record_is_found() {
    let mut log = Log::of(&Rules::default(), example_inputs(), 1);
    let all = |record: &&OutputRecord| record.key.as_deref() == Some(b"0/2025-11-11/all/all");
    let older = log.topics[GMV].iter().find(all).unwrap().clone();
    log.topics[GMV].push(older);
    log.renumber(GMV);
    // The record is out of order, and a reader of the topic ends up with it.
    let found = log.judge().verdict;
    assert!(found.miscounted + found.different >= 1 && !found.clean(), "{found:?}");
}

#[test]
fn writing_a_counter_again_unchanged_is_no_fault() {
    let mut log = Log::of(&Rules::default(), example_inputs(), 1_000);
    let again = log.topics[GMV].clone();
    log.topics[GMV].extend(again);
    log.renumber(GMV);
    log.expect(NONE);
}

// --- Overselling -------------------------------------------------------------------------------

/// One unit in stock; order a takes it, order b is refused.
fn last_unit() -> Log {
    let commands =
        ["sku.listed 1", "stock.received r qty=1", "order.placed a", "order.placed b", "tick"];
    let inputs = commands.iter().enumerate();
    let inputs = inputs.map(|(index, command)| record(index as u64, 0, command));
    Log::of(&Rules::default(), inputs.collect(), 100)
}

#[test]
fn a_unit_that_is_held_twice_is_oversold() {
    let mut log = last_unit();
    log.expect(NONE);
    let mut second = log.topics[STATUS][0].clone();
    replace(&mut second, "\"offset\":2,\"order_id\":\"a\"", "\"offset\":3,\"order_id\":\"b\"");
    second.offset = log.topics[STATUS][1].offset;
    log.topics[STATUS][1] = second;
    log.expect(Figures { oversold: 1, different: 1, ..NONE });
}

#[test]
fn a_unit_that_is_held_and_settled_to_another_order_is_oversold() {
    let mut log = last_unit();
    let mut settled = log.topics[STATUS][0].clone();
    replace(&mut settled, "hold.placed", "order.settled");
    replace(&mut settled, "\"offset\":2,\"order_id\":\"a\"", "\"offset\":3,\"order_id\":\"b\"");
    settled.topic = Topic::Settled;
    log.topics[SETTLED].push(settled.clone());
    log.expect(Figures { oversold: 1, different: 1, ..NONE });
    // The order that does have the hold may settle, and takes nothing more.
    replace(&mut log.topics[SETTLED][0], "\"order_id\":\"b\"", "\"order_id\":\"a\"");
    log.expect(Figures { different: 1, ..NONE });
}

#[test]
fn units_that_are_released_or_restocked_can_be_sold_again() {
    let commands = [
        "sku.listed 1",
        "stock.received r qty=1",
        "order.placed a",
        "order.cancelled a",
        "order.placed b pay_by=5",
        "order.placed c settle=on_placement",
        "order.refunded f order_id=c lines=1x1@0 restock=true",
        "order.placed d",
        "order.paid p order_id=d",
        "stock.received s qty=2",
        "stock.moved m to=1 qty=1",
        "location.opened 1",
        "order.placed e pickup=1",
        "order.placed g",
    ];
    let inputs = commands.iter().enumerate();
    let inputs = inputs.map(|(index, command)| record(index as u64, index as i64, command));
    let log = Log::of(&Rules::default(), inputs.collect(), 100);
    assert_eq!(log.topics[STATUS].len() + log.topics[SETTLED].len(), 10);
    log.expect(NONE);
}

// --- The verdict itself ------------------------------------------------------------------------

#[test]
fn a_partition_without_its_beginning_gets_no_verdict() {
    let refused = example().judge_from(5);
    assert_eq!(refused, Err(AuditError::NoBeginning { partition: 0, starts_at: 5 }));
}

#[test]
fn input_out_of_order_gets_no_verdict() {
    let mut log = example();
    log.inputs.swap(3, 4);
    let refused = log.judge_from(0);
    assert_eq!(refused, Err(AuditError::InputOutOfOrder { partition: 0, offset: 3 }));
}

#[test]
fn a_log_that_cannot_be_read_gets_no_verdict() {
    let unreadable = || vec![Err("the disk is gone")].into_iter();
    let log = PartitionLog {
        partition: 0,
        input_topic: "orders".to_owned(),
        starts_at: 0,
        committed: 1,
        inputs: vec![Ok(record(0, 0, "tick"))],
        status: unreadable(),
        settled: unreadable(),
        dead_letters: unreadable(),
        gmv: unreadable(),
    };
    let refused = audit_partition(&Rules::default(), log);
    assert_eq!(refused, Err(AuditError::Read("the disk is gone")));
}

#[test]
fn findings_name_topic_partition_and_offset() {
    let mut log = example();
    let lost = log.topics[STATUS].remove(5);
    replace(&mut log.topics[SETTLED][0], "\"discount\":0", "\"discount\":1");
    let findings = log.judge().findings;
    assert_eq!(findings.len(), 2);
    assert!(findings[0].starts_with("different: orders.settled, partition 0, offset 10: "));
    assert!(findings[1].starts_with("lost: orders.status, partition 0: the output of input 13"));
    assert!(findings[1].contains(&text_of(&lost)));
}

#[test]
fn a_report_adds_up_its_partitions_and_stays_bounded() {
    let mut log = sale(50);
    log.topics[STATUS].clear();
    let mut report = AuditReport::default();
    report.add(log.judge());
    report.add(example().judge());
    report.add(log.judge());
    assert_eq!(report.verdict.lost, 2 * sale(50).topics[STATUS].len() as u64);
    assert_eq!((report.partitions, report.findings.len()), (3, FINDINGS_MAX));
    assert!(!report.verdict.clean());
    let json = serde_json::to_value(&report).unwrap();
    for name in ["inputs", "outputs", "oversold", "lost", "duplicated", "miscounted", "different"] {
        assert!(json[name].is_u64(), "{name}");
    }
}
