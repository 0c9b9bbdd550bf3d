//! Golden logs: what must come of a few small input logs, checked in, and compared byte for byte
//! with what the engine writes, whichever way it is fed.
//!
//! A log is `golden/<name>/input.jsonl` and `output.jsonl`, both like `docs/examples`, but that dead
//! letters are shown whole. With `UPDATE_GOLDEN=1` the outputs are written anew, from the plain
//! model and never from the engine. Logs that are long and all alike are made here; of them only the
//! number of outputs of each record is kept. Invariant: the expected outputs come from the contract,
//! by way of the model, and restarts, repetitions, batches and workers change nothing in them.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

#[path = "golden/golden_log.rs"]
mod golden_log;
#[path = "recovery/sale.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod sale;
#[allow(dead_code, reason = "each test binary uses its part")]
mod sides;
#[path = "recovery/world.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod world;

use ledger::rules::{Partitioner, Rules};
use ledger::units::Offset;
use model::{InputRecord, Output, PlainPartition};
use pipeline::digest::Digest;
use pipeline::embedded::Timestamps;
use pipeline::engine::Engine;
use pipeline::metadata::CommitMetadata;
use pipeline::snapshot::{self, Header};
use pipeline::store::Place;
use wire::Outputs;

use golden_log::GoldenLog;
use sides::{Totals, comparable, model_rules, outputs_of, shown, with_records};
use world::{Hand, World};

/// What a log must come to in one partition.
struct Expected {
    /// For each input record.
    outputs: Vec<Vec<Output>>,
    totals: Totals,
    /// The digest of the model's outputs.
    digest: Digest,
}

/// A run of a log through the engine.
struct Run<'a> {
    partition: u32,
    rules: Rules,
    inputs: &'a [InputRecord],
}

/// What came of a run.
#[derive(Default)]
struct Written {
    outputs: Vec<Output>,
    totals: Totals,
}

impl Written {
    fn take(&mut self, outputs: &Outputs) {
        for output in outputs_of(outputs) {
            match output.topic {
                model::Topic::Gmv => self.totals.note(&output),
                _ => self.outputs.push(comparable(output)),
            }
        }
    }
}

impl Run<'_> {
    fn engine(&self) -> Engine {
        Engine::new(self.partition, sides::INPUT, self.rules)
    }

    fn place(&self) -> Place {
        let partition = self.partition;
        let [cluster, group, topic] = ["cluster", "group", sides::INPUT].map(str::to_owned);
        Place { cluster, group, topic, partition }
    }

    fn apply(&self, engine: &mut Engine, batch: &[InputRecord], outputs: &mut Outputs) {
        with_records(self.partition, batch, |records| engine.apply(records, outputs));
    }

    /// What a snapshot of the engine holds.
    fn snapshot(&self, engine: &mut Engine) -> Vec<u8> {
        let (offset, digest) = (engine.next(), engine.digest().to_bits());
        let state_version = ledger::STATE_VERSION;
        let header = Header { state_version, offset, digest, rules: self.rules };
        snapshot::encode(&self.place(), &header, &engine.freeze()).unwrap()
    }

    /// The engine of a snapshot, as another process would have it.
    fn restore(&self, offset: Offset, bytes: &[u8]) -> Engine {
        let (header, ledger) = snapshot::decode(&self.place(), offset, bytes).unwrap();
        assert_eq!((header.offset, header.rules), (offset, self.rules));
        let digest = Digest::from_bits(header.digest);
        Engine::resume(self.partition, sides::INPUT, self.rules, ledger, digest, offset)
    }

    /// What the model writes.
    fn expected(&self) -> Expected {
        let mut model = PlainPartition::new(model_rules(&self.rules), self.partition)
            .with_input_topic(sides::INPUT);
        let outputs: Vec<Vec<Output>> = self
            .inputs
            .iter()
            .map(|input| model.apply(input).into_iter().map(comparable).collect())
            .collect();
        let digest = sides::digest_of(outputs.iter().flatten());
        Expected { outputs, totals: Totals::of_model(&model), digest }
    }

    fn check(&self, written: &Written, digest: Digest, expected: &Expected, what: &str) {
        let flat: Vec<&Output> = expected.outputs.iter().flatten().collect();
        for (number, (found, wanted)) in written.outputs.iter().zip(&flat).enumerate() {
            let (found_text, wanted_text) = (shown(found), shown(wanted));
            assert!(found == *wanted, "{what}, output {number}:\n {found_text}\n {wanted_text}");
        }
        assert_eq!(written.outputs.len(), flat.len(), "{what}: number of outputs");
        written.totals.assert_equal(&expected.totals, what);
        assert_eq!(digest, expected.digest, "{what}: digest");
    }

    /// In batches of this size, with counters after each batch if `counts`.
    fn in_batches(&self, size: usize, counts: bool, expected: &Expected) {
        let (mut engine, mut outputs) = (self.engine(), Outputs::new());
        let mut written = Written::default();
        for batch in self.inputs.chunks(size) {
            self.apply(&mut engine, batch, &mut outputs);
            if counts {
                engine.write_all_counters(&mut outputs);
            }
            written.take(&outputs);
            outputs.clear();
        }
        engine.write_all_counters(&mut outputs);
        written.take(&outputs);
        let what = format!("in batches of {size}, counters after each: {counts}");
        self.check(&written, engine.digest(), expected, &what);
    }

    /// Restarted from a snapshot after every `every` records.
    fn with_restarts(&self, every: usize, expected: &Expected) {
        let (mut engine, mut outputs) = (self.engine(), Outputs::new());
        for batch in self.inputs.chunks(every) {
            self.apply(&mut engine, batch, &mut outputs);
            let bytes = self.snapshot(&mut engine);
            engine = self.restore(engine.next(), &bytes);
            let again = self.snapshot(&mut engine);
            assert!(again == bytes, "a restored state is the state that was kept");
        }
        engine.write_all_counters(&mut outputs);
        let mut written = Written::default();
        written.take(&outputs);
        let what = format!("with a restart every {every} records");
        self.check(&written, engine.digest(), expected, &what);
    }

    /// Every batch twice, as after an abort: applied, thrown away, and applied by the state before.
    fn with_redelivery(&self, size: usize, expected: &Expected) {
        let (mut engine, mut outputs) = (self.engine(), Outputs::new());
        for batch in self.inputs.chunks(size) {
            let (before, bytes) = (engine.next(), self.snapshot(&mut engine));
            let mut aborted = Outputs::new();
            self.apply(&mut engine, batch, &mut aborted);
            engine.write_all_counters(&mut aborted);
            engine = self.restore(before, &bytes);
            self.apply(&mut engine, batch, &mut outputs);
        }
        engine.write_all_counters(&mut outputs);
        let mut written = Written::default();
        written.take(&outputs);
        let what = format!("with every batch of {size} twice");
        self.check(&written, engine.digest(), expected, &what);
    }
}

/// Through so many real workers, on four partitions that each hold the whole log.
fn through_workers(inputs: &[InputRecord], workers: usize) {
    let rules = Rules { partitions: 4, partitioner: Partitioner::Any, ..Rules::default() };
    let world = World::empty(rules, Timestamps::CreateTime);
    let mut hands: Vec<Hand> =
        (0..workers).map(|number| world.hire(&format!("worker-{number}"))).collect();
    let turn = |hands: &mut Vec<Hand>| hands.iter_mut().for_each(|hand| world.turns(hand, 1));
    (0..5).for_each(|_| turn(&mut hands));
    // In pieces of different sizes, so that the partitions never stand alike.
    for (number, piece) in inputs.chunks(inputs.len().div_ceil(12)).enumerate() {
        for partition in 0..4 {
            sides::append(&world.broker, partition, piece);
            if number % 4 >= partition as usize {
                turn(&mut hands);
            }
        }
    }
    (0..120).for_each(|_| turn(&mut hands));
    for partition in 0..4 {
        let run = Run { partition, rules, inputs };
        let expected = run.expected();
        let what = format!("{workers} workers, partition {partition}");
        check_topics(&world, partition, &expected, &what);
        let metadata: CommitMetadata = world.committed(partition).metadata.parse().unwrap();
        assert_eq!(metadata.digest, expected.digest, "{what}: digest");
        assert_eq!(world.committed(partition).offset, Some(Offset(inputs.len() as u64)));
    }
}

/// Each output topic holds what it should, in order.
fn check_topics(world: &World, partition: u32, expected: &Expected, what: &str) {
    let mut totals = Totals::default();
    for topic in wire::Topic::ALL {
        let found = sides::committed_outputs(&world.broker, topic, partition);
        let found = found.into_iter().map(|record| {
            let model::OutputRecord { topic, key, value, timestamp, headers, .. } = record;
            comparable(Output { topic, key, value, timestamp, headers })
        });
        if topic == wire::Topic::Gmv {
            found.for_each(|output| totals.note(&output));
            continue;
        }
        let is_its = |output: &&Output| output.topic == sides::topic_of(topic);
        let wanted = expected.outputs.iter().flatten().filter(is_its);
        assert!(found.eq(wanted.cloned()), "{what}: {topic:?}");
    }
    totals.assert_equal(&expected.totals, what);
}

/// All ways, for one log.
fn check(log: &GoldenLog, restarts_every: &[usize]) {
    let run = Run { partition: 0, rules: Rules::default(), inputs: &log.inputs };
    let expected = run.expected();
    log.compare(&expected.outputs, &expected.totals);
    for size in [1, 2, 7, 512, usize::MAX] {
        run.in_batches(size, false, &expected);
        run.in_batches(size, true, &expected);
    }
    for every in restarts_every {
        run.with_restarts(*every, &expected);
        run.with_redelivery(*every, &expected);
    }
    for workers in 1..=3 {
        through_workers(&log.inputs, workers);
    }
}

fn check_named(name: &str) {
    check(&GoldenLog::read(name), &[1, 2, 5, 16]);
}

#[test]
fn the_contracts_example() {
    check(&GoldenLog::contract_example(), &[1, 2, 5, 16]);
}

#[test]
fn presale_deposits_balances_and_forfeits() {
    check_named("presale");
}

#[test]
fn allocation_by_distance_priority_and_id() {
    check_named("allocation");
}

#[test]
fn ids_are_remembered_to_the_millisecond() {
    check_named("once");
}

#[test]
fn discounts_are_shared_out_to_the_last_fen() {
    check_named("rounding");
}

#[test]
fn limits_come_and_go_with_the_catalogue() {
    check_named("catalogue");
}

#[test]
fn garbage_becomes_dead_letters_that_hide_nothing() {
    check_named("garbage");
}

#[test]
fn a_burst_of_holds_expires_1024_for_each_record() {
    check(&GoldenLog::expiry_burst(), &[64, 1_000]);
}

#[test]
fn the_4097th_category_and_location_are_too_many() {
    check(&GoldenLog::too_many(), &[700]);
}
