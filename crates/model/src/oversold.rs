//! An account of stock kept from what was really announced, to find what was sold twice.
//!
//! It does not ask the model what should have been held. Units come in through accepted stock
//! commands, announced restocks and announced releases; they go out through announced holds and
//! through settlements of orders that have no announced hold. A hold that takes a cell below zero is
//! oversold, whoever else agrees with it.

use std::collections::{BTreeMap, HashMap};

use crate::json::{self, Json, Object};
use crate::merchant::StockChange;
use crate::orders::Order;
use crate::partition::PlainPartition;
use crate::record::OutputRecord;

/// A cell of a merchant: SKU and location.
type Cell = (u64, u64, u64);

#[derive(Debug, Default)]
pub(crate) struct AnnouncedStock {
    on_hand: HashMap<Cell, i128>,
    /// The units of every order with an announced hold, by merchant and order id.
    holds: HashMap<(u64, String), BTreeMap<Cell, i128>>,
}

/// A cell that a hold took below zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Oversold {
    pub(crate) merchant_id: u64,
    pub(crate) sku: u64,
    pub(crate) location: u64,
    pub(crate) on_hand: i128,
}

impl AnnouncedStock {
    /// The account of a partition that goes on from here: what it has on hand, and its open holds.
    pub(crate) fn of(partition: &PlainPartition) -> AnnouncedStock {
        let mut stock = AnnouncedStock::default();
        for (merchant_id, merchant) in &partition.merchants {
            for (sku, location, on_hand) in merchant.cells() {
                stock.on_hand.insert((*merchant_id, sku, location.into()), on_hand.into());
            }
        }
        for ((merchant_id, order_id), order) in partition.orders.iter() {
            let Order::Open(hold) = order else { continue };
            let units = stock.holds.entry((*merchant_id, order_id.clone())).or_default();
            for line in &hold.order.lines {
                let cell = (*merchant_id, line.sku, hold.allocation[&line.sku].into());
                *units.entry(cell).or_default() += i128::from(line.qty);
            }
        }
        stock
    }

    /// Takes in the effect of an accepted stock command.
    pub(crate) fn stocked(&mut self, merchant_id: u64, change: &StockChange) {
        let cell = (merchant_id, change.sku, u64::from(change.location));
        *self.on_hand.entry(cell).or_default() += i128::from(change.units);
    }

    /// Takes in an output. Returns a cell that it oversold, if there is one.
    pub(crate) fn announced(&mut self, record: &OutputRecord) -> Option<Oversold> {
        // What cannot be read is none of the outputs that matter here; it has been found already.
        let object = json::parse(record.value.as_deref()?).ok()?;
        let kind = text(&object, "type")?;
        let units = units_of(&object)?;
        let order = (number(&object, "merchant_id")?, text(&object, "order_id")?.to_owned());
        match kind {
            "hold.placed" => {
                let oversold = self.take(&units);
                let hold = self.holds.entry(order).or_default();
                for (cell, units) in units {
                    *hold.entry(cell).or_default() += units;
                }
                oversold
            }
            "order.settled" => match self.holds.remove(&order) {
                Some(_) => None,
                None => self.take(&units),
            },
            "hold.released" => {
                let held = self.holds.remove(&order).unwrap_or_default();
                self.give(&held);
                None
            }
            "order.refunded" if member(&object, "restock") == Some(&Json::Bool(true)) => {
                self.give(&units);
                None
            }
            _ => None,
        }
    }

    fn give(&mut self, units: &BTreeMap<Cell, i128>) {
        for (cell, units) in units {
            *self.on_hand.entry(*cell).or_default() += units;
        }
    }

    fn take(&mut self, units: &BTreeMap<Cell, i128>) -> Option<Oversold> {
        let mut oversold = None;
        for (cell, units) in units {
            let on_hand = self.on_hand.entry(*cell).or_default();
            *on_hand -= units;
            if *on_hand < 0 {
                let (merchant_id, sku, location) = *cell;
                oversold = Some(Oversold { merchant_id, sku, location, on_hand: *on_hand });
            }
        }
        oversold
    }
}

/// The units of an output's lines, added up for each cell.
fn units_of(object: &Object) -> Option<BTreeMap<Cell, i128>> {
    let merchant_id = number(object, "merchant_id")?;
    let Json::Array(lines) = member(object, "lines")? else { return None };
    let mut units = BTreeMap::new();
    for line in lines {
        let Json::Object(line) = line else { return None };
        let cell = (merchant_id, number(line, "sku")?, number(line, "location")?);
        *units.entry(cell).or_default() += i128::from(number(line, "qty")?);
    }
    Some(units)
}

fn member<'a>(object: &'a Object, name: &str) -> Option<&'a Json> {
    object.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

fn text<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    match member(object, name)? {
        Json::String(text) => Some(text),
        _ => None,
    }
}

fn number(object: &Object, name: &str) -> Option<u64> {
    match member(object, name)? {
        Json::Number(number) => number.parse().ok(),
        _ => None,
    }
}
