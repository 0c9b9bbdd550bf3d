//! The state in plain terms, fact by fact: for whoever goes on from a snapshot with other code.
//!
//! Not a snapshot: a snapshot holds the state as it lies in memory, this says what it means. What is
//! told is whatever a later record can meet or change, and nothing else: not what is forgotten, not
//! counts that were dropped, not counters of past days that have been written. Nothing is mutated.
//! Invariant: two ledgers with the same time and the same facts cause the same effects and totals
//! from then on.

use crate::command::{ExternalId, LocationOpened, Presale, SkuListed};
use crate::counters::Counter;
use crate::effect::OrderRef;
use crate::gmv::Names;
use crate::holds::{Hold, PresaleState};
use crate::ledger::Ledger;
use crate::memory::{Horizon, Memory, Outcome};
use crate::packed_id::Text;
use crate::units::{
    BuyerId, Category, Channel, LocationId, MerchantId, Millis, Money, Region, SkuId, Units,
};
use stock::CellId;

/// One thing that the state knows.
#[derive(Debug, Clone, Copy)]
pub enum Fact<'a> {
    /// The business day on which events count, in days since 1970-01-01: days never go back.
    Day(u64),
    /// A category that was ever listed.
    Category(Category<'a>),
    /// A listed SKU; the command that would list it so.
    Listed(SkuListed<'a>),
    /// What a buyer has of a SKU with a limit.
    BuyerCount {
        /// Whose SKU.
        merchant: MerchantId,
        /// Which SKU.
        sku: SkuId,
        /// Who.
        buyer: BuyerId,
        /// Units held or bought.
        units: Units,
    },
    /// An open location but 0, which always is; the command that would open it so.
    Opened(LocationOpened),
    /// A cell that ever had stock.
    Stock {
        /// Whose stock.
        merchant: MerchantId,
        /// Of which SKU.
        sku: SkuId,
        /// Where.
        location: LocationId,
        /// Free to be sold, the safety stock included.
        on_hand: Units,
        /// Promised to open holds.
        held: Units,
    },
    /// An open hold, expired ones that wait for the sweep included.
    Held(OpenHold<'a>),
    /// A remembered order without an open hold.
    Ended {
        /// The order.
        order: OrderRef<'a>,
        /// How it came to be without.
        ending: Ending,
        /// It is remembered while T less the order window is at most this.
        latest: Millis,
    },
    /// A remembered id that is no order's; one that an open hold pins comes with the hold.
    Seen {
        /// In which id space.
        space: IdSpace,
        /// Whose id.
        merchant: MerchantId,
        /// The id.
        id: SeenId<'a>,
    },
    /// A counter that can change or be written again, with its totals.
    Counter(Counter<'a>),
}

/// The id spaces besides the orders' (contract, 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdSpace {
    /// `payment_id`
    Payments,
    /// `refund_id`
    Refunds,
    /// `receipt_id`
    Receipts,
}

/// An id and how long it is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenId<'a> {
    /// As it came.
    pub id: ExternalId<'a>,
    /// It is remembered while T less its space's window is at most this.
    pub latest: Millis,
}

/// How an order came to be without an open hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// An order whose units are held.
#[derive(Debug, Clone, Copy)]
pub struct OpenHold<'a> {
    /// The order.
    pub order: OrderRef<'a>,
    /// Who placed it.
    pub buyer: BuyerId,
    /// The command's own time.
    pub placed_at: Millis,
    /// When it expires.
    pub expires_at: Millis,
    /// Its rank in the order of placement; no two holds have the same.
    pub placement: u64,
    /// What is taken off the lines' sum.
    pub discount: Money,
    /// Where it was placed.
    pub channel: Channel,
    /// Where it goes to.
    pub region: Region,
    /// Countryside (true) or town.
    pub rural: bool,
    /// Whether the buyer fetches it, at the location of its lines.
    pub pickup: bool,
    /// Only of a presale.
    pub presale: Option<Presale>,
    /// The payment that paid the deposit. It is remembered at least until the hold ends.
    pub deposit_paid_by: Option<SeenId<'a>>,
    /// As they stood in the order.
    pub lines: &'a [OpenLine<'a>],
}

/// One line of an open hold.
#[derive(Debug, Clone, Copy)]
pub struct OpenLine<'a> {
    /// What.
    pub sku: SkuId,
    /// Where it is held.
    pub location: LocationId,
    /// How much.
    pub units: Units,
    /// At which price.
    pub unit_price: Money,
    /// The SKU's category when the order was placed.
    pub category: Category<'a>,
    /// Whether a release takes the units off the buyer's count.
    pub in_buyer_count: bool,
}

impl Ledger {
    /// Gives every fact. Listings come before the counts of their buyers; beyond that the order has
    /// no meaning.
    pub fn export(&self, mut on: impl FnMut(Fact<'_>)) {
        let names = Names {
            merchants: &self.merchants,
            categories: &self.categories,
            places: &self.places,
        };
        self.export_catalogue(&mut on);
        self.export_stock(&mut on);
        self.expiry.holds().for_each(|hold| self.export_hold(&self.holds.get(hold), &mut on));
        self.export_orders(&mut on);
        let (orders, receipts) = (self.order_horizon(), self.receipt_horizon());
        self.export_ids(IdSpace::Payments, &self.payments, orders, &mut on);
        self.export_ids(IdSpace::Refunds, &self.refunds, receipts, &mut on);
        self.export_ids(IdSpace::Receipts, &self.receipts, receipts, &mut on);
        on(Fact::Day(self.gmv.day()));
        self.gmv.for_each(names, &mut |counter| on(Fact::Counter(counter)));
    }

    fn export_catalogue(&self, on: &mut impl FnMut(Fact<'_>)) {
        for category in 0..self.categories.len() {
            on(Fact::Category(self.categories.name(category as u16)));
        }
        for sku in self.skus.iter().filter(|sku| sku.is_listed()) {
            on(Fact::Listed(SkuListed {
                merchant: self.merchants.id(sku.merchant),
                sku: SkuId(sku.id),
                category: self.categories.name(sku.category),
                per_buyer_limit: Units(sku.limit),
                safety_stock: Units(sku.safety_stock),
            }));
        }
        for (number, buyer, units) in self.buyers.alive(&self.skus) {
            let sku = self.skus.get(number);
            on(Fact::BuyerCount {
                merchant: self.merchants.id(sku.merchant),
                sku: SkuId(sku.id),
                buyer: BuyerId(buyer),
                units: Units(units),
            });
        }
        self.places.opened(&self.merchants).for_each(|opened| on(Fact::Opened(opened)));
    }

    fn export_stock(&self, on: &mut impl FnMut(Fact<'_>)) {
        for sku in self.skus.iter() {
            for at in self.stockroom.cells_of(sku) {
                let quantities = self.stockroom.cells().read(CellId(at.cell));
                on(Fact::Stock {
                    merchant: self.merchants.id(sku.merchant),
                    sku: SkuId(sku.id),
                    location: LocationId(self.places.get(at.place).location),
                    on_hand: Units(quantities.on_hand),
                    held: Units(quantities.held),
                });
            }
        }
    }

    fn export_hold(&self, hold: &Hold<'_>, on: &mut impl FnMut(Fact<'_>)) {
        let mut order_text: Text = [0; ExternalId::BYTES_MAX];
        let mut payment_text: Text = [0; ExternalId::BYTES_MAX];
        let is_presale = hold.presale() != PresaleState::None;
        let deposit_paid_by = (hold.presale() == PresaleState::DepositPaid).then(|| {
            let payment = self.payments.read(hold.deposit_payment());
            let id = payment.id.unpack(&mut payment_text);
            SeenId { id, latest: Millis(payment.time) }
        });
        let lines: Vec<OpenLine<'_>> = self.open_lines(hold).collect();
        on(Fact::Held(OpenHold {
            order: OrderRef {
                merchant: self.merchants.id(hold.merchant()),
                order_id: hold.id().unpack(&mut order_text),
            },
            buyer: BuyerId(hold.buyer()),
            placed_at: Millis(hold.placed_at()),
            expires_at: Millis(hold.expires_at()),
            placement: hold.sequence(),
            discount: Money(hold.discount()),
            channel: hold.channel(),
            region: hold.region(),
            rural: hold.rural(),
            pickup: hold.pickup(),
            presale: is_presale.then(|| Presale {
                deposit: Money(hold.deposit()),
                balance_due: Millis(hold.balance_due()),
            }),
            deposit_paid_by,
            lines: &lines,
        }));
    }

    fn open_lines(&self, hold: &Hold<'_>) -> impl Iterator<Item = OpenLine<'_>> {
        hold.lines().map(|line| {
            let owner = self.stockroom.owner(line.cell);
            let sku = self.skus.get(owner.sku);
            OpenLine {
                sku: SkuId(sku.id),
                location: LocationId(self.places.get(owner.place).location),
                units: Units(line.units),
                unit_price: Money(line.unit_price),
                category: self.categories.name(line.category),
                in_buyer_count: sku.counts(hold.sequence()),
            }
        })
    }

    fn export_orders(&self, on: &mut impl FnMut(Fact<'_>)) {
        self.orders.for_each_in_time(self.order_horizon(), |remembered| {
            let mut text: Text = [0; ExternalId::BYTES_MAX];
            on(Fact::Ended {
                order: OrderRef {
                    merchant: self.merchants.id(remembered.merchant),
                    order_id: remembered.id.unpack(&mut text),
                },
                ending: match remembered.outcome {
                    Outcome::Rejected => Ending::Rejected,
                    Outcome::Settled => Ending::Settled,
                    Outcome::Cancelled => Ending::Cancelled,
                    Outcome::Expired => Ending::Expired,
                    Outcome::Seen => unreachable!("an order is remembered with what became of it"),
                },
                latest: Millis(remembered.time),
            });
        });
    }

    fn export_ids(
        &self,
        space: IdSpace,
        memory: &Memory,
        horizon: Horizon,
        on: &mut impl FnMut(Fact<'_>),
    ) {
        memory.for_each_in_time(horizon, |remembered| {
            let mut text: Text = [0; ExternalId::BYTES_MAX];
            let id = remembered.id.unpack(&mut text);
            on(Fact::Seen {
                space,
                merchant: self.merchants.id(remembered.merchant),
                id: SeenId { id, latest: Millis(remembered.time) },
            });
        });
    }
}
