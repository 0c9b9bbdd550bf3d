//! Brings near what a batch of commands will look at, so that their waits for memory overlap.
//!
//! Not a part of the state machine: it changes nothing but buffers of its own, and decides nothing; a
//! ledger that applies each record alone gives the same effects. A command alone waits for one
//! cache miss after the other (index, record, cell, counter), because each address comes out of the
//! load before. Here each step is done for all commands before the next, and ends in hints, for which
//! nothing waits: when the next step loads what they were about, it is there. What is found is a guess
//! (hashes are compared, keys are not). What was worked out on the way, a command's merchant and its
//! SKUs, to be compared, and its packed order id with its hash, is kept until that command is applied.
//! Invariant: no effect depends on how records are cut into batches.

use crate::catalogue::{Merchants, Sku, Skus};
use crate::command::{Command, ExternalId, Line, Settle};
use crate::ledger::Ledger;
use crate::memory::{Key, Place};
use crate::packed_id::PackedId;
use crate::units::{MerchantId, SkuId};

/// What a batch is about, as far as it was guessed; buffers that every batch uses again.
#[derive(Debug, Default)]
pub(crate) struct Near {
    /// What is known of each record's command, in their order.
    known: Vec<Option<Known>>,
    /// The record that is being applied.
    at: usize,
    /// Hashes of their keys.
    orders: Vec<u32>,
    payments: Vec<u32>,
    skus: Vec<NearSku>,
    /// Hashes of the orders whose holds are to end.
    ending: Vec<u32>,
    /// Those holds.
    holds: Vec<u32>,
    /// Their cells.
    cells: Vec<u32>,
}

/// What was worked out for one command and need not be worked out again.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// Perhaps another one's number.
    merchant: u32,
    /// Where its lines begin in `skus`.
    line: u32,
    /// Of its order's key, if the merchant is the right one.
    order_hash: u32,
    order_id: PackedId,
}

#[derive(Debug, Clone, Copy)]
struct NearSku {
    hash: u32,
    /// The SKU's number plus 1; 0 for none.
    sku: u32,
    settles: bool,
}

/// A command as far as it matters here.
struct Outline<'a> {
    merchant: MerchantId,
    order_id: ExternalId<'a>,
    payment_id: Option<ExternalId<'a>>,
    lines: &'a [Line],
    settles: bool,
}

fn outline<'a>(command: &Command<'a>) -> Option<Outline<'a>> {
    match command {
        Command::OrderPlaced(order) => Some(Outline {
            merchant: order.merchant,
            order_id: order.order_id,
            payment_id: None,
            lines: order.lines,
            settles: order.settle == Settle::OnPlacement,
        }),
        Command::OrderPaid(payment) => Some(Outline {
            merchant: payment.merchant,
            order_id: payment.order_id,
            payment_id: Some(payment.payment_id),
            lines: &[],
            settles: true,
        }),
        Command::OrderCancelled { merchant, order_id } => Some(Outline {
            merchant: *merchant,
            order_id: *order_id,
            payment_id: None,
            lines: &[],
            settles: false,
        }),
        // Everything else is rare.
        _ => None,
    }
}

fn merchant_of(command: &Command<'_>) -> Option<MerchantId> {
    match command {
        Command::OrderPlaced(order) => Some(order.merchant),
        Command::OrderPaid(payment) => Some(payment.merchant),
        Command::OrderCancelled { merchant, .. } => Some(*merchant),
        _ => None,
    }
}

impl Ledger {
    /// Brings near what the commands, one for each record of a batch, will look up.
    pub(crate) fn prefetch<'c, 'a: 'c>(
        &mut self,
        commands: impl Iterator<Item = Option<&'c Command<'a>>> + Clone,
    ) {
        let mut near = std::mem::take(&mut self.scratch.near);
        near.clear();
        for merchant in commands.clone().flatten().filter_map(merchant_of) {
            self.merchants.prefetch_index(Merchants::hash(merchant));
        }
        for command in commands {
            let known = command.and_then(outline).and_then(|outline| {
                let merchant = self.merchants.peek(Merchants::hash(outline.merchant))?;
                self.merchants.prefetch(merchant);
                self.gmv.prefetch_merchant(merchant);
                Some(near.hash_keys(merchant, &outline))
            });
            near.known.push(known);
        }
        near.orders.iter().for_each(|hash| self.orders.prefetch(*hash));
        near.payments.iter().for_each(|hash| self.payments.prefetch(*hash));
        near.skus.iter().for_each(|sku| self.skus.prefetch_index(sku.hash));
        self.prefetch_records(&mut near);
        self.prefetch_cells(&mut near);
        for cell in &near.cells {
            let owner = self.stockroom.owner(*cell);
            self.skus.prefetch(owner.sku);
            self.places.prefetch(owner.place);
            self.gmv.prefetch_place(owner.place);
        }
        self.scratch.near = near;
    }

    /// The number of the merchant of the record that is being applied, if the state has needed one
    /// before, with the hash of its order's key, and the order's id in its packed form.
    #[inline]
    pub(crate) fn look_up(
        &self,
        merchant: MerchantId,
        order_id: ExternalId<'_>,
    ) -> (Option<(u32, u32)>, PackedId) {
        if let Some(known) = self.scratch.near.known()
            && self.merchants.id(known.merchant) == merchant
        {
            return (Some((known.merchant, known.order_hash)), known.order_id);
        }
        let id = PackedId::new(order_id);
        let found =
            self.merchant(merchant).map(|merchant| (merchant, Key::new(merchant, &id).hash()));
        (found, id)
    }

    /// Finds the new orders' SKUs and the holds that are to end.
    fn prefetch_records(&self, near: &mut Near) {
        for near_sku in &mut near.skus {
            if let Some(sku) = self.skus.peek(near_sku.hash) {
                near_sku.sku = sku + 1;
                self.skus.prefetch(sku);
            }
        }
        for hash in &near.ending {
            if let Some(Place::Hold(hold)) = self.orders.peek(*hash) {
                near.holds.push(hold);
                self.holds.prefetch(hold);
            }
        }
    }

    /// Finds the cells of those SKUs and holds.
    fn prefetch_cells(&self, near: &mut Near) {
        for near_sku in near.skus.iter().filter(|sku| sku.sku != 0) {
            let sku = self.skus.get(near_sku.sku - 1);
            if sku.cells > 0 {
                self.stockroom.prefetch(sku.first_cell);
                self.places.prefetch(sku.first_place);
                if near_sku.settles {
                    self.gmv.prefetch_place(sku.first_place);
                }
            }
        }
        for hold in &near.holds {
            for line in self.holds.get(*hold).lines() {
                self.stockroom.prefetch(line.cell);
                self.stockroom.prefetch_owner(line.cell);
                near.cells.push(line.cell);
            }
        }
    }
}

impl Near {
    /// Notes the keys of one command.
    #[inline]
    fn hash_keys(&mut self, merchant: u32, outline: &Outline<'_>) -> Known {
        let order_id = PackedId::new(outline.order_id);
        let order_hash = Key::new(merchant, &order_id).hash();
        self.orders.push(order_hash);
        if let Some(id) = outline.payment_id {
            self.payments.push(Key::new(merchant, &PackedId::new(id)).hash());
        }
        if outline.lines.is_empty() {
            self.ending.push(order_hash);
        }
        let line = self.skus.len() as u32;
        let settles = outline.settles;
        self.skus.extend(outline.lines.iter().map(|line| NearSku {
            hash: Skus::hash(merchant, line.sku),
            sku: 0,
            settles,
        }));
        Known { merchant, line, order_hash, order_id }
    }

    /// Says which record of the batch is applied from now on.
    #[inline]
    pub(crate) fn begin(&mut self, record: usize) {
        self.at = record;
    }

    #[inline]
    fn known(&self) -> Option<&Known> {
        self.known.get(self.at)?.as_ref()
    }

    /// The SKU of a line of the order that is being applied, and its number.
    #[inline]
    pub(crate) fn sku_of_line<'s>(
        &self,
        skus: &'s Skus,
        line: usize,
        merchant: u32,
        id: SkuId,
    ) -> Option<(u32, &'s Sku)> {
        let near = self.known().and_then(|known| self.skus.get(known.line as usize + line));
        if let Some(number) = near.and_then(|near| near.sku.checked_sub(1)) {
            let sku = skus.get(number);
            if sku.is(merchant, id) {
                return Some((number, sku));
            }
        }
        skus.find(merchant, id).map(|number| (number, skus.get(number)))
    }

    pub(crate) fn clear(&mut self) {
        self.known.clear();
        self.orders.clear();
        self.payments.clear();
        self.skus.clear();
        self.ending.clear();
        self.holds.clear();
        self.cells.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rules;
    use std::collections::HashMap;

    /// Two merchants whose hashes are equal, so that one is guessed for the other.
    fn colliding() -> [MerchantId; 2] {
        let mut seen = HashMap::new();
        let mut pairs = (1..).map(MerchantId).filter_map(|merchant| {
            let before = seen.insert(Merchants::hash(merchant), merchant);
            before.map(|before| [before, merchant])
        });
        pairs.next().expect("hashes of 32 bits collide among so many")
    }

    /// Looks a batch of these merchants' commands up; their numbers have to be these.
    fn check(ledger: &mut Ledger, numbers: [(MerchantId, Option<u32>); 3]) {
        let order_id = ExternalId::new("1").expect("an id");
        let commands = numbers.map(|(merchant, _)| Command::OrderCancelled { merchant, order_id });
        ledger.prefetch(commands.iter().map(Some));
        for (record, (merchant, number)) in numbers.into_iter().enumerate() {
            ledger.scratch.near.begin(record);
            let (found, id) = ledger.look_up(merchant, order_id);
            assert_eq!(found, number.map(|number| (number, Key::new(number, &id).hash())));
        }
        ledger.scratch.near.clear();
    }

    #[test]
    fn a_merchant_that_is_guessed_wrongly_is_not_taken_for_the_right_one() {
        let [known, other] = colliding();
        let mut ledger = Ledger::new(Rules::default());
        let first = Some(ledger.merchant_or_new(None, known));
        check(&mut ledger, [(known, first), (other, None), (known, first)]);
        let second = Some(ledger.merchant_or_new(None, other));
        check(&mut ledger, [(known, first), (other, second), (known, first)]);
    }
}
