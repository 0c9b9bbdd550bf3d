//! What an order's publisher sends after the order: payments, cancellations, refunds, when, and
//! how they read. Decided by the order's fate alone, never by an answer: money is on its way before
//! the answer is, so a few payments meet an order that was rejected.

use super::draw::{Domain, Draw};
use super::json::{Command, IdSpace};
use super::orders::{Order, write_demand};
use super::settings::Fate;
use super::world::World;

/// Ids that each order has for its payments; more than there are kinds of them.
const PAYMENTS_MAX: u64 = 16;

/// A payment of an order. Each kind occurs at most once for one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Payment {
    Full,
    FullAgain,
    FullOfTheFuture,
    WrongAmount,
    DepositUnasked,
    FullForDeposit,
    DepositWrongAmount,
    Deposit,
    DepositAgain,
    BalanceWrongAmount,
    Balance,
}

/// Something that follows an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sequel {
    Pay(Payment),
    Cancel,
    Refund,
}

/// A sequel, when it is due and its own time, in milliseconds after the start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cue {
    pub(super) due_ms: u64,
    pub(super) own_ms: i64,
    pub(super) sequel: Sequel,
}

/// Tells `push` all that follows `order`.
pub(super) fn follow(world: &World, order: &Order, push: impl FnMut(Cue)) {
    use Payment::{DepositUnasked, Full, FullAgain, WrongAmount};
    use Sequel::{Cancel, Pay};
    let draw = world.draw(Domain::Script, order.number);
    let mut script = Script { world, order, draw, at_ms: order.arrival_ms, push };
    match order.fate {
        Fate::NeverPaid
        | Fate::PayBySoon
        | Fate::BornExpired
        | Fate::OverLimit
        | Fate::UnknownSku
        | Fate::NoSuchStore
        | Fate::Stale
        | Fate::Ahead => {}
        Fate::Paid | Fate::PayByMet | Fate::Free | Fate::Wholesale => script.paid(),
        // Nothing is ever sent to it, so nothing comes back: a refund of a million pieces would
        // drown the day's figures.
        Fate::Greedy => script.play(&[Pay(Full)]),
        Fate::SettledOnPlacement => script.refunded(),
        Fate::Presale | Fate::PresaleForfeited | Fate::PresaleMuddled => script.presale(),
        Fate::PaidLate => script.paid_late(),
        Fate::PaidStale => script.paid_stale(),
        Fate::PaidAhead => script.paid_ahead(),
        Fate::Cancelled => script.play(&[Cancel]),
        Fate::CancelledThenPaid => script.play(&[Cancel, Pay(Full)]),
        Fate::PaidThenCancelled => script.play(&[Pay(Full), Cancel]),
        Fate::PaidWrongAmount => script.play(&[Pay(WrongAmount), Pay(Full)]),
        Fate::PaidWrongPart => script.play(&[Pay(DepositUnasked), Pay(Full)]),
        Fate::PaidTwice => script.play(&[Pay(Full), Pay(FullAgain)]),
    }
}

/// The script being written; `at_ms` moves on with every step.
struct Script<'a, P: FnMut(Cue)> {
    world: &'a World,
    order: &'a Order,
    draw: Draw,
    at_ms: u64,
    push: P,
}

impl<P: FnMut(Cue)> Script<'_, P> {
    fn wait(&mut self, from_ms: u64, to_ms: u64) {
        self.at_ms += self.draw.between(from_ms, to_ms);
    }

    /// The time a buyer takes to pay.
    fn wait_for_buyer(&mut self) {
        let settings = &self.world.settings;
        let (quickly, soon) = (settings.pay_quickly_percent, settings.pay_soon_percent);
        let (from_ms, to_ms) = match self.draw.below(100) {
            share if share < quickly => (settings.pay_quickly_ms_min, settings.pay_quickly_ms_max),
            share if share < quickly + soon => {
                (settings.pay_quickly_ms_max, settings.pay_soon_ms_max)
            }
            _ => (settings.pay_soon_ms_max, settings.pay_slowly_ms_max),
        };
        self.wait(from_ms, to_ms);
    }

    /// Sends `sequel` now, its own time a little before.
    fn send(&mut self, sequel: Sequel) {
        let lag_ms = self.draw.below(200).cast_signed();
        self.send_as_of(self.at_ms.cast_signed() - lag_ms, sequel);
    }

    fn send_as_of(&mut self, own_ms: i64, sequel: Sequel) {
        (self.push)(Cue { due_ms: self.at_ms, own_ms, sequel });
    }

    fn pay(&mut self, payment: Payment) {
        self.send(Sequel::Pay(payment));
    }

    /// Sends all of these once the buyer has made up their mind, seconds apart.
    fn play(&mut self, sequels: &[Sequel]) {
        self.wait_for_buyer();
        for &sequel in sequels {
            self.send(sequel);
            self.wait(1, 20_000);
        }
    }

    fn paid(&mut self) {
        self.wait_for_buyer();
        self.pay(Payment::Full);
        self.refunded();
    }

    /// Some settled orders come back, minutes to hours later.
    fn refunded(&mut self) {
        if self.draw.per_mille(self.world.settings.refunded_per_mille) {
            self.wait(self.world.settings.refund_ms_min, self.world.settings.refund_ms_max);
            self.send(Sequel::Refund);
        }
    }

    /// By default all within half an hour, before any balance is due.
    fn presale(&mut self) {
        let muddled = self.order.fate == Fate::PresaleMuddled;
        self.wait(1_000, 60_000);
        if muddled {
            self.pay(Payment::FullForDeposit);
            self.wait(100, 5_000);
            self.pay(Payment::DepositWrongAmount);
            self.wait(100, 5_000);
        }
        self.pay(Payment::Deposit);
        if self.order.fate == Fate::PresaleForfeited {
            return;
        }
        self.wait_for_balance();
        if muddled {
            self.pay(Payment::DepositAgain);
            self.wait(100, 5_000);
            self.pay(Payment::BalanceWrongAmount);
            self.wait(100, 5_000);
        }
        self.pay(Payment::Balance);
        self.refunded();
    }

    /// Balances can be paid from a moment on, and then many are at once.
    fn wait_for_balance(&mut self) {
        let settings = &self.world.settings;
        self.wait(settings.balance_ms_min, settings.balance_ms_max);
        let open_ms = settings.opening_ms + settings.balances_open_ms;
        if self.at_ms < open_ms {
            self.at_ms = open_ms;
            self.wait(0, settings.balances_spread_ms);
        }
    }

    fn paid_late(&mut self) {
        self.at_ms = self.order.expires_ms_max(self.world, self.at_ms);
        self.wait(0, 600_000);
        self.pay(Payment::Full);
    }

    fn paid_stale(&mut self) {
        self.wait_for_buyer();
        let window_ms = self.world.settings.order_window_ms;
        let own_ms = self.at_ms.cast_signed() - window_ms.cast_signed() - 1;
        self.send_as_of(own_ms, Sequel::Pay(Payment::Full));
    }

    fn paid_ahead(&mut self) {
        self.wait_for_buyer();
        let own_ms = (self.at_ms + self.world.settings.skew_ms + 1).cast_signed();
        self.send_as_of(own_ms, Sequel::Pay(Payment::FullOfTheFuture));
        self.wait(1, 20_000);
        self.pay(Payment::Full);
    }
}

impl Payment {
    fn part(self) -> &'static str {
        match self {
            Self::Full
            | Self::FullAgain
            | Self::FullOfTheFuture
            | Self::WrongAmount
            | Self::FullForDeposit => "full",
            Self::DepositUnasked
            | Self::DepositWrongAmount
            | Self::Deposit
            | Self::DepositAgain => "deposit",
            Self::BalanceWrongAmount | Self::Balance => "balance",
        }
    }

    fn amount(self, order: &Order) -> u64 {
        let deposit = order.presale.map_or(0, |presale| presale.deposit);
        match self {
            Self::Full | Self::FullAgain | Self::FullOfTheFuture | Self::FullForDeposit => {
                order.amount()
            }
            Self::WrongAmount => order.amount() + 1,
            Self::DepositUnasked => order.amount() / 10,
            Self::Deposit | Self::DepositAgain => deposit,
            Self::DepositWrongAmount => deposit - 1,
            Self::Balance => order.amount() - deposit,
            Self::BalanceWrongAmount => order.amount(),
        }
    }
}

impl Sequel {
    /// Writes the command; `own_at` is its own time in milliseconds since 1970.
    pub(super) fn write(self, world: &World, order: &Order, own_at: i64, out: &mut Vec<u8>) {
        match self {
            Self::Pay(payment) => write_payment(order, payment, own_at, out),
            Self::Cancel => {
                let merchant = &order.merchant;
                let mut command =
                    Command::begin(out, merchant.style, "order.cancelled", merchant.id);
                command.identifier("order_id", IdSpace::Order, order.number);
                command.end();
            }
            Self::Refund => write_refund(world, order, own_at, out),
        }
    }
}

fn write_payment(order: &Order, payment: Payment, own_at: i64, out: &mut Vec<u8>) {
    let merchant = &order.merchant;
    let mut command = Command::begin(out, merchant.style, "order.paid", merchant.id);
    let number = order.number * PAYMENTS_MAX + payment as u64;
    command.identifier("payment_id", IdSpace::Payment, number);
    command.identifier("order_id", IdSpace::Order, order.number);
    command.unsigned("amount", payment.amount(order));
    let part = payment.part();
    command.optional("part", part == "full", |command| command.text("part", part));
    command.number("paid_at", own_at);
    command.end();
}

/// A refund of everything, of the first line, or of money only. Goods come back to any of the
/// merchant's shelves, as they do where returns have a desk of their own.
fn write_refund(world: &World, order: &Order, own_at: i64, out: &mut Vec<u8>) {
    let mut draw = world.draw(Domain::Refund, order.number);
    let merchant = &order.merchant;
    let restock = draw.per_mille(world.settings.restocked_per_mille);
    let lines = match draw.below(10) {
        0..6 => &order.lines[..],
        6..9 => &order.lines[..1],
        _ => &[],
    };
    let gross: u64 = lines.iter().map(|line| line.qty * line.unit_price).sum();
    let mut command = Command::begin(out, merchant.style, "order.refunded", merchant.id);
    command.identifier("refund_id", IdSpace::Refund, order.number);
    command.identifier("order_id", IdSpace::Order, order.number);
    command.number("refunded_at", own_at);
    let amount = if lines.is_empty() { order.amount() / 20 } else { gross.min(order.amount()) };
    command.unsigned("amount", amount);
    command.name("lines");
    command.open(b'[');
    for line in lines {
        command.open(b'{');
        command.id("sku", line.sku);
        command.id("location", merchant.shelf(&mut draw).into());
        command.unsigned("qty", line.qty);
        command.close(b'}');
    }
    command.close(b']');
    command.optional("restock", !restock, |command| command.truth("restock", restock));
    write_demand(&mut command, order.channel, order.region, order.rural);
    command.end();
}
