//! What refunds, receipts, moves and the catalogue do (contract, 4.8 to 4.11).
//!
//! Not orders. Invariant: a command either takes effect as a whole or becomes a dead letter and
//! changes nothing but the memory of its id.

use crate::catalogue::Sku;
use crate::command::{
    ExternalId, LocationOpened, OrderRefunded, RefundLine, SkuListed, StockMoved, StockReceived,
};
use crate::effect::{DeadLetter, Effect, OrderRef};
use crate::gmv::Facets;
use crate::ledger::{Ledger, Notice, Untimely};
use crate::memory::{Key, Memory, Outcome, Place};
use crate::packed_id::PackedId;
use crate::units::{LocationId, MerchantId, Millis, SkuId, Units};
use stock::{CellId, Quantities, Refusal};

impl From<Refusal> for DeadLetter {
    fn from(refusal: Refusal) -> DeadLetter {
        match refusal {
            Refusal::Underflow => DeadLetter::StockUnderflow,
            Refusal::Overflow => DeadLetter::StockOverflow,
        }
    }
}

/// The two id spaces of this file.
#[derive(Clone, Copy)]
enum Space {
    Refunds,
    Receipts,
}

impl Ledger {
    /// `order.refunded`
    pub(crate) fn refund(&mut self, refund: &OrderRefunded<'_>, emit: &mut impl FnMut(Effect<'_>)) {
        let (id, own) = (refund.refund_id, refund.refunded_at);
        let Some(merchant) = self.first_time(Space::Refunds, refund.merchant, id, own, emit) else {
            return;
        };
        if refund.restock && !self.has_room_for(merchant, refund.lines) {
            return self.dead_letter(DeadLetter::StockOverflow, emit);
        }
        if refund.restock {
            for line in refund.lines {
                let cell = self.cell_or_new(merchant, line.sku, line.location);
                let restocked = self.stockroom.receive(cell, i64::from(line.qty.0));
                debug_assert_eq!(restocked, Ok(()), "there is room for all lines together");
            }
        }
        let facets = Facets {
            merchant,
            channel: refund.channel,
            region: refund.region,
            rural: refund.rural,
            pickup: false,
        };
        self.gmv.refund(&facets, refund.amount.0);
        emit(Effect::OrderRefunded {
            refund_id: refund.refund_id,
            order: OrderRef { merchant: refund.merchant, order_id: refund.order_id },
            amount: refund.amount,
            lines: refund.lines,
            restock: refund.restock,
            channel: refund.channel,
            region: refund.region,
            rural: refund.rural,
        });
    }

    /// Whether every cell can count what all the lines together bring it.
    fn has_room_for(&self, merchant: u32, lines: &[RefundLine]) -> bool {
        lines.iter().enumerate().all(|(number, line)| {
            let same =
                |other: &&RefundLine| (other.sku, other.location) == (line.sku, line.location);
            // Judged at the cell's first line, for all of them.
            if lines[..number].iter().any(|earlier| same(&earlier)) {
                return true;
            }
            let units = lines[number..].iter().filter(same).map(|line| i64::from(line.qty.0)).sum();
            self.quantities(merchant, line.sku, line.location).received(units).is_ok()
        })
    }

    /// `stock.received`
    pub(crate) fn receive(
        &mut self,
        receipt: &StockReceived<'_>,
        emit: &mut impl FnMut(Effect<'_>),
    ) {
        let (id, own) = (receipt.receipt_id, receipt.received_at);
        let Some(merchant) = self.first_time(Space::Receipts, receipt.merchant, id, own, emit)
        else {
            return;
        };
        let now = self.quantities(merchant, receipt.sku, receipt.location);
        let received = now.received(receipt.qty).and_then(|_| {
            let cell = self.cell_or_new(merchant, receipt.sku, receipt.location);
            self.stockroom.receive(cell, receipt.qty)
        });
        if let Err(refusal) = received {
            self.dead_letter(refusal.into(), emit);
        }
    }

    /// `stock.moved`
    pub(crate) fn move_stock(&mut self, moved: &StockMoved<'_>, emit: &mut impl FnMut(Effect<'_>)) {
        let (id, own) = (moved.receipt_id, moved.received_at);
        let Some(merchant) = self.first_time(Space::Receipts, moved.merchant, id, own, emit) else {
            return;
        };
        let units = i64::from(moved.qty.0);
        let source = self.quantities(merchant, moved.sku, moved.from);
        let target = self.quantities(merchant, moved.sku, moved.to);
        let possible = source.received(-units).and_then(|_| target.received(units));
        let done = possible.and_then(|_| {
            let from = self.cell_or_new(merchant, moved.sku, moved.from);
            let to = self.cell_or_new(merchant, moved.sku, moved.to);
            self.stockroom.receive(from, -units)?;
            self.stockroom.receive(to, units)
        });
        if let Err(refusal) = done {
            self.dead_letter(refusal.into(), emit);
        }
    }

    /// `sku.listed`
    pub(crate) fn list(&mut self, listing: &SkuListed<'_>, emit: &mut impl FnMut(Effect<'_>)) {
        let Some(category) = self.categories.find_or_add(listing.category) else {
            return self.dead_letter(DeadLetter::TooMany, emit);
        };
        let merchant = self.merchants.find_or_add(listing.merchant);
        self.make_room();
        let number = self.skus.find_or_add(merchant, listing.sku);
        let sku = self.skus.get_mut(number);
        if sku.limit == 0 {
            // Counts of an earlier limit are dropped by this; so is a hold's claim on them.
            sku.limit_since = self.sequence;
            self.sequence += 1;
        }
        sku.limit = listing.per_buyer_limit.0;
        sku.safety_stock = listing.safety_stock.0;
        sku.category = category;
        sku.listed = 1;
        self.notices.push(Notice::Sku {
            merchant: listing.merchant,
            sku: listing.sku,
            listed: true,
            safety_stock: listing.safety_stock,
        });
    }

    /// `sku.withdrawn`
    pub(crate) fn withdraw(&mut self, merchant: MerchantId, sku: SkuId) {
        let found = self.merchant(merchant).and_then(|merchant| self.skus.find(merchant, sku));
        let listed = found.filter(|number| self.skus.get(*number).is_listed());
        if let Some(number) = listed {
            self.skus.get_mut(number).withdraw();
            let safety_stock = Units(0);
            self.notices.push(Notice::Sku { merchant, sku, listed: false, safety_stock });
        }
    }

    /// `location.opened`
    pub(crate) fn open_location(
        &mut self,
        opened: &LocationOpened,
        emit: &mut impl FnMut(Effect<'_>),
    ) {
        let merchant = self.merchants.find_or_add(opened.merchant);
        let done = self.places.open(&mut self.merchants, merchant, opened);
        self.make_room();
        if !done {
            self.dead_letter(DeadLetter::TooMany, emit);
        }
    }

    /// `location.closed`
    pub(crate) fn close_location(&mut self, merchant: MerchantId, location: LocationId) {
        if let Some(merchant) = self.merchant(merchant) {
            self.places.close(&mut self.merchants, merchant, location);
        }
    }

    /// Judges an id by 4.3. If the command is to be carried out, remembers the id and gives the
    /// merchant's number; otherwise says what has to be said.
    fn first_time(
        &mut self,
        space: Space,
        merchant_id: MerchantId,
        id: ExternalId<'_>,
        own: Millis,
        emit: &mut impl FnMut(Effect<'_>),
    ) -> Option<u32> {
        let horizon = self.receipt_horizon();
        let found = self.merchant(merchant_id);
        let id = PackedId::new(id);
        let key = found.map(|merchant| Key::new(merchant, &id));
        let before = key.as_ref().and_then(|key| self.memory(space).find(key, |_| false));
        if let Some(Place::Log(entry)) = before
            && self.memory(space).outcome(entry, horizon).is_some()
        {
            self.gmv.duplicate();
            return None;
        }
        if let Err(untimely) = self.timely(own, horizon) {
            let code = match untimely {
                Untimely::Stale => DeadLetter::Stale,
                Untimely::ClockSkew => DeadLetter::ClockSkew,
            };
            self.dead_letter(code, emit);
            return None;
        }
        let merchant = self.merchant_or_new(found, merchant_id);
        let key = key.unwrap_or_else(|| Key::new(merchant, &id));
        let until = own.0.max(self.time);
        let memory = self.memory(space);
        memory.add(&key, before, until, Outcome::Seen, None);
        memory.collect(horizon, |_, _| {});
        Some(merchant)
    }

    fn memory(&mut self, space: Space) -> &mut Memory {
        match space {
            Space::Refunds => &mut self.refunds,
            Space::Receipts => &mut self.receipts,
        }
    }

    fn quantities(&self, merchant: u32, sku: SkuId, location: LocationId) -> Quantities {
        let cell = self.places.find(merchant, location).and_then(|place| {
            let number = self.skus.find(merchant, sku)?;
            let sku: &Sku = self.skus.get(number);
            self.stockroom.find(number, sku, place)
        });
        cell.map_or_else(Quantities::default, |cell| self.stockroom.read(cell))
    }

    fn cell_or_new(&mut self, merchant: u32, sku_id: SkuId, location: LocationId) -> u32 {
        let place = self.places.find_or_add(&mut self.merchants, merchant, location);
        self.make_room();
        let sku = self.skus.find_or_add(merchant, sku_id);
        let (cell, is_new) = self.stockroom.find_or_add(&mut self.skus, sku, place);
        if is_new {
            self.notices.push(Notice::Cell {
                merchant: self.merchants.id(merchant),
                sku: sku_id,
                location,
                cell: CellId(cell),
            });
        }
        cell
    }
}
