//! What records caused, counted plainly: a few additions for each effect, no metric, no thread.
//!
//! An engine counts while it applies; its worker takes the tally when it seals the transaction that holds
//! the effects, counts it once the commit is certain, and drops that of a replay. Invariant: an effect is
//! counted at most once, and only if it is committed.

use ledger::effect::{DeadLetter, Effect, PaymentRefusal, Rejection, ReleaseReason};
use ledger::units::SkuId;

/// Every reason of a rejection, in the order of their numbers in a tally.
pub const REJECTIONS: [Rejection; 6] = [
    Rejection::Stale,
    Rejection::ClockSkew,
    Rejection::UnknownSku(SkuId(0)),
    Rejection::LocationUnavailable,
    Rejection::BuyerLimit(SkuId(0)),
    Rejection::OutOfStock(SkuId(0)),
];

/// Every reason of a release.
pub const RELEASES: [ReleaseReason; 2] = [ReleaseReason::Cancelled, ReleaseReason::Expired];

/// Every reason of a payment's refusal.
pub const REFUSALS: [PaymentRefusal; 9] = [
    PaymentRefusal::Stale,
    PaymentRefusal::ClockSkew,
    PaymentRefusal::WrongPart,
    PaymentRefusal::AmountMismatch,
    PaymentRefusal::Expired,
    PaymentRefusal::Cancelled,
    PaymentRefusal::Rejected,
    PaymentRefusal::Settled,
    PaymentRefusal::UnknownOrder,
];

/// Counts of effects. Sums of money are in fen and stop at the largest number that there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// `hold.placed`
    pub holds_placed: u64,
    /// `hold.rejected`, by the number of the reason in [`REJECTIONS`].
    pub holds_rejected: [u64; REJECTIONS.len()],
    /// `hold.released`, by the number of the reason in [`RELEASES`].
    pub holds_released: [u64; RELEASES.len()],
    /// `hold.extended`
    pub holds_extended: u64,
    /// `payment.refused`, by the number of the reason in [`REFUSALS`].
    pub payments_refused: [u64; REFUSALS.len()],
    /// `order.settled`
    pub orders_settled: u64,
    /// The amounts of those.
    pub settled: u64,
    /// `order.refunded`
    pub orders_refunded: u64,
    /// The amounts of those.
    pub refunded: u64,
    /// Dead letters, by the number of the code in [`DeadLetter::ALL`].
    pub dead_letters: [u64; DeadLetter::ALL.len()],
}

impl Tally {
    /// Counts one effect.
    pub(crate) fn count(&mut self, effect: &Effect<'_>) {
        match effect {
            Effect::HoldPlaced { .. } => self.holds_placed += 1,
            Effect::HoldRejected { rejection, .. } => {
                self.holds_rejected[rejection_number(*rejection)] += 1;
            }
            Effect::HoldReleased { reason, .. } => self.holds_released[*reason as usize] += 1,
            Effect::HoldExtended { .. } => self.holds_extended += 1,
            Effect::PaymentRefused { refusal, .. } => {
                self.payments_refused[*refusal as usize] += 1;
            }
            Effect::OrderSettled { amount, .. } => {
                self.orders_settled += 1;
                self.settled = self.settled.saturating_add(amount.0);
            }
            Effect::OrderRefunded { amount, .. } => {
                self.orders_refunded += 1;
                self.refunded = self.refunded.saturating_add(amount.0);
            }
            Effect::DeadLetter(code) => self.dead_letters[*code as usize] += 1,
        }
    }
}

/// The reasons that name a SKU cannot be cast.
fn rejection_number(rejection: Rejection) -> usize {
    match rejection {
        Rejection::Stale => 0,
        Rejection::ClockSkew => 1,
        Rejection::UnknownSku(_) => 2,
        Rejection::LocationUnavailable => 3,
        Rejection::BuyerLimit(_) => 4,
        Rejection::OutOfStock(_) => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_reason_is_counted_as_another() {
        for (number, rejection) in REJECTIONS.iter().enumerate() {
            assert_eq!(rejection_number(*rejection), number, "{}", rejection.name());
        }
        for (number, reason) in RELEASES.iter().enumerate() {
            assert_eq!(*reason as usize, number, "{}", reason.name());
        }
        for (number, refusal) in REFUSALS.iter().enumerate() {
            assert_eq!(*refusal as usize, number, "{}", refusal.name());
        }
        for (number, code) in DeadLetter::ALL.iter().enumerate() {
            assert_eq!(*code as usize, number, "{}", code.code());
        }
    }
}
