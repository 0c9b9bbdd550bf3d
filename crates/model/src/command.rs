//! Commands as the rules see them (contract section 3): every default filled in, every range kept.
//!
//! What a command means is not here; the rules are in `partition` and its companions.

/// An accepted value: a tick, or a command for a merchant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    Tick,
    ForMerchant { merchant_id: u64, command: Command },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    OrderPlaced(OrderPlaced),
    OrderPaid(OrderPaid),
    OrderCancelled { order_id: String },
    OrderRefunded(OrderRefunded),
    StockReceived(StockReceived),
    StockMoved(StockMoved),
    SkuListed(SkuListed),
    SkuWithdrawn { sku: u64 },
    LocationOpened(LocationOpened),
    LocationClosed { location: u32 },
}

/// `order.placed`. Money is in the currency's minor unit, times are in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderPlaced {
    pub(crate) order_id: String,
    pub(crate) buyer_id: u64,
    pub(crate) placed_at: u64,
    pub(crate) lines: Vec<OrderLine>,
    /// Where the sale is counted: `channel`, `region` and `area`.
    pub(crate) origin: Origin,
    pub(crate) discount: u64,
    /// The pickup location, or none when the order is shipped.
    pub(crate) pickup: Option<u32>,
    /// Whether the order settles at once, without a hold.
    pub(crate) on_placement: bool,
    pub(crate) pay_by: Option<u64>,
    pub(crate) presale: Option<Presale>,
}

impl OrderPlaced {
    /// The sum of quantity times unit price; at most 10^15.
    pub(crate) fn gross(&self) -> u64 {
        self.lines.iter().map(OrderLine::gross).sum()
    }

    /// What the order costs: gross less discount.
    pub(crate) fn amount(&self) -> u64 {
        self.gross() - self.discount
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderLine {
    pub(crate) sku: u64,
    pub(crate) qty: u64,
    pub(crate) unit_price: u64,
}

impl OrderLine {
    pub(crate) fn gross(&self) -> u64 {
        self.qty * self.unit_price
    }
}

/// `channel`, `region` and `area` of an order or a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) channel: &'static str,
    pub(crate) region: String,
    pub(crate) area: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Presale {
    pub(crate) deposit: u64,
    pub(crate) balance_due: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderPaid {
    pub(crate) payment_id: String,
    pub(crate) order_id: String,
    pub(crate) amount: u64,
    pub(crate) paid_at: u64,
    pub(crate) part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Full,
    Deposit,
    Balance,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderRefunded {
    pub(crate) refund_id: String,
    pub(crate) order_id: String,
    pub(crate) refunded_at: u64,
    pub(crate) amount: u64,
    pub(crate) lines: Vec<RefundLine>,
    pub(crate) restock: bool,
    pub(crate) origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefundLine {
    pub(crate) sku: u64,
    pub(crate) location: u32,
    pub(crate) qty: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StockReceived {
    pub(crate) receipt_id: String,
    pub(crate) received_at: u64,
    pub(crate) sku: u64,
    /// What is added; below 0 it takes away.
    pub(crate) qty: i64,
    pub(crate) location: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StockMoved {
    pub(crate) receipt_id: String,
    pub(crate) received_at: u64,
    pub(crate) sku: u64,
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) qty: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SkuListed {
    pub(crate) sku: u64,
    pub(crate) category: String,
    /// The most units that one buyer may have; 0 for no limit.
    pub(crate) per_buyer_limit: u64,
    pub(crate) safety_stock: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocationOpened {
    pub(crate) location: u32,
    pub(crate) region: String,
    pub(crate) priority: u16,
    pub(crate) ships: bool,
    pub(crate) pickup: bool,
}
