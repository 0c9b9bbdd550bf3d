//! Effects: what the state machine answers to a record, before anybody encodes it.
//!
//! An effect holds what section 5 of the contract writes, except `offset` and `at`, which belong to
//! the record (its offset and T) and are the same for all effects of one record.
//! Invariant: effects leave in the order in which the contract wants them written.

use crate::command::{ExternalId, Line, RefundLine};
use crate::units::{BuyerId, Channel, LocationId, MerchantId, Millis, Money, Region, SkuId, Units};

/// One answer of the state machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect<'a> {
    /// `hold.placed`
    HoldPlaced {
        /// The order.
        order: OrderRef<'a>,
        /// Who buys.
        buyer: BuyerId,
        /// The order's amount.
        amount: Money,
        /// The lines with their allocated locations.
        lines: &'a [PlacedLine],
        /// When the hold expires.
        expires_at: Millis,
    },
    /// `hold.rejected`
    HoldRejected {
        /// The order.
        order: OrderRef<'a>,
        /// Who wanted to buy.
        buyer: BuyerId,
        /// Why not.
        rejection: Rejection,
    },
    /// `hold.released`
    HoldReleased {
        /// The order.
        order: OrderRef<'a>,
        /// Why the hold ended without a settlement.
        reason: ReleaseReason,
        /// The order's amount.
        amount: Money,
        /// The lines with their allocated locations.
        lines: &'a [PlacedLine],
        /// The deposit that had been paid, if one had.
        forfeited: Option<Money>,
    },
    /// `hold.extended`
    HoldExtended {
        /// The order.
        order: OrderRef<'a>,
        /// When the hold expires now.
        expires_at: Millis,
    },
    /// `payment.refused`
    PaymentRefused {
        /// The payment.
        payment_id: ExternalId<'a>,
        /// The order it was meant for.
        order: OrderRef<'a>,
        /// The sum as it was received.
        amount: Money,
        /// Why not.
        refusal: PaymentRefusal,
    },
    /// `order.settled`
    OrderSettled {
        /// The order.
        order: OrderRef<'a>,
        /// Who bought.
        buyer: BuyerId,
        /// The order's amount.
        amount: Money,
        /// The order's discount.
        discount: Money,
        /// The lines with their allocated locations.
        lines: &'a [PlacedLine],
        /// Where the order was made.
        channel: Channel,
        /// Where the buyer is.
        region: Region,
        /// Town or countryside.
        rural: bool,
        /// When the order was placed, as its publisher said.
        placed_at: Millis,
    },
    /// `order.refunded`
    OrderRefunded {
        /// The refund.
        refund_id: ExternalId<'a>,
        /// The order.
        order: OrderRef<'a>,
        /// The sum that was paid back.
        amount: Money,
        /// What came back, and where to.
        lines: &'a [RefundLine],
        /// Whether it went back on hand.
        restock: bool,
        /// As the publisher said.
        channel: Channel,
        /// As the publisher said.
        region: Region,
        /// As the publisher said.
        rural: bool,
    },
    /// The record goes to the dead-letter topic.
    DeadLetter(DeadLetter),
}

/// An order by its owner and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderRef<'a> {
    /// Whose order; also the key of the output record.
    pub merchant: MerchantId,
    /// The order's id.
    pub order_id: ExternalId<'a>,
}

/// A line of an order with the location that serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedLine {
    /// What is sold.
    pub sku: SkuId,
    /// How many.
    pub qty: Units,
    /// Price of one unit.
    pub unit_price: Money,
    /// Which location serves it.
    pub location: LocationId,
}

impl PlacedLine {
    /// The line of an order once it is allocated.
    pub fn new(line: Line, location: LocationId) -> PlacedLine {
        PlacedLine { sku: line.sku, qty: line.qty, unit_price: line.unit_price, location }
    }
}

/// Why an order was not held, in the order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// Its own time lies too far in the past.
    Stale,
    /// Its own time lies in the future.
    ClockSkew,
    /// This SKU is not listed.
    UnknownSku(SkuId),
    /// The pickup location is closed or has no pickup.
    LocationUnavailable,
    /// The buyer would have more of this SKU than its limit allows.
    BuyerLimit(SkuId),
    /// No location can serve this SKU.
    OutOfStock(SkuId),
}

impl Rejection {
    /// The reason's name in the contract.
    pub const fn name(self) -> &'static str {
        match self {
            Rejection::Stale => "stale",
            Rejection::ClockSkew => "clock_skew",
            Rejection::UnknownSku(_) => "unknown_sku",
            Rejection::LocationUnavailable => "location_unavailable",
            Rejection::BuyerLimit(_) => "buyer_limit",
            Rejection::OutOfStock(_) => "out_of_stock",
        }
    }

    /// The SKU that failed, for the reasons that name one.
    pub const fn sku(self) -> Option<SkuId> {
        match self {
            Rejection::UnknownSku(sku)
            | Rejection::BuyerLimit(sku)
            | Rejection::OutOfStock(sku) => Some(sku),
            Rejection::Stale | Rejection::ClockSkew | Rejection::LocationUnavailable => None,
        }
    }
}

/// Why a hold ended without a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseReason {
    /// The order was cancelled.
    Cancelled,
    /// The hold's time ran out.
    Expired,
}

impl ReleaseReason {
    /// The reason's name in the contract.
    pub const fn name(self) -> &'static str {
        match self {
            ReleaseReason::Cancelled => "cancelled",
            ReleaseReason::Expired => "expired",
        }
    }
}

/// Why a payment was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentRefusal {
    /// Its own time lies too far in the past.
    Stale,
    /// Its own time lies in the future.
    ClockSkew,
    /// The open hold expects another part.
    WrongPart,
    /// The open hold expects another sum.
    AmountMismatch,
    /// The hold expired.
    Expired,
    /// The order was cancelled.
    Cancelled,
    /// The order was rejected.
    Rejected,
    /// The order is settled already.
    Settled,
    /// The order is not remembered.
    UnknownOrder,
}

impl PaymentRefusal {
    /// The reason's name in the contract.
    pub const fn name(self) -> &'static str {
        match self {
            PaymentRefusal::Stale => "stale",
            PaymentRefusal::ClockSkew => "clock_skew",
            PaymentRefusal::WrongPart => "wrong_part",
            PaymentRefusal::AmountMismatch => "amount_mismatch",
            PaymentRefusal::Expired => "expired",
            PaymentRefusal::Cancelled => "cancelled",
            PaymentRefusal::Rejected => "rejected",
            PaymentRefusal::Settled => "settled",
            PaymentRefusal::UnknownOrder => "unknown_order",
        }
    }
}

/// Why a record goes to the dead-letter topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLetter {
    /// The value is too long to be looked at.
    TooLarge,
    /// The value is not a command of the contract.
    Invalid,
    /// The key or the partition is not the merchant's.
    Misrouted,
    /// Its own time lies too far in the past.
    Stale,
    /// Its own time lies in the future.
    ClockSkew,
    /// An on_hand would fall below zero.
    StockUnderflow,
    /// A cell would exceed what can be counted.
    StockOverflow,
    /// One category or open location too many.
    TooMany,
}

impl DeadLetter {
    /// Every code.
    pub const ALL: [DeadLetter; 8] = [
        DeadLetter::TooLarge,
        DeadLetter::Invalid,
        DeadLetter::Misrouted,
        DeadLetter::Stale,
        DeadLetter::ClockSkew,
        DeadLetter::StockUnderflow,
        DeadLetter::StockOverflow,
        DeadLetter::TooMany,
    ];

    /// The code in the contract.
    pub const fn code(self) -> &'static str {
        match self {
            DeadLetter::TooLarge => "too_large",
            DeadLetter::Invalid => "invalid",
            DeadLetter::Misrouted => "misrouted",
            DeadLetter::Stale => "stale",
            DeadLetter::ClockSkew => "clock_skew",
            DeadLetter::StockUnderflow => "stock_underflow",
            DeadLetter::StockOverflow => "stock_overflow",
            DeadLetter::TooMany => "too_many",
        }
    }

    /// The stage at which the record failed, as the contract names it.
    pub const fn stage(self) -> &'static str {
        match self {
            DeadLetter::TooLarge | DeadLetter::Invalid => "decode",
            DeadLetter::Misrouted => "route",
            DeadLetter::Stale
            | DeadLetter::ClockSkew
            | DeadLetter::StockUnderflow
            | DeadLetter::StockOverflow
            | DeadLetter::TooMany => "apply",
        }
    }
}
