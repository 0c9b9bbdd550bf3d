//! Orders and what follows them: placing (contract sections 4.3 and 4.4), payment (4.6),
//! cancellation (4.7), refund (4.8), and how a hold ends (4.2, 4.5).
//!
//! Invariants: an order is `Open` exactly while its hold has not ended; while it is, it stands in
//! `expiries` under its hold's `expires_at`, and its units stand in its cells' held.

use std::collections::BTreeMap;

use crate::allocation::{Allocation, Demand, allocate};
use crate::command::{OrderPaid, OrderPlaced, OrderRefunded, Part};
use crate::memory::Id;
use crate::merchant::{Merchant, StockChange};
use crate::output::{self, Code, Refusal, Rejection, Release};
use crate::partition::{PlainPartition, Timing};

/// What is remembered of an order.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Open(Box<Hold>),
    Ended(Ending),
}

/// How an order came to be without an open hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It never had one.
    Rejected,
    /// It was settled.
    Settled,
    /// It was cancelled.
    Cancelled,
    /// It was swept.
    Expired,
}

/// An order whose units are held, and what was decided when it was placed.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) order: OrderPlaced,
    /// The location of each SKU.
    pub(crate) allocation: Allocation,
    /// The category of each SKU when the order was placed.
    pub(crate) categories: BTreeMap<u64, String>,
    pub(crate) expires_at: u64,
    /// The rank among all holds of the partition in order of placement.
    pub(crate) placement: u64,
    /// The buyer's counts that this order's units were added to.
    pub(crate) counted: Vec<Counted>,
    /// The payment that paid the deposit.
    pub(crate) deposit_payment: Option<Id>,
}

/// Units of an order in a buyer's count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) demand: Demand,
    /// Which counts: the offset of the listing that began them.
    pub(crate) since: u64,
}

impl Hold {
    /// The deposit, once it has been paid.
    pub(crate) fn paid_deposit(&self) -> Option<u64> {
        self.deposit_payment.as_ref()?;
        self.order.presale.map(|presale| presale.deposit)
    }
}

impl PlainPartition {
    // --- 4.4 order.placed ----------------------------------------------------------------------

    pub(crate) fn order_placed(&mut self, merchant_id: u64, order: OrderPlaced) {
        let id = (merchant_id, order.order_id.clone());
        if self.orders.contains(&id) {
            self.counters.duplicate(self.moment);
            return;
        }
        match self.timing(order.placed_at, self.rules.order_window_ms) {
            Timing::TooOld => return self.reject(merchant_id, &order, Rejection::Stale),
            Timing::FromTheFuture => {
                return self.reject(merchant_id, &order, Rejection::ClockSkew);
            }
            Timing::Good => {}
        }
        let latest = order.placed_at.max(self.moment.at);
        match self.admit(merchant_id, &order) {
            Err(rejection) => {
                self.reject(merchant_id, &order, rejection);
                self.orders.remember(id, Order::Ended(Ending::Rejected), latest);
            }
            Ok(allocation) => {
                let hold = self.hold(merchant_id, order, allocation);
                self.counters.order_placed(self.moment, merchant_id, &hold);
                if hold.order.on_placement {
                    self.settle(merchant_id, &hold);
                    self.orders.remember(id, Order::Ended(Ending::Settled), latest);
                } else {
                    self.write(output::hold_placed(self.moment, merchant_id, &hold));
                    self.expiries.insert((hold.expires_at, hold.placement), id.clone());
                    self.orders.remember(id.clone(), Order::Open(Box::new(hold)), latest);
                    self.orders.pin(&id);
                }
            }
        }
    }

    fn reject(&mut self, merchant_id: u64, order: &OrderPlaced, rejection: Rejection) {
        self.counters.order_rejected(self.moment);
        let (order_id, buyer_id) = (&order.order_id, order.buyer_id);
        let output = output::hold_rejected(self.moment, merchant_id, order_id, buyer_id, rejection);
        self.write(output);
    }

    /// Everything that can speak against an order whose id is new; the first match wins.
    fn admit(&mut self, merchant_id: u64, order: &OrderPlaced) -> Result<Allocation, Rejection> {
        let merchant = self.merchant(merchant_id);
        let demands = demands_of(order);
        let first = |fails: &dyn Fn(&Demand) -> bool| {
            demands.iter().find(|demand| fails(demand)).map(|demand| demand.sku)
        };
        if let Some(sku) = first(&|demand| !merchant.listings.contains_key(&demand.sku)) {
            return Err(Rejection::UnknownSku(sku));
        }
        if order.pickup.is_some_and(|location| !offers_pickup(merchant, location)) {
            return Err(Rejection::LocationUnavailable);
        }
        let over_limit =
            |demand: &Demand| merchant.exceeds_limit(demand.sku, order.buyer_id, demand.units);
        if let Some(sku) = first(&over_limit) {
            return Err(Rejection::BuyerLimit(sku));
        }
        allocate(merchant, &demands, &order.origin.region, order.pickup)
            .map_err(Rejection::OutOfStock)
    }

    /// Holds an admitted order's units and adds them to the buyer's counts.
    fn hold(&mut self, merchant_id: u64, order: OrderPlaced, allocation: Allocation) -> Hold {
        let expires_at =
            order.pay_by.unwrap_or(self.moment.at.saturating_add(self.rules.hold_ttl_ms));
        let placement = self.placements;
        self.placements += 1;
        let merchant = self.merchant(merchant_id);
        let mut categories = BTreeMap::new();
        let mut counted = Vec::new();
        for demand in demands_of(&order) {
            merchant.hold_units(demand.sku, allocation[&demand.sku], demand.units);
            categories.insert(demand.sku, merchant.listings[&demand.sku].category.clone());
            let since = merchant.count_units(demand.sku, order.buyer_id, demand.units);
            counted.extend(since.map(|since| Counted { demand, since }));
        }
        let deposit_payment = None;
        Hold { order, allocation, categories, expires_at, placement, counted, deposit_payment }
    }

    // --- How a hold ends -----------------------------------------------------------------------

    /// Takes the order's open hold away; from now on the order is remembered as `ending`.
    fn end_hold(&mut self, id: &Id, ending: Ending) -> Option<Hold> {
        let order = self.orders.get_mut(id)?;
        let Order::Open(hold) = std::mem::replace(order, Order::Ended(ending)) else {
            unreachable!("only an order with an open hold is ended");
        };
        self.expiries.remove(&(hold.expires_at, hold.placement));
        self.orders.unpin(id, self.moment.at);
        if let Some(payment) = &hold.deposit_payment {
            self.payments.unpin(payment, 0);
        }
        Some(*hold)
    }

    /// Releases the order's open hold: the units go back, from the buyer's counts too.
    pub(crate) fn release(&mut self, id: &Id, release: Release) {
        let ending = match release {
            Release::Cancelled => Ending::Cancelled,
            Release::Expired => Ending::Expired,
        };
        let Some(hold) = self.end_hold(id, ending) else { return };
        let merchant_id = id.0;
        let buyer_id = hold.order.buyer_id;
        let merchant = self.merchant(merchant_id);
        for demand in demands_of(&hold.order) {
            merchant.release_units(demand.sku, hold.allocation[&demand.sku], demand.units);
        }
        for Counted { demand, since } in &hold.counted {
            merchant.uncount_units(demand.sku, buyer_id, demand.units, *since);
        }
        self.counters.order_released(self.moment);
        self.write(output::hold_released(self.moment, merchant_id, &hold, release));
    }

    /// Settles an order: its units leave held for good.
    fn settle(&mut self, merchant_id: u64, hold: &Hold) {
        let merchant = self.merchant(merchant_id);
        for demand in demands_of(&hold.order) {
            merchant.settle_units(demand.sku, hold.allocation[&demand.sku], demand.units);
        }
        self.counters.order_settled(self.moment, merchant_id, hold);
        self.write(output::order_settled(self.moment, merchant_id, hold));
    }

    // --- 4.6 order.paid ------------------------------------------------------------------------

    pub(crate) fn order_paid(&mut self, merchant_id: u64, paid: &OrderPaid) {
        let id = (merchant_id, paid.payment_id.clone());
        let order_id = (merchant_id, paid.order_id.clone());
        if self.payments.contains(&id) {
            self.counters.duplicate(self.moment);
            return;
        }
        let timing = self.timing(paid.paid_at, self.rules.order_window_ms);
        if timing == Timing::TooOld && self.unexpired_hold(&order_id).is_none() {
            return self.refuse(merchant_id, paid, Refusal::Stale);
        }
        if timing == Timing::FromTheFuture {
            return self.refuse(merchant_id, paid, Refusal::ClockSkew);
        }
        self.payments.remember(id.clone(), (), paid.paid_at.max(self.moment.at));
        match self.judge_payment(&order_id, paid) {
            Err(refusal) => self.refuse(merchant_id, paid, refusal),
            Ok(Accepted::Deposit { balance_due }) => self.extend(&order_id, id, balance_due),
            Ok(Accepted::Rest) => {
                if let Some(hold) = self.end_hold(&order_id, Ending::Settled) {
                    self.settle(merchant_id, &hold);
                }
            }
        }
    }

    fn refuse(&mut self, merchant_id: u64, paid: &OrderPaid, refusal: Refusal) {
        self.write(output::payment_refused(self.moment, merchant_id, paid, refusal));
    }

    /// The order's hold, if it has neither ended nor reached its `expires_at`.
    fn unexpired_hold(&self, order_id: &Id) -> Option<&Hold> {
        match self.orders.get(order_id) {
            Some(Order::Open(hold)) if hold.expires_at > self.moment.at => Some(hold),
            _ => None,
        }
    }

    fn judge_payment(&self, order_id: &Id, paid: &OrderPaid) -> Result<Accepted, Refusal> {
        let hold = match self.orders.get(order_id) {
            None => return Err(Refusal::UnknownOrder),
            Some(Order::Ended(Ending::Rejected)) => return Err(Refusal::Rejected),
            Some(Order::Ended(Ending::Settled)) => return Err(Refusal::Settled),
            Some(Order::Ended(Ending::Cancelled)) => return Err(Refusal::Cancelled),
            Some(Order::Ended(Ending::Expired)) => return Err(Refusal::Expired),
            // Not yet swept, but expired for every command.
            Some(Order::Open(hold)) if hold.expires_at <= self.moment.at => {
                return Err(Refusal::Expired);
            }
            Some(Order::Open(hold)) => hold,
        };
        let amount = hold.order.amount();
        let (part, sum, accepted) = match hold.order.presale {
            None => (Part::Full, amount, Accepted::Rest),
            Some(presale) if hold.deposit_payment.is_none() => {
                let balance_due = presale.balance_due;
                (Part::Deposit, presale.deposit, Accepted::Deposit { balance_due })
            }
            Some(presale) => (Part::Balance, amount - presale.deposit, Accepted::Rest),
        };
        if paid.part != part {
            Err(Refusal::WrongPart)
        } else if paid.amount != sum {
            Err(Refusal::AmountMismatch)
        } else {
            Ok(accepted)
        }
    }

    /// The deposit is paid: the hold now lives until the balance is due, and the payment's id is
    /// remembered as long as the hold has not ended.
    fn extend(&mut self, order_id: &Id, payment: Id, balance_due: u64) {
        self.payments.pin(&payment);
        let Some(Order::Open(hold)) = self.orders.get_mut(order_id) else {
            unreachable!("only an open hold's deposit is accepted");
        };
        self.expiries.remove(&(hold.expires_at, hold.placement));
        hold.expires_at = balance_due;
        hold.deposit_payment = Some(payment);
        self.expiries.insert((hold.expires_at, hold.placement), order_id.clone());
        let output = output::hold_extended(self.moment, order_id.0, hold);
        self.write(output);
    }

    // --- 4.7 order.cancelled -------------------------------------------------------------------

    pub(crate) fn order_cancelled(&mut self, merchant_id: u64, order_id: String) {
        let id = (merchant_id, order_id);
        if self.unexpired_hold(&id).is_some() {
            self.release(&id, Release::Cancelled);
        }
    }

    // --- 4.8 order.refunded --------------------------------------------------------------------

    pub(crate) fn order_refunded(
        &mut self,
        merchant_id: u64,
        refund: &OrderRefunded,
    ) -> Result<(), Code> {
        let id = (merchant_id, refund.refund_id.clone());
        if self.refunds.contains(&id) {
            self.counters.duplicate(self.moment);
            return Ok(());
        }
        self.timing(refund.refunded_at, self.rules.receipt_window_ms).or_dead_letter()?;
        self.refunds.remember(id, (), refund.refunded_at.max(self.moment.at));
        if refund.restock {
            let changes: Vec<StockChange> = refund
                .lines
                .iter()
                .map(|line| StockChange {
                    sku: line.sku,
                    location: line.location,
                    units: line.qty as i64,
                })
                .collect();
            self.merchant(merchant_id).change_stock(&changes)?;
        }
        self.counters.order_refunded(self.moment, merchant_id, refund);
        self.write(output::order_refunded(self.moment, merchant_id, refund));
        Ok(())
    }
}

/// What an accepted payment does.
enum Accepted {
    /// It extends the hold.
    Deposit { balance_due: u64 },
    /// It settles the order.
    Rest,
}

/// What an order wants of each SKU, in order of first appearance.
pub(crate) fn demands_of(order: &OrderPlaced) -> Vec<Demand> {
    let mut demands: Vec<Demand> = Vec::new();
    for line in &order.lines {
        match demands.iter_mut().find(|demand| demand.sku == line.sku) {
            Some(demand) => demand.units += line.qty,
            None => demands.push(Demand { sku: line.sku, units: line.qty }),
        }
    }
    demands
}

fn offers_pickup(merchant: &Merchant, location: u32) -> bool {
    merchant.locations.get(&location).is_some_and(|opened| opened.pickup)
}
