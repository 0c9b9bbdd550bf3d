//! What was sent, counted by kind: for the show, and for a test that every kind occurs. Not a
//! verdict: what Floodgate makes of it is counted elsewhere.

/// What a record is: a command in good order, by its type, or what is odd about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `order.placed`.
    OrderPlaced,
    /// `order.paid`.
    OrderPaid,
    /// `order.cancelled`.
    OrderCancelled,
    /// `order.refunded`.
    OrderRefunded,
    /// `stock.received`.
    StockReceived,
    /// `stock.moved`.
    StockMoved,
    /// `sku.listed`.
    SkuListed,
    /// `sku.withdrawn`.
    SkuWithdrawn,
    /// `location.opened`.
    LocationOpened,
    /// `location.closed`.
    LocationClosed,
    /// `tick`.
    Tick,
    /// A command that was sent before, byte for byte.
    Repeated,
    /// A command whose own time is older than its window.
    Late,
    /// A command whose own time is further ahead than the allowed skew.
    Ahead,
    /// A valid command under a key or in a partition that is not its merchant's.
    Misrouted,
    /// A value against the contract.
    Malformed,
    /// A value of more bytes than are read.
    Oversized,
    /// A record without a value.
    WithoutValue,
}

impl Kind {
    /// Every kind, in the order of their declaration.
    pub const ALL: [Self; 18] = [
        Self::OrderPlaced,
        Self::OrderPaid,
        Self::OrderCancelled,
        Self::OrderRefunded,
        Self::StockReceived,
        Self::StockMoved,
        Self::SkuListed,
        Self::SkuWithdrawn,
        Self::LocationOpened,
        Self::LocationClosed,
        Self::Tick,
        Self::Repeated,
        Self::Late,
        Self::Ahead,
        Self::Misrouted,
        Self::Malformed,
        Self::Oversized,
        Self::WithoutValue,
    ];

    /// Whether publishers keep these until they are acknowledged, and send them again.
    pub(super) fn is_repeated_by_publishers(self) -> bool {
        matches!(
            self,
            Self::OrderPlaced
                | Self::OrderPaid
                | Self::OrderCancelled
                | Self::OrderRefunded
                | Self::StockReceived
                | Self::StockMoved
        )
    }

    /// The command's type as in the contract, or what is odd, in words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OrderPlaced => "order.placed",
            Self::OrderPaid => "order.paid",
            Self::OrderCancelled => "order.cancelled",
            Self::OrderRefunded => "order.refunded",
            Self::StockReceived => "stock.received",
            Self::StockMoved => "stock.moved",
            Self::SkuListed => "sku.listed",
            Self::SkuWithdrawn => "sku.withdrawn",
            Self::LocationOpened => "location.opened",
            Self::LocationClosed => "location.closed",
            Self::Tick => "tick",
            Self::Repeated => "repeated",
            Self::Late => "too late",
            Self::Ahead => "ahead of time",
            Self::Misrouted => "misrouted",
            Self::Malformed => "malformed",
            Self::Oversized => "too large",
            Self::WithoutValue => "without value",
        }
    }
}

/// How much of what was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Distinct orders placed, late and early ones included.
    pub orders: u64,
    /// Records in all.
    pub records: u64,
    counts: [u64; Kind::ALL.len()],
}

impl Summary {
    /// Records of one kind. Every record is of exactly one.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u64 {
        self.counts[kind as usize]
    }

    /// Every kind with its records.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        Kind::ALL.into_iter().zip(self.counts)
    }

    pub(super) fn add(&mut self, kind: Kind) {
        self.records += 1;
        self.counts[kind as usize] += 1;
    }
}
