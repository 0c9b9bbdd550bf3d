//! The knobs of the traffic, each with the value of an ordinary sale day. Shares are whole numbers
//! of a thousand, so that no rounding can make two machines differ. Nothing here is a setting of
//! Floodgate; the windows only say at which rules the late and early commands take aim. How a file
//! sets them is in `file`.

use super::regions::PROVINCES;
use crate::profile::Profile;

/// What becomes of an order after its placement, as its buyer and its publisher would have it.
/// What Floodgate answers may differ: a shelf can be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Paid in full within seconds to minutes.
    Paid,
    /// Sold at the counter or by phone: settles on placement.
    SettledOnPlacement,
    /// Deposit, then the balance before it is due.
    Presale,
    /// Deposit, and the balance never.
    PresaleForfeited,
    /// Deposit and balance with every mistake on the way: wrong parts, wrong sums, a deposit twice.
    PresaleMuddled,
    /// Never paid; expires.
    NeverPaid,
    /// To be paid within seconds, and never paid; expires in the midst of the traffic.
    PayBySoon,
    /// To be paid by a moment later than the usual, and paid.
    PayByMet,
    /// To be paid by a moment already past.
    BornExpired,
    /// Paid when the hold is already over.
    PaidLate,
    /// Cancelled before it is paid.
    Cancelled,
    /// Cancelled, and then paid nevertheless.
    CancelledThenPaid,
    /// Paid, and then cancelled, which is too late.
    PaidThenCancelled,
    /// Paid with a wrong sum, then with the right one.
    PaidWrongAmount,
    /// A deposit is paid where none is asked for, then the whole.
    PaidWrongPart,
    /// Paid with two payments.
    PaidTwice,
    /// Paid with a payment older than the window while the hold is open, which is accepted.
    PaidStale,
    /// Paid with a payment from the future, then with one of today.
    PaidAhead,
    /// Nothing to pay, and that is paid.
    Free,
    /// A cart of 100 lines.
    Wholesale,
    /// A million pieces: more than there are.
    Greedy,
    /// More of a flash item than one buyer may have.
    OverLimit,
    /// Something that was never listed.
    UnknownSku,
    /// Picked up where no store is open.
    NoSuchStore,
    /// Placed longer ago than the window.
    Stale,
    /// Placed in the future.
    Ahead,
}

/// Settings of [`Traffic`](super::Traffic).
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Orders for each merchant, which sets how many merchants there are.
    pub orders_per_merchant: u64,
    /// Fewest merchants, however few the orders; at least 1.
    pub merchants_min: u32,
    /// Most merchants, however many the orders.
    pub merchants_max: u32,
    /// Most SKUs of a merchant, who has from one to that many; at most 100.
    pub skus_per_merchant_max: u16,
    /// Exponent of Zipf's law for merchants; 0 makes all equally popular.
    pub merchant_exponent: f64,
    /// Exponent of Zipf's law for the SKUs of one merchant.
    pub sku_exponent: f64,
    /// Most lines of an ordinary cart, from 1 to 99; the 100th is kept for wholesale.
    pub lines_max: u64,
    /// Orders for each buyer, on average.
    pub orders_per_buyer: u64,

    /// The sale opens so many milliseconds after the start; the catalogue comes before.
    pub opening_ms: u64,
    /// When orders arrive. Without one it is as the next four say.
    pub profile: Option<Profile>,
    /// Orders arriving in a second of virtual time, averaged over the sale.
    pub orders_per_second: u64,
    /// The sale lasts at least so many milliseconds, so that in a small run too payments meet
    /// orders that are still coming.
    pub sale_ms_min: u64,
    /// So many of a thousand orders come in the rush after the opening…
    pub rush_orders_per_mille: u64,
    /// …which takes so many thousandths of the sale.
    pub rush_time_per_mille: u64,

    /// Units on the shelves in percent of the demand to be expected.
    pub stock_percent: u64,
    /// SKUs in a thousand that are short (never the most popular ones of all)…
    pub scarce_skus_per_mille: u16,
    /// …and have only this percentage of the demand.
    pub scarce_stock_percent: u64,
    /// Units on every shelf besides, whatever the demand.
    pub stock_base: u64,
    /// Orders in a thousand for a flash item.
    pub flash_orders_per_mille: u16,
    /// Units of a flash item in percent of the orders for it: below 100, it sells out.
    pub flash_stock_percent: u64,
    /// Orders for flash items from ten buyers who want one: above 10, they come again for more than
    /// they may have.
    pub flash_orders_per_ten_buyers: u64,
    /// Orders for flash items in a thousand that bots place…
    pub bots_per_mille: u16,
    /// …of which there are so many.
    pub bots: u64,
    /// A livestream starts every so many orders, and lasts for a tenth of them. A run has at
    /// least four.
    pub livestream_every_orders: u64,
    /// Orders in a thousand that a livestream draws to its merchant while it lasts.
    pub livestream_orders_per_mille: u16,

    /// Orders in a thousand picked up, of merchants who have a store.
    pub pickup_per_mille: u16,
    /// Orders in a thousand with a discount.
    pub discounted_per_mille: u16,
    /// Further lines in a thousand that are gifts, at price 0.
    pub gifts_per_mille: u16,
    /// Carts in a thousand that name the same SKU twice.
    pub twice_per_mille: u16,
    /// Of a hundred buyers who pay, so many take from the first of the next four times to the second…
    pub pay_quickly_percent: u64,
    /// …and so many from the second to the third; the others take from the third to the last.
    pub pay_soon_percent: u64,
    /// The quickest, in milliseconds.
    pub pay_quickly_ms_min: u64,
    /// The slowest of the quick ones.
    pub pay_quickly_ms_max: u64,
    /// The slowest of the next.
    pub pay_soon_ms_max: u64,
    /// The slowest of all; below the time-to-live, or they are late.
    pub pay_slowly_ms_max: u64,
    /// The balance of a presale follows its deposit after at least so many milliseconds…
    pub balance_ms_min: u64,
    /// …and at most so many…
    pub balance_ms_max: u64,
    /// …unless that is before balances can be paid, so many milliseconds after the opening…
    pub balances_open_ms: u64,
    /// …then it comes within so many after that.
    pub balances_spread_ms: u64,
    /// Settled orders in a thousand that are refunded, in whole or in part.
    pub refunded_per_mille: u16,
    /// Refunds in a thousand whose goods go back on the shelf.
    pub restocked_per_mille: u16,
    /// A refund follows its order after at least so many milliseconds…
    pub refund_ms_min: u64,
    /// …and at most so many.
    pub refund_ms_max: u64,
    /// Orders in a thousand from the countryside…
    pub rural_per_mille: u16,
    /// …and of those that begin with farm produce, which goes to town.
    pub rural_produce_per_mille: u16,
    /// Orders in a thousand without a region.
    pub region_unknown_per_mille: u16,
    /// How often each place of a province is drawn, beside those of the others; by the order of their
    /// codes.
    pub province_weights: [u16; PROVINCES.len()],
    /// Orders in a thousand of each fate; the rest are [`Fate::Paid`]. The shares are kept
    /// exactly in every thousand orders, so that a short run meets the rare ones too. What goes beyond a thousand is left out.
    pub fates: Vec<(Fate, u16)>,

    /// Commands in a thousand that their publisher repeats within seconds.
    pub repeated_soon_per_mille: u16,
    /// Commands in ten thousand that their publisher repeats up to two hours later.
    pub repeated_late_per_ten_thousand: u64,
    /// Commands older than their window that come besides, for ten thousand orders.
    pub late_per_ten_thousand: u64,
    /// Values that break the contract that come besides, for ten thousand orders.
    pub malformed_per_ten_thousand: u64,
    /// One aside (a stock top-up, a change of the catalogue, a broken or misled record…) for so
    /// many orders. Short runs have more, so that each kind occurs in a run of 1,000 orders.
    pub orders_per_aside: u64,
    /// A value that is too large for so many orders, and one in any case.
    pub orders_per_oversized: u64,

    /// The window for orders and payments, in milliseconds.
    pub order_window_ms: u64,
    /// The window for refunds and receipts, in milliseconds.
    pub refund_window_ms: u64,
    /// The skew allowed to publishers' clocks, in milliseconds.
    pub skew_ms: u64,
    /// How long a hold without `pay_by` stays open, in milliseconds.
    pub time_to_live_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            orders_per_merchant: 50,
            merchants_min: 48,
            merchants_max: 200_000,
            skus_per_merchant_max: 9,
            merchant_exponent: 0.9,
            sku_exponent: 1.0,
            lines_max: 6,
            orders_per_buyer: 2,
            opening_ms: 60_000,
            profile: None,
            orders_per_second: 20_000,
            sale_ms_min: 60_000,
            rush_orders_per_mille: 200,
            rush_time_per_mille: 50,
            stock_percent: 200,
            scarce_skus_per_mille: 40,
            scarce_stock_percent: 50,
            stock_base: 30,
            flash_orders_per_mille: 30,
            flash_stock_percent: 50,
            flash_orders_per_ten_buyers: 15,
            bots_per_mille: 0,
            bots: 20,
            livestream_every_orders: 20_000,
            livestream_orders_per_mille: 600,
            pickup_per_mille: 150,
            discounted_per_mille: 300,
            gifts_per_mille: 20,
            twice_per_mille: 30,
            pay_quickly_percent: 60,
            pay_soon_percent: 30,
            pay_quickly_ms_min: 1_000,
            pay_quickly_ms_max: 15_000,
            pay_soon_ms_max: 90_000,
            pay_slowly_ms_max: 600_000,
            balance_ms_min: 60_000,
            balance_ms_max: 1_600_000,
            balances_open_ms: 0,
            balances_spread_ms: 5_000,
            refunded_per_mille: 30,
            restocked_per_mille: 600,
            refund_ms_min: 60_000,
            refund_ms_max: 21_600_000,
            rural_per_mille: 400,
            rural_produce_per_mille: 100,
            region_unknown_per_mille: 20,
            province_weights: [1; PROVINCES.len()],
            fates: FATES.to_vec(),
            repeated_soon_per_mille: 10,
            repeated_late_per_ten_thousand: 10,
            late_per_ten_thousand: 0,
            malformed_per_ten_thousand: 0,
            orders_per_aside: 50,
            orders_per_oversized: 250_000,
            order_window_ms: 900_000,
            refund_window_ms: 86_400_000,
            skew_ms: 60_000,
            time_to_live_ms: 900_000,
        }
    }
}

impl Settings {
    /// Says which settings do not fit together, if some do not.
    pub(super) fn check(&self) -> Result<(), String> {
        let pairs = [
            (
                "merchants_min",
                u64::from(self.merchants_min),
                "merchants_max",
                u64::from(self.merchants_max),
            ),
            (
                "pay_quickly_ms_min",
                self.pay_quickly_ms_min,
                "pay_quickly_ms_max",
                self.pay_quickly_ms_max,
            ),
            (
                "pay_quickly_ms_max",
                self.pay_quickly_ms_max,
                "pay_soon_ms_max",
                self.pay_soon_ms_max,
            ),
            ("pay_soon_ms_max", self.pay_soon_ms_max, "pay_slowly_ms_max", self.pay_slowly_ms_max),
            ("balance_ms_min", self.balance_ms_min, "balance_ms_max", self.balance_ms_max),
            ("refund_ms_min", self.refund_ms_min, "refund_ms_max", self.refund_ms_max),
        ];
        if let Some((least, low, most, high)) = pairs.iter().find(|(_, low, _, high)| low > high) {
            return Err(format!("{least} is {low}, above {most}, which is {high}"));
        }
        let fates: u32 = self.fates.iter().map(|(_, share)| u32::from(*share)).sum();
        if fates > 1_000 {
            return Err(format!("the [fates] add up to {fates} in a thousand orders; write less"));
        }
        if self.pay_quickly_percent + self.pay_soon_percent > 100 {
            return Err(
                "pay_quickly_percent and pay_soon_percent are above 100 together".to_owned()
            );
        }
        if self.province_weights.iter().all(|weight| *weight == 0) {
            return Err("every one of the [provinces] has weight 0; give one some".to_owned());
        }
        Ok(())
    }
}

/// The fates by their names in a file.
pub(super) const FATES_TOLD: [(&str, Fate); 25] = [
    ("settled_on_placement", Fate::SettledOnPlacement),
    ("presale", Fate::Presale),
    ("presale_forfeited", Fate::PresaleForfeited),
    ("presale_muddled", Fate::PresaleMuddled),
    ("never_paid", Fate::NeverPaid),
    ("pay_by_soon", Fate::PayBySoon),
    ("pay_by_met", Fate::PayByMet),
    ("born_expired", Fate::BornExpired),
    ("paid_late", Fate::PaidLate),
    ("cancelled", Fate::Cancelled),
    ("cancelled_then_paid", Fate::CancelledThenPaid),
    ("paid_then_cancelled", Fate::PaidThenCancelled),
    ("paid_wrong_amount", Fate::PaidWrongAmount),
    ("paid_wrong_part", Fate::PaidWrongPart),
    ("paid_twice", Fate::PaidTwice),
    ("paid_stale", Fate::PaidStale),
    ("paid_ahead", Fate::PaidAhead),
    ("free", Fate::Free),
    ("wholesale", Fate::Wholesale),
    ("greedy", Fate::Greedy),
    ("over_limit", Fate::OverLimit),
    ("unknown_sku", Fate::UnknownSku),
    ("no_such_store", Fate::NoSuchStore),
    ("stale", Fate::Stale),
    ("ahead", Fate::Ahead),
];

/// The fates of an ordinary sale day, in a thousand orders.
const FATES: [(Fate, u16); 25] = [
    (Fate::SettledOnPlacement, 80),
    (Fate::Presale, 40),
    (Fate::PresaleForfeited, 6),
    (Fate::PresaleMuddled, 4),
    (Fate::NeverPaid, 30),
    (Fate::PayBySoon, 12),
    (Fate::PayByMet, 20),
    (Fate::BornExpired, 1),
    (Fate::PaidLate, 6),
    (Fate::Cancelled, 30),
    (Fate::CancelledThenPaid, 4),
    (Fate::PaidThenCancelled, 4),
    (Fate::PaidWrongAmount, 6),
    (Fate::PaidWrongPart, 4),
    (Fate::PaidTwice, 6),
    (Fate::PaidStale, 3),
    (Fate::PaidAhead, 3),
    (Fate::Free, 5),
    (Fate::Wholesale, 1),
    (Fate::Greedy, 3),
    (Fate::OverLimit, 4),
    (Fate::UnknownSku, 5),
    (Fate::NoSuchStore, 4),
    (Fate::Stale, 3),
    (Fate::Ahead, 3),
];
