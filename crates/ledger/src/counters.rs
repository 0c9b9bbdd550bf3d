//! GMV counters (contract, section 6). This file fixes the vocabulary of the records that leave.

/// Figures of one counter; sums of money are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Orders held, or settled on placement.
    pub orders_placed: u64,
    /// Their amounts, in minor units.
    pub placed: u128,
    /// Orders settled.
    pub orders_settled: u64,
    /// Units in them.
    pub units_settled: u64,
    /// Their amounts, in minor units.
    pub settled: u128,
    /// `order.refunded` written.
    pub orders_refunded: u64,
    /// Their amounts, in minor units.
    pub refunded: u128,
}

/// The four figures that only the dimension `all` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answers {
    /// `hold.rejected` written.
    pub orders_rejected: u64,
    /// `hold.released` written.
    pub orders_released: u64,
    /// Dead letters written.
    pub dead_letters: u64,
    /// Commands whose id was remembered.
    pub duplicates: u64,
}

/// What a counter counts: dimension and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension<'a> {
    /// Everything, with the four further figures.
    All(Answers),
    /// By channel.
    Channel(crate::units::Channel),
    /// `rural` (true) or `urban`.
    Area {
        /// Countryside or town.
        rural: bool,
    },
    /// `pickup` (true) or `ship`.
    Fulfilment {
        /// Pickup or ship.
        pickup: bool,
    },
    /// First two digits of the region, 0..=99.
    Province(u32),
    /// By category, per line.
    Category(crate::units::Category<'a>),
    /// By merchant.
    Merchant(crate::units::MerchantId),
    /// By the location that served the line, settled figures only.
    Location(crate::units::MerchantId, crate::units::LocationId),
    /// floor(T / 60,000).
    Minute(u64),
}

/// One counter as it leaves: absolute totals of a business day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter<'a> {
    /// Business day: days since 1970-01-01 of T plus the day offset.
    pub day: u64,
    /// What is counted.
    pub dimension: Dimension<'a>,
    /// The totals.
    pub figures: Figures,
}
