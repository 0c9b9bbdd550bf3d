//! A partition's state as it is handed over, fact by fact, to go on from somewhere else than its
//! beginning.
//!
//! Not a format: whoever has the state puts it into these words. What has to be told is all that a
//! later record can meet or change; what the contract lets be forgotten need not be. Invariant: a
//! partition that has learned the facts goes on exactly like the one that has seen the records.

use std::collections::BTreeMap;

use crate::command::{LocationOpened, OrderLine, OrderPlaced, Origin, Presale, SkuListed};
use crate::counters::{CounterKey, Figures};
use crate::decode::channel_named;
use crate::memory::Id;
use crate::orders::{Counted, Ending, Hold, Order, demands_of};
use crate::partition::PlainPartition;
use crate::rules::Rules;

/// The counts of buyers that were learned, and not begun by a listing at some offset. No listing
/// comes at this offset after a beginning.
const LEARNED: u64 = 0;

/// One thing that a partition knows. Times are in milliseconds since 1970, money is in the
/// currency's minor unit, `latest` is the time that an id is remembered by: while T less the id
/// space's window is at most that.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the contract's commands")]
pub enum Fact {
    /// The business day on which events count, in days since 1970-01-01.
    Day(u64),
    /// A category that was ever listed.
    Category(String),
    /// A listed SKU; a limit of 0 is none.
    Listed { merchant_id: u64, sku: u64, category: String, per_buyer_limit: u64, safety_stock: u64 },
    /// What a buyer has of a SKU with a limit; comes after the SKU's listing.
    BuyerCount { merchant_id: u64, sku: u64, buyer_id: u64, units: u64 },
    /// An open location but 0; the region has six digits.
    Opened {
        merchant_id: u64,
        location: u32,
        region: String,
        priority: u16,
        ships: bool,
        pickup: bool,
    },
    /// A cell.
    Stock { merchant_id: u64, sku: u64, location: u32, on_hand: u32, held: u32 },
    /// An open hold, whether its time has come or not.
    Held(OpenHold),
    /// A remembered order without an open hold.
    Ended { merchant_id: u64, order_id: String, ending: Ending, latest: u64 },
    /// A remembered id that is no order's, nor that of an open hold's deposit.
    Seen { space: IdSpace, merchant_id: u64, id: String, latest: u64 },
    /// A counter that can change or has to be written again.
    Counter { key: CounterKey, figures: Figures },
}

/// The id spaces besides the orders' (contract section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdSpace {
    /// `payment_id`
    Payments,
    /// `refund_id`
    Refunds,
    /// `receipt_id`
    Receipts,
}

/// An order whose units are held.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of `order.placed`")]
pub struct OpenHold {
    pub merchant_id: u64,
    pub order_id: String,
    pub buyer_id: u64,
    pub placed_at: u64,
    pub expires_at: u64,
    /// Its rank in the order of placement among all holds of the partition.
    pub placement: u64,
    pub discount: u64,
    pub channel: String,
    pub region: String,
    pub rural: bool,
    /// Fetched by the buyer where its lines are, and not shipped.
    pub pickup: bool,
    pub presale: Option<OpenPresale>,
    /// At least one.
    pub lines: Vec<OpenLine>,
}

/// The presale of an open hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenPresale {
    /// The deposit.
    pub deposit: u64,
    /// When the hold expires once the deposit is paid.
    pub balance_due: u64,
    /// The `payment_id` that paid the deposit, and its `latest`.
    pub paid_by: Option<(String, u64)>,
}

/// One line of an open hold. Lines of the same SKU agree in everything but `qty` and `unit_price`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenLine {
    /// What.
    pub sku: u64,
    /// How much.
    pub qty: u64,
    /// At which price.
    pub unit_price: u64,
    /// Where it is held.
    pub location: u32,
    /// The SKU's category when the order was placed.
    pub category: String,
    /// Whether the units are in the buyer's present count.
    pub in_buyer_count: bool,
}

impl PlainPartition {
    /// A partition in the middle of its life, at `time` (its T), that knows nothing yet of what was
    /// before: tell it with [`learn`](Self::learn), then apply records.
    pub fn resume(rules: Rules, partition: u32, time: u64) -> PlainPartition {
        let mut resumed = PlainPartition::new(rules, partition);
        resumed.moment.at = time;
        resumed
    }

    /// Takes in what was known where the partition goes on.
    ///
    /// # Panics
    /// If a buyer's count comes without its SKU's limit, or a hold has no lines.
    pub fn learn(&mut self, fact: Fact) {
        match fact {
            Fact::Day(day) => self.counters.learn_day(day),
            Fact::Category(category) => {
                self.categories.insert(category);
            }
            Fact::Listed { merchant_id, sku, category, per_buyer_limit, safety_stock } => {
                let listed = SkuListed { sku, category, per_buyer_limit, safety_stock };
                self.merchant(merchant_id).list(&listed, LEARNED);
            }
            Fact::BuyerCount { merchant_id, sku, buyer_id, units } => {
                let counted = self.merchant(merchant_id).count_units(sku, buyer_id, units);
                assert_eq!(counted, Some(LEARNED), "a count comes after its SKU's limit");
            }
            Fact::Opened { merchant_id, location, region, priority, ships, pickup } => {
                let opened = LocationOpened { location, region, priority, ships, pickup };
                self.merchant(merchant_id).locations.insert(location, opened);
            }
            Fact::Stock { merchant_id, sku, location, on_hand, held } => {
                self.merchant(merchant_id).set_cell(sku, location, on_hand, held);
            }
            Fact::Held(hold) => self.learn_hold(hold),
            Fact::Ended { merchant_id, order_id, ending, latest } => {
                self.orders.remember((merchant_id, order_id), Order::Ended(ending), latest);
            }
            Fact::Seen { space, merchant_id, id, latest } => {
                let ids = match space {
                    IdSpace::Payments => &mut self.payments,
                    IdSpace::Refunds => &mut self.refunds,
                    IdSpace::Receipts => &mut self.receipts,
                };
                ids.remember((merchant_id, id), (), latest);
            }
            Fact::Counter { key, figures } => self.counters.learn(key, figures),
        }
    }

    fn learn_hold(&mut self, open: OpenHold) {
        let id: Id = (open.merchant_id, open.order_id.clone());
        let latest = open.placed_at;
        let deposit = open.presale.as_ref().and_then(|presale| presale.paid_by.clone());
        let deposit_payment = deposit.map(|(payment_id, latest)| {
            let payment: Id = (open.merchant_id, payment_id);
            self.payments.remember(payment.clone(), (), latest);
            self.payments.pin(&payment);
            payment
        });
        let hold = Hold { deposit_payment, ..hold_of(open) };
        self.placements = self.placements.max(hold.placement + 1);
        self.expiries.insert((hold.expires_at, hold.placement), id.clone());
        self.orders.remember(id.clone(), Order::Open(Box::new(hold)), latest);
        self.orders.pin(&id);
    }
}

/// The hold without its deposit's payment.
fn hold_of(open: OpenHold) -> Hold {
    let of_lines = |line: &OpenLine| (line.sku, line.location);
    let allocation: BTreeMap<u64, u32> = open.lines.iter().map(of_lines).collect();
    let categories = open.lines.iter().map(|line| (line.sku, line.category.clone())).collect();
    let pickup = open.pickup.then(|| open.lines[0].location);
    let is_counted = |sku| open.lines.iter().any(|line| line.sku == sku && line.in_buyer_count);
    let line = |line: &OpenLine| {
        let OpenLine { sku, qty, unit_price, .. } = *line;
        OrderLine { sku, qty, unit_price }
    };
    let order = OrderPlaced {
        order_id: open.order_id,
        buyer_id: open.buyer_id,
        placed_at: open.placed_at,
        lines: open.lines.iter().map(line).collect(),
        origin: Origin {
            channel: channel_named(&open.channel),
            region: open.region,
            area: if open.rural { "rural" } else { "urban" },
        },
        discount: open.discount,
        pickup,
        on_placement: false,
        // It has had its effect: `expires_at` says what came of it.
        pay_by: None,
        presale: open.presale.map(|presale| {
            let OpenPresale { deposit, balance_due, .. } = presale;
            Presale { deposit, balance_due }
        }),
    };
    let counted = demands_of(&order)
        .into_iter()
        .filter(|demand| is_counted(demand.sku))
        .map(|demand| Counted { demand, since: LEARNED })
        .collect();
    Hold {
        order,
        allocation,
        categories,
        expires_at: open.expires_at,
        placement: open.placement,
        counted,
        deposit_payment: None,
    }
}
