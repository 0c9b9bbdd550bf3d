//! Brings near what a batch of commands will look at, so that their waits for memory overlap.
//!
//! Not a part of the state machine: it changes nothing but buffers of its own, and decides nothing; a
//! ledger that is never asked to prefetch gives the same effects. A command alone waits for one
//! cache miss after the other (index, record, cell, counter), because each address comes out of the
//! load before. Here each step is done for all commands before the next, in loops so short that the
//! core has many of their loads under way at once. What is found is a guess (hashes are compared, keys
//! are not) and is only ever loaded. What was worked out on the way, a command's merchant,
//! its packed order id and, to be compared, its SKUs, is kept until that command is applied. Invariant: no effect depends on whether
//! or when anything was prefetched.

use crate::catalogue::Skus;
use crate::command::{Command, ExternalId, Line, Settle};
use crate::ledger::Ledger;
use crate::memory::{Key, Place};
use crate::packed_id::{PackedId, Text};
use crate::units::{MerchantId, SkuId};
use std::hint::black_box;

/// What a batch is about, as far as it was guessed; buffers that every batch uses again.
#[derive(Debug, Default)]
pub(crate) struct Near {
    /// Commands whose merchant and packed order id are known already, in their order.
    known: Vec<Known>,
    /// The first of them that was not asked for yet.
    next: usize,
    /// The first of `skus` that belongs to the command that is being applied.
    line: usize,
    merchants: Vec<u32>,
    orders: Vec<u32>,
    payments: Vec<u32>,
    skus: Vec<NearSku>,
    cells: Vec<NearCell>,
}

/// What was worked out for one command and need not be worked out again.
#[derive(Debug)]
struct Known {
    merchant_id: MerchantId,
    text: Text,
    len: usize,
    merchant: u32,
    order_id: PackedId,
    /// Where its lines begin in `skus`.
    line: usize,
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
    /// Brings near what the commands will look up. Changes nothing that can be seen; worth calling
    /// with a few dozen commands right before they are applied.
    pub fn prefetch<'c, 'a: 'c>(
        &mut self,
        commands: impl IntoIterator<Item = &'c Command<'a>, IntoIter: Clone>,
    ) {
        let commands = commands.into_iter();
        let mut near = std::mem::take(&mut self.scratch.near);
        near.clear();
        // What was loaded is summed up and given away, or the loads would be left out.
        let mut sum = 0;
        for command in commands.clone() {
            sum ^= merchant_of(command).map_or(0, |merchant| self.merchants.touch(merchant));
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
        for sku in near.skus.iter().filter(|sku| sku.sku != 0) {
            sum ^= self.skus.get(sku.sku - 1).id;
        }
        self.find_cells(&mut near);
        for cell in &near.cells {
            sum ^= u64::from(self.stockroom.read(cell.cell).held);
        }
        for cell in &near.cells {
            sum ^= u64::from(self.places.get(cell.place).location);
        }
        for cell in near.cells.iter().filter(|cell| cell.settles) {
            sum ^= self.gmv.touch_place(cell.place);
        }
        black_box(sum);
        self.scratch.near = near;
    }

    /// The number of a merchant, if the state has needed one before, and an order's id in its packed
    /// form: from the last prefetch if the command was in it.
    #[inline]
    pub(crate) fn look_up(
        &mut self,
        merchant: MerchantId,
        order_id: ExternalId<'_>,
    ) -> (Option<u32>, PackedId) {
        let near = &mut self.scratch.near;
        match near.known.get(near.next) {
            Some(known) if known.is(merchant, order_id) => {
                near.next += 1;
                near.line = known.line;
                (Some(known.merchant), known.order_id)
            }
            _ => (self.merchant(merchant), PackedId::new(order_id)),
        }
    }

    /// The number of the SKU of a line of the order that was looked up last.
    #[inline]
    pub(crate) fn sku_of_line(&self, line: usize, merchant: u32, id: SkuId) -> Option<u32> {
        let near = &self.scratch.near;
        let found = near.skus.get(near.line + line).and_then(|near| near.sku.checked_sub(1));
        let found = found.filter(|sku| self.skus.get(*sku).is(merchant, id));
        found.or_else(|| self.skus.find(merchant, id))
    }

    fn hash_keys<'c, 'a: 'c>(
        &self,
        commands: impl Iterator<Item = &'c Command<'a>>,
        near: &mut Near,
    ) {
        for outline in commands.filter_map(outline) {
            let Some(merchant) = self.merchants.find(outline.merchant) else { continue };
            near.merchants.push(merchant);
            let order_id = PackedId::new(outline.order_id);
            near.orders.push(Key::new(merchant, &order_id).hash());
            let line = near.skus.len();
            near.known.push(Known::new(
                outline.merchant,
                outline.order_id,
                merchant,
                order_id,
                line,
            ));
            if let Some(id) = outline.payment_id {
                near.payments.push(Key::new(merchant, &PackedId::new(id)).hash());
            }
            let settles = outline.settles;
            near.skus.extend(outline.lines.iter().map(|line| NearSku {
                hash: Skus::hash(merchant, line.sku),
                sku: 0,
                settles,
            }));
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

impl Known {
    fn new(
        merchant_id: MerchantId,
        id: ExternalId<'_>,
        merchant: u32,
        order_id: PackedId,
        line: usize,
    ) -> Known {
        let bytes = id.as_bytes();
        let mut text: Text = [0; ExternalId::BYTES_MAX];
        text[..bytes.len()].copy_from_slice(bytes);
        Known { merchant_id, text, len: bytes.len(), merchant, order_id, line }
    }

    /// Compared by value: the command's text may lie where that of another one lay.
    fn is(&self, merchant: MerchantId, order_id: ExternalId<'_>) -> bool {
        self.merchant_id == merchant && self.text[..self.len] == *order_id.as_bytes()
    }
}

impl Near {
    fn clear(&mut self) {
        self.known.clear();
        self.next = 0;
        self.line = 0;
        self.merchants.clear();
        self.orders.clear();
        self.payments.clear();
        self.skus.clear();
        self.cells.clear();
    }
}
