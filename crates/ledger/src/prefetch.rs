//! Brings near what a batch of commands will look at, so that their waits for memory overlap.
//!
//! Not a part of the state machine: it changes nothing but buffers of its own, and decides nothing; a
//! ledger that applies each record alone gives the same effects. A command alone waits for one
//! cache miss after the other (index, record, cell, counter), because each address comes out of the
//! load before. Here each step is done for all commands before the next, in loops so short that the
//! core has many of their loads under way at once. What is found is a guess (hashes are compared, keys
//! are not) and is only ever loaded. What was worked out on the way, a command's merchant,
//! its packed order id and, to be compared, its SKUs, is kept until that command is applied. Invariant: no effect depends on how
//! records are cut into batches.

use crate::catalogue::{Sku, Skus};
use crate::command::{Command, ExternalId, Line, Settle};
use crate::ledger::Ledger;
use crate::memory::{Key, Place};
use crate::packed_id::PackedId;
use crate::units::{MerchantId, SkuId};
use std::hint::black_box;

/// What a batch is about, as far as it was guessed; buffers that every batch uses again.
#[derive(Debug, Default)]
pub(crate) struct Near {
    /// What is known of each record's command, in their order.
    known: Vec<Option<Known>>,
    /// The record that is being applied.
    at: usize,
    merchants: Vec<u32>,
    orders: Vec<u32>,
    payments: Vec<u32>,
    skus: Vec<NearSku>,
    cells: Vec<NearCell>,
}

/// What was worked out for one command and need not be worked out again.
#[derive(Debug, Clone, Copy)]
struct Known {
    merchant: u32,
    /// Where its lines begin in `skus`.
    line: u32,
    order_id: PackedId,
}

#[derive(Debug, Clone, Copy)]
struct NearSku {
    hash: u32,
    /// The SKU's number plus 1; 0 for none.
    sku: u32,
    settles: bool,
}

#[derive(Debug, Clone, Copy)]
struct NearCell {
    cell: u32,
    place: u32,
    /// Whether its place is counted.
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
        // What was loaded is summed up and given away, or the loads would be left out.
        let mut sum = 0;
        for merchant in commands.clone().flatten().filter_map(merchant_of) {
            sum ^= self.merchants.touch(merchant);
        }
        self.hash_keys(commands, &mut near);
        for hash in &near.orders {
            sum ^= self.orders.touch(*hash);
        }
        for sku in &near.skus {
            sum ^= self.skus.touch(sku.hash);
        }
        for hash in &near.payments {
            sum ^= self.payments.touch(*hash);
        }
        for merchant in &near.merchants {
            sum ^= self.gmv.touch_merchant(*merchant);
        }
        for sku in &mut near.skus {
            sku.sku = self.skus.peek(sku.hash).map_or(0, |sku| sku + 1);
        }
        self.find_cells(&mut near);
        for cell in &near.cells {
            sum ^= u64::from(self.stockroom.read(cell.cell).held);
            sum ^= u64::from(self.places.get(cell.place).location);
        }
        for cell in near.cells.iter().filter(|cell| cell.settles) {
            sum ^= self.gmv.touch_place(cell.place);
        }
        black_box(sum);
        self.scratch.near = near;
    }

    /// The number of the merchant of the record that is being applied, if the state has needed one
    /// before, and its order's id in its packed form.
    #[inline]
    pub(crate) fn look_up(
        &self,
        merchant: MerchantId,
        order_id: ExternalId<'_>,
    ) -> (Option<u32>, PackedId) {
        match self.scratch.near.known() {
            Some(known) => (Some(known.merchant), known.order_id),
            None => (self.merchant(merchant), PackedId::new(order_id)),
        }
    }

    fn hash_keys<'c, 'a: 'c>(
        &self,
        commands: impl Iterator<Item = Option<&'c Command<'a>>>,
        near: &mut Near,
    ) {
        for command in commands {
            let known = command.and_then(outline).and_then(|outline| {
                let merchant = self.merchants.find(outline.merchant)?;
                Some(near.hash_keys(merchant, &outline))
            });
            near.known.push(known);
        }
    }

    /// The cells of new orders' SKUs, and those of the holds that payments mean.
    fn find_cells(&self, near: &mut Near) {
        for near_sku in near.skus.iter().filter(|sku| sku.sku != 0) {
            let sku = self.skus.get(near_sku.sku - 1);
            let (cell, place) = (sku.first_cell, sku.first_place);
            if sku.cells > 0 {
                near.cells.push(NearCell { cell, place, settles: near_sku.settles });
            }
        }
        if near.payments.is_empty() {
            return;
        }
        for hash in &near.orders {
            if let Some(Place::Hold(hold)) = self.orders.peek(*hash) {
                near.cells.extend(self.holds.get(hold).lines().map(|line| {
                    let place = self.stockroom.owner(line.cell).place;
                    NearCell { cell: line.cell, place, settles: true }
                }));
            }
        }
    }
}

impl Near {
    /// Notes the keys of one command.
    fn hash_keys(&mut self, merchant: u32, outline: &Outline<'_>) -> Known {
        let order_id = PackedId::new(outline.order_id);
        self.merchants.push(merchant);
        self.orders.push(Key::new(merchant, &order_id).hash());
        if let Some(id) = outline.payment_id {
            self.payments.push(Key::new(merchant, &PackedId::new(id)).hash());
        }
        let line = self.skus.len() as u32;
        let settles = outline.settles;
        self.skus.extend(outline.lines.iter().map(|line| NearSku {
            hash: Skus::hash(merchant, line.sku),
            sku: 0,
            settles,
        }));
        Known { merchant, line, order_id }
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
        self.merchants.clear();
        self.orders.clear();
        self.payments.clear();
        self.skus.clear();
        self.cells.clear();
    }
}
