//! One partition on both sides: the plain model, the engine record by record, and the engine in batches.
//!
//! Not where records come from. Invariant: after each record the outputs are the same byte for byte,
//! and whenever counters are compared, so are they.

use ledger::rules::Rules;
use model::{InputRecord, Output, PlainPartition};
use pipeline::digest::Digest;
use pipeline::engine::Engine;
use pipeline::snapshot::{self, Header};
use pipeline::store::Place;
use wire::Outputs;

use crate::books::Books;
use crate::sides::{self, Totals, comparable, model_rules, outputs_of, shown, with_records};

/// Records between two comparisons of the counters.
const COUNTERS_EVERY: u64 = 997;

/// One partition on both sides.
pub(crate) struct Pair {
    partition: u32,
    what: String,
    /// Takes one record at a time.
    engine: Engine,
    /// Takes them in batches, as a worker does.
    batched: Engine,
    batch: Vec<InputRecord>,
    /// What the batch is to cause.
    batch_wanted: Vec<Output>,
    model: PlainPartition,
    outputs: Outputs,
    totals: Totals,
    books: Books,
    applied: u64,
    /// Of the last record.
    offset: u64,
}

impl Pair {
    pub(crate) fn new(partition: u32, rules: Rules, what: &str) -> Pair {
        Pair {
            partition,
            what: format!("{what}, partition {partition}"),
            engine: Engine::new(partition, sides::INPUT, rules),
            batched: Engine::new(partition, sides::INPUT, rules),
            batch: Vec::new(),
            batch_wanted: Vec::new(),
            model: PlainPartition::new(model_rules(&rules), partition)
                .with_input_topic(sides::INPUT),
            outputs: Outputs::new(),
            totals: Totals::default(),
            books: Books::default(),
            applied: 0,
            offset: 0,
        }
    }

    pub(crate) fn apply(&mut self, input: &InputRecord) {
        let duplicates = self.duplicates();
        let wanted: Vec<Output> = self.model.apply(input).into_iter().map(comparable).collect();
        let Pair { engine, outputs, .. } = self;
        with_records(self.partition, std::slice::from_ref(input), |records| {
            engine.apply(records, outputs);
        });
        let found: Vec<Output> = outputs_of(outputs).into_iter().map(comparable).collect();
        outputs.clear();
        assert!(found == wanted, "{}", self.difference(input, &found, &wanted));
        assert_eq!(self.engine.time().0, self.model.time(), "{}: T", self.what);
        self.books.enter(input, &found, self.duplicates() > duplicates);
        self.batch.push(input.clone());
        self.batch_wanted.extend(wanted);
        self.applied += 1;
        self.offset = input.offset;
        // Sizes below, at and above those in which the engine works ahead.
        if self.batch.len() as u64 > self.applied % 101 {
            self.apply_batch();
        }
        if self.applied.is_multiple_of(COUNTERS_EVERY) {
            self.compare_counters();
        }
    }

    /// The other engine catches up, and writes the same.
    fn apply_batch(&mut self) {
        let Pair { batched, batch, batch_wanted, outputs, .. } = self;
        with_records(self.partition, batch, |records| batched.apply(records, outputs));
        let found: Vec<Output> = outputs_of(outputs).into_iter().map(comparable).collect();
        outputs.clear();
        let first = batch.first().map(|input| input.offset);
        assert!(found == *batch_wanted, "{}: the batch from {first:?} on", self.what);
        batch.clear();
        batch_wanted.clear();
        assert_eq!(batched.digest(), self.engine.digest(), "{}: digest", self.what);
    }

    /// How many duplicates were counted so far.
    fn duplicates(&self) -> u128 {
        let all = self.model.counters().iter();
        all.filter(|(key, _)| key.dimension == model::Dimension::All)
            .map(|(_, counter)| counter.figures.duplicates)
            .sum()
    }

    /// The engine goes on from a snapshot of itself, as another process would.
    pub(crate) fn restart(&mut self) {
        let Pair { engine, partition, .. } = self;
        let (rules, digest, next) = (*engine.ledger().rules(), engine.digest(), engine.next());
        let place = Place {
            cluster: "cluster".to_owned(),
            group: "group".to_owned(),
            topic: sides::INPUT.to_owned(),
            partition: *partition,
        };
        let header = Header {
            state_version: ledger::STATE_VERSION,
            offset: next,
            digest: digest.to_bits(),
            rules,
        };
        let bytes = snapshot::encode(&place, &header, &engine.freeze()).unwrap();
        let (header, ledger) = snapshot::decode(&place, next, &bytes).unwrap();
        let digest = Digest::from_bits(header.digest);
        *engine = Engine::resume(*partition, sides::INPUT, rules, ledger, digest, header.offset);
    }

    fn difference(&self, input: &InputRecord, found: &[Output], wanted: &[Output]) -> String {
        let texts = |outputs: &[Output]| outputs.iter().map(shown).collect::<Vec<_>>().join("\n  ");
        let value = input.value.as_deref().unwrap_or_default();
        format!(
            "{}: record {} at {}: {}\nengine:\n  {}\nmodel:\n  {}",
            self.what,
            input.offset,
            input.timestamp,
            String::from_utf8_lossy(&value[..value.len().min(2_000)]),
            texts(found),
            texts(wanted),
        )
    }

    /// Each counter that the engine writes says what the model says, and none is missing.
    fn compare_counters(&mut self) {
        self.engine.write_all_counters(&mut self.outputs);
        let (offset, at) = (self.offset, self.model.time());
        for found in outputs_of(&self.outputs) {
            let key = String::from_utf8(found.key.clone().unwrap()).unwrap();
            let (_, key) = model::CounterKey::parse(&key).unwrap();
            let wanted = self.model.counters().record(&key, offset, at);
            let shown_wanted = wanted.as_ref().map(shown);
            assert_eq!(Some(&found), wanted.as_ref(), "{}: {shown_wanted:?}", self.what);
            self.totals.note(&found);
        }
        self.outputs.clear();
        self.totals.assert_equal(&Totals::of_model(&self.model), &self.what);
        assert!(!self.engine.ledger().counters_changed());
    }

    pub(crate) fn finish(mut self) -> Books {
        self.apply_batch();
        self.compare_counters();
        assert_eq!(self.engine.ledger().holds_open(), self.model.open_holds() as u64);
        self.books.assert_balanced(self.engine.ledger(), &self.model, &self.what);
        self.books
    }
}
