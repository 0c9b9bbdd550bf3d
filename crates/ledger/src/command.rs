//! Commands: what a record of the input log asks the state machine to do, already decoded.
//!
//! These types hold the values of the wire contract's section 3 after every check of its sections
//! 2 and 3; they know neither bytes nor JSON. Text is borrowed from the record it came in.
//! Invariant: a command that exists is valid; only the state can still refuse it.

use std::fmt;

use crate::units::{
    BuyerId, Category, Channel, LocationId, MerchantId, Millis, Money, Region, SkuId, Units,
};

/// A command together with the merchant whose state it works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// `order.placed`
    OrderPlaced(OrderPlaced<'a>),
    /// `order.paid`
    OrderPaid(OrderPaid<'a>),
    /// `order.cancelled`
    OrderCancelled {
        /// Whose order.
        merchant: MerchantId,
        /// Which order.
        order_id: ExternalId<'a>,
    },
    /// `order.refunded`
    OrderRefunded(OrderRefunded<'a>),
    /// `stock.received`
    StockReceived(StockReceived<'a>),
    /// `stock.moved`
    StockMoved(StockMoved<'a>),
    /// `sku.listed`
    SkuListed(SkuListed<'a>),
    /// `sku.withdrawn`
    SkuWithdrawn {
        /// Whose SKU.
        merchant: MerchantId,
        /// Which SKU.
        sku: SkuId,
    },
    /// `location.opened`
    LocationOpened(LocationOpened),
    /// `location.closed`
    LocationClosed {
        /// Whose location.
        merchant: MerchantId,
        /// Which location; never 0.
        location: LocationId,
    },
    /// `tick`: only moves the clock.
    Tick,
}

/// An id that the publisher chose: 1 to 40 characters of `[A-Za-z0-9_.:-]`, opaque, compared byte
/// for byte.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExternalId<'a>(&'a [u8]);

impl<'a> ExternalId<'a> {
    /// Longest id in bytes.
    pub const BYTES_MAX: usize = 40;

    /// The id, or `None` if `text` is not of the form the contract allows.
    pub fn new(text: &'a str) -> Option<Self> {
        Self::from_bytes(text.as_bytes())
    }

    /// [`Self::new`] of text that was not checked to be UTF-8.
    #[inline]
    pub fn from_bytes(text: &'a [u8]) -> Option<Self> {
        let fits = (1..=Self::BYTES_MAX).contains(&text.len());
        // Every byte is looked at, without a branch that a random id would mispredict.
        let allowed = |text: &[u8]| {
            text.iter().fold(true, |all, byte| all & Self::ALLOWED[usize::from(*byte)])
        };
        (fits && allowed(text)).then_some(ExternalId(text))
    }

    const ALLOWED: [bool; 256] = {
        let mut allowed = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            allowed[byte] = Self::allows(byte as u8);
            byte += 1;
        }
        allowed
    };

    /// The id that `text` begins with: all that an id may contain, up to what it may not. `None` if
    /// there is nothing of the kind, or too much.
    #[inline(never)]
    pub fn leading(text: &'a [u8]) -> Option<Self> {
        let bytes = Self::allowed_bytes(text);
        (1..=Self::BYTES_MAX).contains(&bytes).then(|| ExternalId(&text[..bytes]))
    }

    /// How many bytes `text` begins with that an id may contain. Sixteen are looked at at once.
    #[inline(always)]
    fn allowed_bytes(text: &[u8]) -> usize {
        let (chunks, last) = text.as_chunks::<16>();
        for (index, chunk) in chunks.iter().enumerate() {
            let marks = chunk.map(|byte| if Self::allows(byte) { 0 } else { u8::MAX });
            let marks = u128::from_le_bytes(marks);
            if marks != 0 {
                return 16 * index + (marks.trailing_zeros() / 8) as usize;
            }
        }
        let allowed = last.iter().take_while(|byte| Self::allows(**byte));
        text.len() - last.len() + allowed.count()
    }

    /// Whether an id may contain this byte. There is no branch in it, so that many bytes can be looked
    /// at at once.
    pub const fn allows(byte: u8) -> bool {
        byte.is_ascii_alphanumeric()
            | (byte == b'_')
            | (byte == b'.')
            | (byte == b':')
            | (byte == b'-')
    }

    /// The id's text.
    ///
    /// # Panics
    /// Never: all that an id may contain is ASCII.
    pub fn as_str(self) -> &'a str {
        str::from_utf8(self.0).expect("an id is ASCII")
    }

    /// The bytes of the id's text.
    #[inline]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for ExternalId<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ExternalId").field(&self.as_str()).finish()
    }
}

/// One line of an order as the buyer asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// What is sold.
    pub sku: SkuId,
    /// How many, 1..=1,000,000.
    pub qty: Units,
    /// Price of one unit.
    pub unit_price: Money,
}

/// How the goods reach the buyer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fulfilment {
    /// Sent from whichever location the allocation finds.
    Ship,
    /// Fetched by the buyer at this location.
    Pickup(LocationId),
}

/// When an order settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    /// When it is paid in full.
    OnPayment,
    /// At once; no hold is announced.
    OnPlacement,
}

/// A presale's terms: a deposit holds the goods until the balance is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presale {
    /// 1 <= deposit < the order's amount.
    pub deposit: Money,
    /// When the hold expires once the deposit is paid.
    pub balance_due: Millis,
}

/// `order.placed`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderPlaced<'a> {
    /// Whose order.
    pub merchant: MerchantId,
    /// The order's id.
    pub order_id: ExternalId<'a>,
    /// Who buys.
    pub buyer: BuyerId,
    /// The command's own time.
    pub placed_at: Millis,
    /// 1..=100 lines in the order they came.
    pub lines: &'a [Line],
    /// Gross sum less discount.
    pub amount: Money,
    /// At most the gross sum.
    pub discount: Money,
    /// Where the order was made.
    pub channel: Channel,
    /// Where the buyer is.
    pub region: Region,
    /// Town or countryside.
    pub rural: bool,
    /// Ship or pickup.
    pub fulfilment: Fulfilment,
    /// On payment or on placement.
    pub settle: Settle,
    /// When the hold expires, if not by the time-to-live.
    pub pay_by: Option<Millis>,
    /// Terms of a presale; only with [`Settle::OnPayment`].
    pub presale: Option<Presale>,
}

/// Which part of an order a payment pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The whole amount.
    Full,
    /// A presale's deposit.
    Deposit,
    /// A presale's rest.
    Balance,
}

/// `order.paid`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderPaid<'a> {
    /// Whose order.
    pub merchant: MerchantId,
    /// The payment's id.
    pub payment_id: ExternalId<'a>,
    /// The order it pays.
    pub order_id: ExternalId<'a>,
    /// The sum that was paid.
    pub amount: Money,
    /// Which part it is meant for.
    pub part: Part,
    /// The command's own time.
    pub paid_at: Millis,
}

/// One line of a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefundLine {
    /// What came back.
    pub sku: SkuId,
    /// Where it came back to.
    pub location: LocationId,
    /// How many, 1..=1,000,000.
    pub qty: Units,
}

/// `order.refunded`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderRefunded<'a> {
    /// Whose order.
    pub merchant: MerchantId,
    /// The refund's id.
    pub refund_id: ExternalId<'a>,
    /// The order it refunds; not checked.
    pub order_id: ExternalId<'a>,
    /// The command's own time.
    pub refunded_at: Millis,
    /// The sum that was paid back.
    pub amount: Money,
    /// 0..=100 lines.
    pub lines: &'a [RefundLine],
    /// Whether the lines' units go back on hand.
    pub restock: bool,
    /// As in the order.
    pub channel: Channel,
    /// As in the order.
    pub region: Region,
    /// As in the order.
    pub rural: bool,
}

/// `stock.received`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StockReceived<'a> {
    /// Whose stock.
    pub merchant: MerchantId,
    /// The receipt's id.
    pub receipt_id: ExternalId<'a>,
    /// The command's own time.
    pub received_at: Millis,
    /// Which SKU.
    pub sku: SkuId,
    /// Where.
    pub location: LocationId,
    /// -10^9..=10^9, not 0; below 0 is a correction downwards.
    pub qty: i64,
}

/// `stock.moved`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StockMoved<'a> {
    /// Whose stock.
    pub merchant: MerchantId,
    /// The receipt's id; one id space with [`StockReceived`].
    pub receipt_id: ExternalId<'a>,
    /// The command's own time.
    pub received_at: Millis,
    /// Which SKU.
    pub sku: SkuId,
    /// Where it leaves.
    pub from: LocationId,
    /// Where it arrives; differs from `from`.
    pub to: LocationId,
    /// 1..=10^9.
    pub qty: Units,
}

/// `sku.listed`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SkuListed<'a> {
    /// Whose SKU.
    pub merchant: MerchantId,
    /// Which SKU.
    pub sku: SkuId,
    /// What it is counted under.
    pub category: Category<'a>,
    /// Units one buyer may hold and have bought; 0: no limit.
    pub per_buyer_limit: Units,
    /// Units that are never sold online.
    pub safety_stock: Units,
}

/// `location.opened`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocationOpened {
    /// Whose location.
    pub merchant: MerchantId,
    /// Which location; never 0.
    pub location: LocationId,
    /// Where it stands.
    pub region: Region,
    /// Smaller is asked first.
    pub priority: u16,
    /// Whether orders may be shipped from it.
    pub ships: bool,
    /// Whether buyers may fetch orders from it.
    pub pickup: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes are looked at sixteen at a time, and the last ones one by one.
    #[test]
    fn leading_id_ends_where_something_else_begins() {
        const TEXT: &[u8] = b"aZ09_.:-mzAY5aZ09_.:-mzAY5aZ09_.:-mzAY5xyz";
        for len in 0..TEXT.len() {
            let id = ExternalId::from_bytes(&TEXT[..len]);
            assert_eq!(ExternalId::leading(&TEXT[..len]), id, "{len} to the end");
            for byte in (0..=u8::MAX).filter(|byte| !ExternalId::allows(*byte)) {
                for behind in [0, 1, 20] {
                    let text = [&TEXT[..len], &[byte], &[b'x'; 20][..behind]].concat();
                    assert_eq!(ExternalId::leading(&text), id, "{len} to {byte}");
                }
            }
        }
    }

    #[test]
    fn allowed_bytes_are_those_of_the_contract() {
        let allowed: Vec<u8> = (0..=u8::MAX).filter(|byte| ExternalId::allows(*byte)).collect();
        let listed = b"-.0123456789:ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
        assert_eq!(allowed, listed);
    }
}
