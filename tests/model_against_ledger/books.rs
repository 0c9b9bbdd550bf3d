//! An account of one partition from what readers see alone: stock from accepted stock commands and
//! outputs, sales from settled orders; and what both must agree with.
//!
//! Neither the model's nor the engine's: it knows no rule but that nothing comes from nowhere.
//! Invariant: on_hand and held of every cell follow from the outputs.

use std::collections::BTreeMap;

use ledger::{Ledger, Notice};
use model::{Dimension, InputRecord, Output, PlainPartition, Topic};
use serde_json::Value;

use crate::sides::code_of;

/// Merchant, SKU, location.
type Cell = (u64, u64, u32);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Stock {
    on_hand: i64,
    held: i64,
    stocked: i64,
    settled: i64,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Books {
    cells: BTreeMap<Cell, Stock>,
    /// Holds that have not ended.
    open: BTreeMap<(u64, String), ()>,
    settled: u128,
    settlements: u64,
    refunded: u128,
    answers: BTreeMap<String, u64>,
}

impl Books {
    /// Takes a record and its outputs in.
    pub(crate) fn enter(&mut self, input: &InputRecord, outputs: &[Output], was_duplicate: bool) {
        let mut is_dead = false;
        for output in outputs {
            if output.topic == Topic::DeadLetters {
                is_dead = true;
                self.answered(&code_of(&output.headers));
            } else {
                let value: Value = serde_json::from_slice(output.value.as_ref().unwrap()).unwrap();
                self.enter_output(&value);
            }
        }
        if was_duplicate {
            self.answered("duplicate");
        } else if !is_dead {
            self.enter_stock(input.value.as_deref().unwrap_or_default());
        }
    }

    fn answered(&mut self, answer: &str) {
        *self.answers.entry(answer.to_owned()).or_default() += 1;
    }

    fn enter_output(&mut self, value: &Value) {
        let name = value["type"].as_str().unwrap();
        match value["reason"].as_str() {
            Some(reason) => self.answered(&format!("{name} {reason}")),
            None => self.answered(name),
        }
        let merchant = value["merchant_id"].as_u64().unwrap();
        let order = || (merchant, value["order_id"].as_str().unwrap().to_owned());
        let amount = value["amount"].as_u64().map(u128::from).unwrap_or_default();
        match name {
            "hold.placed" => {
                assert!(self.open.insert(order(), ()).is_none(), "held twice: {value}");
                self.each_line(merchant, value, |stock, units| {
                    stock.on_hand -= units;
                    stock.held += units;
                });
            }
            "hold.released" => {
                assert!(self.open.remove(&order()).is_some(), "released unheld: {value}");
                self.each_line(merchant, value, |stock, units| {
                    stock.on_hand += units;
                    stock.held -= units;
                });
            }
            "order.settled" => {
                let was_held = self.open.remove(&order()).is_some();
                self.each_line(merchant, value, |stock, units| {
                    let from = if was_held { &mut stock.held } else { &mut stock.on_hand };
                    *from -= units;
                    stock.settled += units;
                });
                self.settled += amount;
                self.settlements += 1;
            }
            "order.refunded" => {
                if value["restock"] == true {
                    self.each_line(merchant, value, |stock, units| {
                        stock.on_hand += units;
                        stock.stocked += units;
                    });
                }
                self.refunded += amount;
            }
            _ => {}
        }
    }

    fn each_line(&mut self, merchant: u64, value: &Value, change: impl Fn(&mut Stock, i64)) {
        for line in value["lines"].as_array().unwrap() {
            let location = u32::try_from(line["location"].as_u64().unwrap()).unwrap();
            let cell = (merchant, line["sku"].as_u64().unwrap(), location);
            let stock = self.cells.entry(cell).or_default();
            change(stock, line["qty"].as_i64().unwrap());
            let Stock { on_hand, held, .. } = *stock;
            assert!(on_hand >= 0 && held >= 0, "oversold: {cell:?} {stock:?}");
        }
    }

    /// An accepted stock command.
    fn enter_stock(&mut self, value: &[u8]) {
        let Ok(value) = serde_json::from_slice::<Value>(value) else { return };
        let changes = match value["type"].as_str() {
            Some("stock.received") => vec![("location", number(&value["qty"]))],
            Some("stock.moved") => {
                vec![("from", -number(&value["qty"])), ("to", number(&value["qty"]))]
            }
            _ => return,
        };
        for (field, units) in changes {
            let id = |name: &str| u64::try_from(number(&value[name])).unwrap();
            let location = u32::try_from(id(field)).unwrap();
            let stock = self.cells.entry((id("merchant_id"), id("sku"), location)).or_default();
            let units = i64::try_from(units).unwrap();
            stock.on_hand += units;
            stock.stocked += units;
        }
    }

    /// Holds the account against the engine's cells and the model's counters.
    pub(crate) fn assert_balanced(&self, ledger: &Ledger, model: &PlainPartition, what: &str) {
        let mut cells = BTreeMap::new();
        ledger.for_each_cell(|notice| {
            if let Notice::Cell { merchant, sku, location, cell } = notice {
                let read = ledger.stock().read(cell);
                let quantities = (i64::from(read.on_hand), i64::from(read.held));
                cells.insert((merchant.0, sku.0, location.0), quantities);
            }
        });
        for (cell, stock) in &self.cells {
            let (on_hand, held) = cells.remove(cell).unwrap_or_default();
            assert_eq!((on_hand, held), (stock.on_hand, stock.held), "{what}: {cell:?}");
            assert_eq!(stock.stocked, on_hand + held + stock.settled, "{what}: {cell:?}");
        }
        assert!(cells.values().all(|empty| *empty == (0, 0)), "{what}: stock from nowhere");
        assert_eq!(self.open.len(), model.open_holds(), "{what}: open holds");
        self.assert_counted(model, what);
    }

    /// Every dimension adds up to the same, which is what was settled and refunded.
    fn assert_counted(&self, model: &PlainPartition, what: &str) {
        let sum = |dimension: Dimension, figure: fn(&model::Figures) -> u128| -> u128 {
            let of = model.counters().iter().filter(|(key, _)| key.dimension == dimension);
            of.map(|(_, counter)| figure(&counter.figures)).sum()
        };
        let placed = sum(Dimension::All, |figures| figures.placed);
        let units = sum(Dimension::All, |figures| figures.units_settled);
        for dimension in Dimension::ALL {
            let name = dimension.name();
            assert_eq!(sum(dimension, |it| it.settled), self.settled, "{what}: {name}");
            assert_eq!(sum(dimension, |it| it.units_settled), units, "{what}: {name}");
            if dimension != Dimension::Location {
                assert_eq!(sum(dimension, |it| it.placed), placed, "{what}: {name}");
            }
            let has_refunds = !matches!(
                dimension,
                Dimension::Fulfilment | Dimension::Category | Dimension::Location
            );
            let refunded = if has_refunds { self.refunded } else { 0 };
            assert_eq!(sum(dimension, |it| it.refunded), refunded, "{what}: {name}");
        }
        assert_eq!(sum(Dimension::All, |it| it.orders_settled), self.settlements.into(), "{what}");
        let settled: i64 = self.cells.values().map(|stock| stock.settled).sum();
        assert_eq!(units, settled.unsigned_abs().into(), "{what}: units");
    }

    /// How many orders were settled.
    pub(crate) fn settlements(&self) -> u64 {
        self.settlements
    }

    /// How often there was this answer.
    pub(crate) fn answers(&self, answer: &str) -> u64 {
        self.answers.get(answer).copied().unwrap_or_default()
    }

    /// Takes another account's answers in.
    pub(crate) fn add_answers(&mut self, other: &Books) {
        for (answer, count) in &other.answers {
            *self.answers.entry(answer.clone()).or_default() += count;
        }
    }
}

/// A number, or a string of digits.
fn number(value: &Value) -> i128 {
    match value {
        Value::Number(number) => number.to_string().parse().unwrap(),
        Value::String(digits) => digits.parse().unwrap(),
        _ => 0,
    }
}
