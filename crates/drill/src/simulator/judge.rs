//! The judgement of a run that has come to rest: by the plain model record for record, by an account
//! kept from the outputs alone, and by a machine that was never disturbed.
//!
//! Invariant: what is judged is what readers of the topics see, and the state that the last snapshot
//! holds.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hash::Hasher;

use ledger::units::Offset;
use ledger::{Ledger, Notice};
use model::PartitionLog;
use pipeline::embedded::{Isolation, Topic};
use pipeline::engine::Engine;
use pipeline::log::Partition;
use pipeline::snapshot;
use serde::Deserialize;
use wire::{Outputs, Record};
use xxhash_rust::xxh3::Xxh3;

use super::stage::{INPUT, Stage, lock};
use super::trace::{Event, WORLD};
use crate::translation::{input_of, model_rules, output_of};

/// Merchant, SKU, location.
type Cell = (u64, u64, u32);

/// What a judged world amounts to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) inputs: u64,
    pub(super) outputs: u64,
}

impl Stage {
    /// Judges every partition; what is wrong is the stage's violation.
    pub(super) fn judge(&self) -> Judged {
        let mut judged = Judged::default();
        for partition in 0..self.plan.partitions {
            self.note_outputs(partition);
            self.check_probes(partition);
            let verdict = self.audit(partition);
            judged.inputs += verdict.verdict.inputs;
            judged.outputs += verdict.verdict.outputs;
            if !verdict.verdict.clean() {
                self.violate(|| {
                    let findings = verdict.findings.join("\n  ");
                    format!("partition {partition}: {:?}\n  {findings}", verdict.verdict)
                });
            }
            self.check_conservation(partition);
        }
        judged
    }

    /// The outputs are part of what the trace's hash stands for.
    fn note_outputs(&self, partition: Partition) {
        for topic in wire::Topic::ALL {
            let mut hash = Xxh3::new();
            self.read(Topic::Output(topic), partition, &mut |record| {
                hash.write_u64(record.offset.0);
                hash.write(record.key.unwrap_or_default());
                hash.write(record.value.unwrap_or_default());
            });
            let (topic, hash) = (topic as usize, hash.finish());
            self.note(WORLD, Event::Output { topic, partition, hash });
        }
    }

    fn read(&self, topic: Topic, partition: Partition, visit: &mut dyn FnMut(&Record<'_>)) {
        self.broker.read(topic, partition, Offset(0), Isolation::ReadCommitted, visit);
    }

    /// Whether the committed offset stands behind the last record of the input.
    pub(super) fn is_answered(&self, partition: Partition) -> bool {
        let mut end = None;
        self.read(Topic::Input, partition, &mut |record| end = Some(Offset(record.offset.0 + 1)));
        // A partition without a record may have a commit at its beginning.
        self.committed(partition).unwrap_or_default() == end.unwrap_or_default()
    }

    fn audit(&self, partition: Partition) -> model::PartitionVerdict {
        let mut inputs = Vec::new();
        let mut keep = |record: &Record<'_>| inputs.push(Ok::<_, Infallible>(input_of(record)));
        self.read(Topic::Input, partition, &mut keep);
        let outputs = |topic| {
            let mut outputs = Vec::new();
            let mut keep = |record: &Record<'_>| outputs.push(Ok(output_of(topic, record)));
            self.read(Topic::Output(topic), partition, &mut keep);
            outputs.into_iter()
        };
        let log = PartitionLog {
            partition,
            input_topic: INPUT.to_owned(),
            starts_at: 0,
            committed: self.broker.bounds(Topic::Input, partition).next.0,
            inputs,
            status: outputs(wire::Topic::Status),
            settled: outputs(wire::Topic::Settled),
            dead_letters: outputs(wire::Topic::DeadLetters),
            gmv: outputs(wire::Topic::Gmv),
        };
        match model::audit_partition(&model_rules(&self.plan.rules), log) {
            Ok(verdict) => verdict,
            Err(error) => unreachable!("records in memory can be read in order: {error}"),
        }
    }

    /// The state from which the next owner starts is the one that an undisturbed machine has, and
    /// what it holds is what was announced to be held.
    fn check_conservation(&self, partition: Partition) {
        let straight = self.undisturbed(partition);
        let mut account = self.announced(partition);
        let mut cells = cells_of(straight.ledger());
        let held: BTreeMap<Cell, i64> =
            cells.iter().map(|(cell, (_, held))| (*cell, *held)).collect();
        account.retain(|_, held| *held != 0);
        if let Some((cell, held)) = account.iter().find(|(cell, it)| held.get(cell) != Some(it)) {
            let found = held_in(&cells, cell);
            self.violate(|| format!("{cell:?}: {held} announced as held, {found} held"));
        }
        if let Some((cell, (_, held))) =
            cells.iter().find(|(cell, (_, held))| *held != account.get(*cell).copied().unwrap_or(0))
        {
            self.violate(|| format!("{cell:?}: {held} held, and not announced"));
        }
        let Some((offset, restored)) = self.restored(partition) else { return };
        if offset != straight.next() {
            return;
        }
        if restored.digest() != straight.digest() {
            self.violate(|| format!("partition {partition}: the last snapshot's digest differs"));
        }
        for (cell, quantities) in cells_of(restored.ledger()) {
            if cells.remove(&cell).unwrap_or_default() != quantities {
                self.violate(|| format!("{cell:?}: the last snapshot holds {quantities:?}"));
            }
        }
        if let Some((cell, quantities)) = cells.iter().find(|(_, it)| **it != (0, 0)) {
            self.violate(|| format!("{cell:?}: the last snapshot lacks {quantities:?}"));
        }
    }

    /// A machine that reads the whole input in one go.
    fn undisturbed(&self, partition: Partition) -> Engine {
        let mut engine = Engine::new(partition, INPUT, self.plan.rules);
        let mut outputs = Outputs::new();
        self.read(Topic::Input, partition, &mut |record| {
            engine.apply(std::slice::from_ref(record), &mut outputs);
            outputs.clear();
        });
        engine
    }

    /// The newest snapshot that can be used.
    fn restored(&self, partition: Partition) -> Option<(Offset, Engine)> {
        let (pipeline, shelf) = (self.pipeline(), lock(&self.shelf));
        let place = pipeline.place(partition);
        shelf.list(partition).into_iter().find_map(|offset| {
            let bytes = shelf.at_rest(partition, offset)?;
            let (header, ledger) = snapshot::decode(&place, offset, bytes).ok()?;
            Some((offset, pipeline.engine_from(partition, &header, ledger)))
        })
    }

    /// What is held in each cell, by what was announced.
    fn announced(&self, partition: Partition) -> BTreeMap<Cell, i64> {
        let mut events = Vec::new();
        for topic in [wire::Topic::Status, wire::Topic::Settled] {
            self.read(Topic::Output(topic), partition, &mut |record| {
                let value = record.value.unwrap_or_default();
                if let Ok(announced) = serde_json::from_slice::<Announced>(value) {
                    events.push((announced.offset, topic as u8, announced));
                }
            });
        }
        // A sweep's releases come before what the same record settles.
        events.sort_by_key(|(offset, topic, _)| (*offset, *topic));
        let mut account = Account::default();
        events.into_iter().for_each(|(_, _, announced)| account.enter(announced));
        account.held
    }
}

/// The part of an output that moves stock.
#[derive(Debug, Deserialize)]
struct Announced {
    #[serde(rename = "type")]
    kind: String,
    offset: u64,
    merchant_id: u64,
    order_id: String,
    #[serde(default)]
    lines: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Line {
    sku: u64,
    #[serde(default)]
    location: u32,
    qty: i64,
}

#[derive(Debug, Default)]
struct Account {
    held: BTreeMap<Cell, i64>,
    open: BTreeMap<(u64, String), Vec<(Cell, i64)>>,
}

impl Account {
    fn enter(&mut self, announced: Announced) {
        let Announced { kind, merchant_id, order_id, lines, .. } = announced;
        let order = (merchant_id, order_id);
        match kind.as_str() {
            "hold.placed" => {
                let cells: Vec<(Cell, i64)> = lines
                    .iter()
                    .map(|line| ((merchant_id, line.sku, line.location), line.qty))
                    .collect();
                for (cell, units) in &cells {
                    *self.held.entry(*cell).or_default() += units;
                }
                self.open.insert(order, cells);
            }
            "hold.released" | "order.settled" => {
                for (cell, units) in self.open.remove(&order).unwrap_or_default() {
                    *self.held.entry(cell).or_default() -= units;
                }
            }
            _ => {}
        }
    }
}

/// On hand and held of every cell.
fn cells_of(ledger: &Ledger) -> BTreeMap<Cell, (i64, i64)> {
    let mut cells = BTreeMap::new();
    ledger.for_each_cell(|notice| {
        if let Notice::Cell { merchant, sku, location, cell } = notice {
            let read = ledger.stock().read(cell);
            let quantities = (i64::from(read.on_hand), i64::from(read.held));
            cells.insert((merchant.0, sku.0, location.0), quantities);
        }
    });
    cells
}

fn held_in(cells: &BTreeMap<Cell, (i64, i64)>, cell: &Cell) -> i64 {
    cells.get(cell).map_or(0, |(_, held)| *held)
}
