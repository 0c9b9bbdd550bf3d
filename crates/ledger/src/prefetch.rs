//! Brings near what a batch of commands will look at, so that their waits for memory overlap.
//!
//! Not a part of the state machine: it changes nothing but a buffer of its own, and decides nothing;
//! a ledger that is never asked to prefetch gives the same effects. A command alone waits for one
//! cache miss after the other (index, record, cell, counter), because each address comes out of the
//! load before. Here each step is done for all commands before the next, and loads of one step do not
//! depend on each other. What is found is a guess (hashes are compared, keys are not) and is only
//! ever loaded. Invariant: `prefetch` takes no branch that an effect depends on.

use crate::command::{Command, ExternalId, Line, Settle};
use crate::ledger::Ledger;
use crate::memory::{Key, Place};
use crate::packed_id::PackedId;
use crate::units::MerchantId;
use std::hint::black_box;

/// What a batch is about, as far as it was guessed; buffers that every batch uses again.
#[derive(Debug, Default)]
pub(crate) struct Near {
    commands: Vec<NearCommand>,
    skus: Vec<NearSku>,
    cells: Vec<NearCell>,
}

#[derive(Debug)]
struct NearCommand {
    merchant: u32,
    order_hash: u32,
}

#[derive(Debug)]
struct NearSku {
    hash: u32,
    /// Whether its place is counted too.
    settles: bool,
}

#[derive(Debug)]
struct NearCell {
    cell: u32,
    place: u32,
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
    let (merchant, order_id) = match command {
        Command::OrderPlaced(order) => (order.merchant, order.order_id),
        Command::OrderPaid(payment) => (payment.merchant, payment.order_id),
        Command::OrderCancelled { merchant, order_id } => (*merchant, *order_id),
        // Everything else is rare.
        _ => return None,
    };
    let (lines, settles, payment_id): (&[Line], bool, _) = match command {
        Command::OrderPlaced(order) => (order.lines, order.settle == Settle::OnPlacement, None),
        Command::OrderPaid(payment) => (&[], true, Some(payment.payment_id)),
        _ => (&[], false, None),
    };
    Some(Outline { merchant, order_id, payment_id, lines, settles })
}

impl Ledger {
    /// Brings near what the commands will look up. Changes nothing that can be seen; worth calling
    /// with a few dozen commands right before they are applied.
    pub fn prefetch(&mut self, commands: &[Command<'_>]) {
        let mut near = std::mem::take(&mut self.scratch.near);
        near.commands.clear();
        near.skus.clear();
        near.cells.clear();
        // The sum of what was loaded keeps the loads from being left out.
        let mut sum = 0;
        for outline in commands.iter().filter_map(outline) {
            sum ^= self.merchants.touch(outline.merchant);
        }
        for outline in commands.iter().filter_map(outline) {
            sum ^= self.touch_ids(&outline, &mut near);
        }
        for sku in &near.skus {
            sum ^= self.skus.peek(sku.hash).map_or(0, |sku| self.skus.get(sku).id);
        }
        for command in &near.commands {
            sum ^= self.touch_order(command);
        }
        for sku in &near.skus {
            sum ^= self.touch_first_cell(sku, &mut near.cells);
        }
        for command in &near.commands {
            sum ^= self.touch_hold(command, &mut near.cells);
        }
        for cell in &near.cells {
            sum ^= self.touch_cell(cell);
        }
        black_box(sum);
        self.scratch.near = near;
    }

    fn touch_ids(&self, outline: &Outline<'_>, near: &mut Near) -> u64 {
        let Some(merchant) = self.merchants.peek(outline.merchant) else { return 0 };
        let mut sum = self.merchants.get(merchant).id;
        let order_hash = Key::new(merchant, &PackedId::new(outline.order_id)).hash();
        sum ^= self.orders.touch(order_hash);
        if let Some(id) = outline.payment_id {
            sum ^= self.payments.touch(Key::new(merchant, &PackedId::new(id)).hash());
        }
        for line in outline.lines {
            let hash = self.skus.hash(merchant, line.sku);
            sum ^= self.skus.touch(hash);
            near.skus.push(NearSku { hash, settles: outline.settles });
        }
        near.commands.push(NearCommand { merchant, order_hash });
        sum
    }

    fn touch_order(&self, command: &NearCommand) -> u64 {
        let hold = match self.orders.peek(command.order_hash) {
            Some(Place::Hold(hold)) => self.holds.get(hold).expires_at(),
            Some(Place::Log(_)) | None => 0,
        };
        hold ^ self.gmv.touch_merchant(command.merchant)
    }

    fn touch_first_cell(&self, near: &NearSku, cells: &mut Vec<NearCell>) -> u64 {
        let Some(sku) = self.skus.peek(near.hash).map(|sku| self.skus.get(sku)) else { return 0 };
        if sku.cells == 0 {
            return 0;
        }
        let (cell, place) = (sku.first_cell, sku.first_place);
        cells.push(NearCell { cell, place, settles: near.settles });
        u64::from(self.stockroom.read(cell).on_hand)
    }

    fn touch_hold(&self, command: &NearCommand, cells: &mut Vec<NearCell>) -> u64 {
        let Some(Place::Hold(hold)) = self.orders.peek(command.order_hash) else { return 0 };
        let mut sum = 0;
        for line in self.holds.get(hold).lines() {
            let owner = self.stockroom.owner(line.cell);
            sum ^= u64::from(owner.place) ^ u64::from(self.stockroom.read(line.cell).held);
            cells.push(NearCell { cell: line.cell, place: owner.place, settles: true });
        }
        sum
    }

    fn touch_cell(&self, near: &NearCell) -> u64 {
        let place = u64::from(self.places.get(near.place).location);
        let counted = if near.settles { self.gmv.touch_place(near.place) } else { 0 };
        place ^ counted ^ self.skus.get(self.stockroom.owner(near.cell).sku).id
    }
}
