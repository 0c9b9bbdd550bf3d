//! What orders and payments do: place, pay, cancel, and how a hold ends (contract, 4.3 to 4.7).
//!
//! Not stock or catalogue, which is `goods`. Invariants: an order changes stock only when nothing can
//! refuse it any more; every hold ends exactly once, and its id is remembered before and after.

use crate::allocation::{Demand, Goods};
use crate::command::{ExternalId, Fulfilment, OrderPaid, OrderPlaced, Part, Settle};
use crate::effect::{Effect, OrderRef, PaymentRefusal, PlacedLine, Rejection, ReleaseReason};
use crate::expiry::Expiring;
use crate::gmv::{CountedLine, Facets, Sale};
use crate::holds::{HeldLine, HoldTerms, PresaleState};
use crate::ledger::{Ledger, Scratch, Untimely};
use crate::memory::{Horizon, Key, Memory, Outcome, Place};
use crate::packed_id::{PackedId, Text};
use crate::units::{BuyerId, LocationId, MerchantId, Millis, Money, SkuId, Units};

/// How a hold ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoldEnd {
    Settled,
    Cancelled,
    Expired,
}

impl HoldEnd {
    fn outcome(self) -> Outcome {
        match self {
            HoldEnd::Settled => Outcome::Settled,
            HoldEnd::Cancelled => Outcome::Cancelled,
            HoldEnd::Expired => Outcome::Expired,
        }
    }
}

/// What a payment does to the open hold that it meets.
enum Payment {
    Settles,
    PaysDeposit,
}

impl Ledger {
    /// `order.placed`
    pub(crate) fn place(&mut self, order: &OrderPlaced<'_>, emit: &mut impl FnMut(Effect<'_>)) {
        let (found, id) = self.look_up(order.merchant, order.order_id);
        let key = found.map(|(merchant, hash)| Key::hashed(merchant, &id, hash));
        let before = key.as_ref().and_then(|key| self.find_order(key));
        if self.remembers_order(before) {
            self.gmv.duplicate();
            return;
        }
        let horizon = self.order_horizon();
        if let Err(untimely) = self.timely(order.placed_at, horizon) {
            let rejection = match untimely {
                Untimely::Stale => Rejection::Stale,
                Untimely::ClockSkew => Rejection::ClockSkew,
            };
            self.reject(order, rejection, emit);
            return;
        }
        let merchant = self.merchant_or_new(key.map(|key| key.merchant()), order.merchant);
        let key = key.unwrap_or_else(|| Key::new(merchant, &id));
        let remembered_until = order.placed_at.0.max(self.time);
        if let Err(rejection) = self.allocate(merchant, order) {
            self.orders.add(&key, before, remembered_until, Outcome::Rejected, None);
            self.reject(order, rejection, emit);
        } else {
            self.count_for_buyer(order.buyer);
            self.place_lines(order);
            match order.settle {
                Settle::OnPlacement => {
                    self.settle_at_once(merchant, order, emit);
                    self.orders.add(&key, before, remembered_until, Outcome::Settled, None);
                }
                Settle::OnPayment => {
                    let hold = self.hold(&key, order, emit);
                    self.orders.move_to_hold(&key, before, hold);
                }
            }
        }
        self.orders.collect(horizon, |_, _| {});
    }

    fn reject(
        &mut self,
        order: &OrderPlaced<'_>,
        rejection: Rejection,
        emit: &mut impl FnMut(Effect<'_>),
    ) {
        self.gmv.rejected();
        let (order, buyer) = (order_ref(order.merchant, order.order_id), order.buyer);
        emit(Effect::HoldRejected { order, buyer, rejection });
    }

    /// Finds a location for each of the order's demands, or the reason why it is rejected.
    fn allocate(&mut self, merchant: u32, order: &OrderPlaced<'_>) -> Result<(), Rejection> {
        self.gather_demands(merchant, order)?;
        let pickup = match order.fulfilment {
            Fulfilment::Ship => None,
            Fulfilment::Pickup(location) => {
                let place = self.places.find(merchant, location);
                let place = place.filter(|place| self.places.get(*place).offers_pickup());
                Some(place.ok_or(Rejection::LocationUnavailable)?)
            }
        };
        self.check_limits(order.buyer)?;
        let goods = Goods { skus: &self.skus, places: &self.places, stockroom: &self.stockroom };
        let demands = &mut self.scratch.demands;
        let allocated = match pickup {
            Some(place) => goods.pickup(place, demands),
            None => goods.ship(order.region, demands, &mut self.scratch.marks),
        };
        allocated.map_err(|sku| Rejection::OutOfStock(self.skus.id(sku)))
    }

    /// Sums up the order's lines by SKU, in the order in which SKUs first appear.
    fn gather_demands(&mut self, merchant: u32, order: &OrderPlaced<'_>) -> Result<(), Rejection> {
        let Scratch { demands, demand_of, near, limited, .. } = &mut self.scratch;
        demands.clear();
        demand_of.clear();
        *limited = false;
        for (index, line) in order.lines.iter().enumerate() {
            let unknown = Rejection::UnknownSku(line.sku);
            let found = near.sku_of_line(&self.skus, index, merchant, line.sku);
            let (number, sku) = found.ok_or(unknown)?;
            let known = demands.iter().position(|demand| demand.sku == number);
            let demand = known.unwrap_or(demands.len());
            if known.is_none() {
                if !sku.is_listed() {
                    return Err(unknown);
                }
                demands.push(Demand::new(number, sku));
                *limited |= sku.limit > 0;
            }
            demands[demand].units += line.qty.0;
            demand_of.push(demand as u8);
        }
        Ok(())
    }

    fn check_limits(&self, buyer: BuyerId) -> Result<(), Rejection> {
        if !self.scratch.limited {
            return Ok(());
        }
        let limited = self.scratch.demands.iter().filter(|demand| demand.limit > 0);
        for demand in limited {
            let sku = self.skus.get(demand.sku);
            let has = self.buyers.units(demand.sku, sku, buyer.0);
            if u64::from(has) + u64::from(demand.units) > u64::from(demand.limit) {
                return Err(Rejection::BuyerLimit(SkuId(sku.id)));
            }
        }
        Ok(())
    }

    /// Adds an order's units to the buyer's counts.
    #[inline]
    fn count_for_buyer(&mut self, buyer: BuyerId) {
        if !self.scratch.limited {
            return;
        }
        for demand in self.scratch.demands.iter().filter(|demand| demand.limit > 0) {
            self.buyers.add(&self.skus, demand.sku, buyer.0, demand.units);
        }
    }

    /// Writes the order's lines, as they were allocated, to the scratch buffers.
    fn place_lines(&mut self, order: &OrderPlaced<'_>) {
        let Scratch { demands, demand_of, placed, counted, .. } = &mut self.scratch;
        placed.clear();
        counted.clear();
        for (line, demand) in order.lines.iter().zip(&*demand_of) {
            let demand = &demands[usize::from(*demand)];
            let place = demand.from.place;
            let location = LocationId(self.places.get(place).location);
            placed.push(PlacedLine::new(*line, location));
            counted.push(CountedLine {
                category: demand.category,
                place,
                units: line.qty.0,
                gross: u64::from(line.qty.0) * line.unit_price.0,
            });
        }
    }

    fn settle_at_once(
        &mut self,
        merchant: u32,
        order: &OrderPlaced<'_>,
        emit: &mut impl FnMut(Effect<'_>),
    ) {
        for demand in &self.scratch.demands {
            self.stockroom.sell(demand.from.cell, demand.units, demand.safety_stock);
        }
        let facets = facets(merchant, order);
        self.gmv.sale(Sale::PlacedAndSettled, &facets, order.discount.0, &self.scratch.counted);
        emit(Effect::OrderSettled {
            order: order_ref(order.merchant, order.order_id),
            buyer: order.buyer,
            amount: order.amount,
            discount: order.discount,
            lines: &self.scratch.placed,
            channel: order.channel,
            region: order.region,
            rural: order.rural,
            placed_at: order.placed_at,
        });
    }

    /// Holds the order's units; gives the hold.
    fn hold(
        &mut self,
        key: &Key<'_>,
        order: &OrderPlaced<'_>,
        emit: &mut impl FnMut(Effect<'_>),
    ) -> u32 {
        for demand in &self.scratch.demands {
            self.stockroom.hold(demand.from.cell, demand.units, demand.safety_stock);
        }
        let facets = facets(key.merchant(), order);
        self.gmv.sale(Sale::Placed, &facets, order.discount.0, &self.scratch.counted);
        let by_ttl = Millis(self.time + self.rules.hold_ttl_ms);
        let expires_at = order.pay_by.unwrap_or(by_ttl);
        let hold = self.store_hold(key, order, expires_at);
        emit(Effect::HoldPlaced {
            order: order_ref(order.merchant, order.order_id),
            buyer: order.buyer,
            amount: order.amount,
            lines: &self.scratch.placed,
            expires_at,
        });
        hold
    }

    fn store_hold(&mut self, key: &Key<'_>, order: &OrderPlaced<'_>, expires_at: Millis) -> u32 {
        let terms = HoldTerms {
            merchant: key.merchant(),
            id: *key.id(),
            buyer: order.buyer.0,
            placed_at: order.placed_at.0,
            expires_at: expires_at.0,
            sequence: self.sequence,
            discount: order.discount.0,
            channel: order.channel,
            region: order.region,
            rural: order.rural,
            pickup: matches!(order.fulfilment, Fulfilment::Pickup(_)),
            presale: order.presale.map(|presale| (presale.deposit.0, presale.balance_due.0)),
        };
        let scratch = &self.scratch;
        let lines = order.lines.iter().zip(&scratch.counted).zip(&scratch.demand_of);
        let lines = lines.map(|((line, counted), demand)| HeldLine {
            cell: scratch.demands[usize::from(*demand)].from.cell,
            units: line.qty.0,
            unit_price: line.unit_price.0,
            category: counted.category,
        });
        let hold = self.holds.insert(&terms, lines);
        let entry = Expiring::new(expires_at.0, self.sequence, hold);
        self.expiry.push(entry, &mut self.holds);
        self.sequence += 1;
        hold
    }

    /// `order.paid`
    pub(crate) fn pay(&mut self, payment: &OrderPaid<'_>, emit: &mut impl FnMut(Effect<'_>)) {
        let (of_order, order_id) = self.look_up(payment.merchant, payment.order_id);
        let found = of_order.map(|(merchant, _)| merchant);
        let horizon = self.order_horizon();
        let id = PackedId::new(payment.payment_id);
        let key = found.map(|merchant| Key::new(merchant, &id));
        let before = key.as_ref().and_then(|key| self.payments.find(key, |_| false));
        if outcome_in(&self.payments, before, horizon).is_some() {
            self.gmv.duplicate();
            return;
        }
        let order = of_order.map(|(merchant, hash)| Key::hashed(merchant, &order_id, hash));
        let order = order.and_then(|order| self.find_order(&order));
        let open = self.unexpired_hold(order);
        match self.timely(payment.paid_at, horizon) {
            Err(Untimely::Stale) if open.is_none() => {
                return refuse(payment, PaymentRefusal::Stale, emit);
            }
            Err(Untimely::ClockSkew) => return refuse(payment, PaymentRefusal::ClockSkew, emit),
            Err(Untimely::Stale) | Ok(()) => {}
        }
        let merchant = self.merchant_or_new(found, payment.merchant);
        let key = key.unwrap_or_else(|| Key::new(merchant, &id));
        let met = match open {
            Some(hold) => self.meet(hold, payment).map(|payment| (hold, payment)),
            None => Err(self.why_not_open(order)),
        };
        let deposit_of = match met {
            Ok((hold, Payment::PaysDeposit)) => Some(hold),
            _ => None,
        };
        let until = payment.paid_at.0.max(self.time);
        let entry = self.payments.add(&key, before, until, Outcome::Seen, deposit_of);
        match met {
            Ok((hold, Payment::Settles)) => self.settle(hold, payment.order_id, emit),
            Ok((hold, Payment::PaysDeposit)) => self.pay_deposit(hold, entry, payment, emit),
            Err(refusal) => refuse(payment, refusal, emit),
        }
        let holds = &mut self.holds;
        self.payments.collect(horizon, |hold, entry| holds.move_deposit_payment(hold, entry));
    }

    /// What a payment does to an open hold that is not expired.
    fn meet(&self, hold: u32, payment: &OrderPaid<'_>) -> Result<Payment, PaymentRefusal> {
        let hold = self.holds.get(hold);
        let amount = hold.amount();
        let (part, expected, effect) = match hold.presale() {
            PresaleState::None => (Part::Full, amount, Payment::Settles),
            PresaleState::AwaitsDeposit => (Part::Deposit, hold.deposit(), Payment::PaysDeposit),
            PresaleState::DepositPaid => (Part::Balance, amount - hold.deposit(), Payment::Settles),
        };
        if payment.part != part {
            Err(PaymentRefusal::WrongPart)
        } else if payment.amount.0 != expected {
            Err(PaymentRefusal::AmountMismatch)
        } else {
            Ok(effect)
        }
    }

    /// Why a payment finds no open hold.
    fn why_not_open(&self, order: Option<Place>) -> PaymentRefusal {
        if let Some(Place::Hold(_)) = order {
            return PaymentRefusal::Expired;
        }
        match outcome_in(&self.orders, order, self.order_horizon()) {
            Some(Outcome::Expired) => PaymentRefusal::Expired,
            Some(Outcome::Cancelled) => PaymentRefusal::Cancelled,
            Some(Outcome::Rejected) => PaymentRefusal::Rejected,
            Some(Outcome::Settled) => PaymentRefusal::Settled,
            Some(Outcome::Seen) | None => PaymentRefusal::UnknownOrder,
        }
    }

    fn pay_deposit(
        &mut self,
        hold: u32,
        entry: u32,
        payment: &OrderPaid<'_>,
        emit: &mut impl FnMut(Effect<'_>),
    ) {
        let view = self.holds.get(hold);
        let (position, due) = (view.position(), view.balance_due());
        let expiring = Expiring::new(due, view.sequence(), hold);
        self.holds.pay_deposit(hold, entry);
        self.holds.set_expires_at(hold, due);
        self.expiry.change(position, expiring, &mut self.holds);
        let order = order_ref(payment.merchant, payment.order_id);
        emit(Effect::HoldExtended { order, expires_at: Millis(due) });
    }

    fn settle(&mut self, hold: u32, order_id: ExternalId<'_>, emit: &mut impl FnMut(Effect<'_>)) {
        self.read_lines(hold);
        let view = self.holds.get(hold);
        for line in view.lines() {
            self.stockroom.settle(line.cell, line.units);
        }
        let facets = Facets {
            merchant: view.merchant(),
            channel: view.channel(),
            region: view.region(),
            rural: view.rural(),
            pickup: view.pickup(),
        };
        self.gmv.sale(Sale::Settled, &facets, view.discount(), &self.scratch.counted);
        emit(Effect::OrderSettled {
            order: order_ref(self.merchants.id(view.merchant()), order_id),
            buyer: BuyerId(view.buyer()),
            amount: Money(view.amount()),
            discount: Money(view.discount()),
            lines: &self.scratch.placed,
            channel: view.channel(),
            region: view.region(),
            rural: view.rural(),
            placed_at: Millis(view.placed_at()),
        });
        self.end_hold(hold, HoldEnd::Settled);
    }

    /// `order.cancelled`
    pub(crate) fn cancel(
        &mut self,
        merchant: MerchantId,
        order_id: ExternalId<'_>,
        emit: &mut impl FnMut(Effect<'_>),
    ) {
        let (found, id) = self.look_up(merchant, order_id);
        let Some((merchant, hash)) = found else { return };
        let order = self.find_order(&Key::hashed(merchant, &id, hash));
        if let Some(hold) = self.unexpired_hold(order) {
            self.release(hold, HoldEnd::Cancelled, emit);
        }
    }

    /// Gives a hold's units back.
    pub(crate) fn release(&mut self, hold: u32, end: HoldEnd, emit: &mut impl FnMut(Effect<'_>)) {
        self.read_lines(hold);
        let view = self.holds.get(hold);
        for line in view.lines() {
            self.stockroom.release(line.cell, line.units);
            let number = self.stockroom.owner(line.cell).sku;
            let sku = self.skus.get(number);
            if sku.counts(view.sequence()) {
                self.buyers.take(number, view.buyer(), line.units);
            }
        }
        self.gmv.released();
        let mut text: Text = [0; ExternalId::BYTES_MAX];
        let forfeited = (view.presale() == PresaleState::DepositPaid).then(|| view.deposit());
        emit(Effect::HoldReleased {
            order: order_ref(self.merchants.id(view.merchant()), view.id().unpack(&mut text)),
            reason: match end {
                HoldEnd::Cancelled => ReleaseReason::Cancelled,
                HoldEnd::Settled | HoldEnd::Expired => ReleaseReason::Expired,
            },
            amount: Money(view.amount()),
            lines: &self.scratch.placed,
            forfeited: forfeited.map(Money),
        });
        self.end_hold(hold, end);
    }

    /// Writes a hold's lines to the scratch buffers.
    fn read_lines(&mut self, hold: u32) {
        let (placed, counted) = (&mut self.scratch.placed, &mut self.scratch.counted);
        placed.clear();
        counted.clear();
        for line in self.holds.get(hold).lines() {
            let owner = self.stockroom.owner(line.cell);
            placed.push(PlacedLine {
                sku: SkuId(self.skus.get(owner.sku).id),
                qty: Units(line.units),
                unit_price: Money(line.unit_price),
                location: LocationId(self.places.get(owner.place).location),
            });
            counted.push(CountedLine {
                category: line.category,
                place: owner.place,
                units: line.units,
                gross: line.gross(),
            });
        }
    }

    /// Moves an order's id from its hold to the once-memory and forgets the hold.
    fn end_hold(&mut self, hold: u32, end: HoldEnd) {
        let view = self.holds.get(hold);
        let (merchant, id) = (view.merchant(), view.id());
        let remembered_until = view.placed_at().max(self.time);
        if view.presale() == PresaleState::DepositPaid {
            self.payments.unpin(view.deposit_payment());
        }
        self.expiry.remove(view.position(), &mut self.holds);
        self.holds.remove(hold);
        let before = Some(Place::Hold(hold));
        let key = Key::new(merchant, &id);
        self.orders.add(&key, before, remembered_until, end.outcome(), None);
        self.orders.collect(self.order_horizon(), |_, _| {});
    }

    fn find_order(&self, key: &Key<'_>) -> Option<Place> {
        self.orders.find(key, |hold| self.holds.get(hold).is(key.merchant(), key.id()))
    }

    fn remembers_order(&self, found: Option<Place>) -> bool {
        matches!(found, Some(Place::Hold(_)))
            || outcome_in(&self.orders, found, self.order_horizon()).is_some()
    }

    /// The hold that was found, unless it counts as expired.
    fn unexpired_hold(&self, found: Option<Place>) -> Option<u32> {
        match found {
            Some(Place::Hold(hold)) if self.holds.get(hold).expires_at() > self.time => Some(hold),
            _ => None,
        }
    }
}

/// What became of an id that was found in the log, if it is still remembered.
fn outcome_in(memory: &Memory, found: Option<Place>, horizon: Horizon) -> Option<Outcome> {
    match found {
        Some(Place::Log(entry)) => memory.outcome(entry, horizon),
        Some(Place::Hold(_)) | None => None,
    }
}

fn refuse(payment: &OrderPaid<'_>, refusal: PaymentRefusal, emit: &mut impl FnMut(Effect<'_>)) {
    emit(Effect::PaymentRefused {
        payment_id: payment.payment_id,
        order: order_ref(payment.merchant, payment.order_id),
        amount: payment.amount,
        refusal,
    });
}

fn order_ref(merchant: MerchantId, order_id: ExternalId<'_>) -> OrderRef<'_> {
    OrderRef { merchant, order_id }
}

fn facets(merchant: u32, order: &OrderPlaced<'_>) -> Facets {
    Facets {
        merchant,
        channel: order.channel,
        region: order.region,
        rural: order.rural,
        pickup: matches!(order.fulfilment, Fulfilment::Pickup(_)),
    }
}
