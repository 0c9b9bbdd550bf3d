//! All that reaches the topic beside orders and what follows them: top-ups, moves, corrections and
//! changes of the catalogue in the midst of the sale, and everything that goes wrong upstream:
//! broken values, wrong keys, clocks that are off. They come round in a fixed order, so that each
//! occurs however short the run.

use super::catalogue::{Receipt, write_listing, write_location};
use super::draw::{Domain, Draw};
use super::json::{Command, IdSpace};
use super::malformed::{MALFORMED, write_malformed};
use super::world::{Merchant, RECEIPT_UNITS_MAX, Sku, World};
use super::{Kind, Route};

/// Numbers of asides' receipts and of orders that never were, beyond those in use.
const FRESH: u64 = 1 << 50;
/// The largest value that is read, in bytes.
const VALUE_BYTES_MAX: usize = 262_144;
/// Lines of an order, one more than the contract allows.
const LINES_TOO_MANY: usize = 101;

/// One kind of aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Aside {
    TopUp,
    Move,
    Correction,
    Withdraw,
    CloseLocation,
    ChangeListing,
    OpenDepot,
    LivestreamStock,
    PayUnknownOrder,
    CancelUnknownOrder,
    RefundUnknownOrder,
    LatePayment,
    LateRefund,
    LateReceipt,
    LateMove,
    AheadPayment,
    AheadRefund,
    AheadReceipt,
    AheadMove,
    Underflow,
    MoveUnderflow,
    Overflow,
    RestockOverflow,
    KeyOfAnother,
    KeyPadded,
    KeyMissing,
    OtherPartition,
    WithoutValue,
    StrayTick,
    TooManyLines,
    Malformed(u16),
    Largest,
    Oversized,
    Relist,
    Reopen,
}

/// Asides of a healthy business.
const BUSINESS: [Aside; 8] = [
    Aside::TopUp,
    Aside::Move,
    Aside::TopUp,
    Aside::Withdraw,
    Aside::Correction,
    Aside::ChangeListing,
    Aside::CloseLocation,
    Aside::OpenDepot,
];

/// Asides of everything that goes wrong, before the malformed values.
const MISCHIEF: [Aside; 22] = [
    Aside::PayUnknownOrder,
    Aside::CancelUnknownOrder,
    Aside::RefundUnknownOrder,
    Aside::LatePayment,
    Aside::LateRefund,
    Aside::LateReceipt,
    Aside::LateMove,
    Aside::AheadPayment,
    Aside::AheadRefund,
    Aside::AheadReceipt,
    Aside::AheadMove,
    Aside::Underflow,
    Aside::MoveUnderflow,
    Aside::Overflow,
    Aside::RestockOverflow,
    Aside::KeyOfAnother,
    Aside::KeyPadded,
    Aside::KeyMissing,
    Aside::OtherPartition,
    Aside::WithoutValue,
    Aside::StrayTick,
    Aside::TooManyLines,
];

/// When asides have come round once: business and mischief take turns.
pub(super) const ROUND: u64 = 2 * (MISCHIEF.len() + MALFORMED.len()) as u64;

impl Aside {
    /// The aside of this number.
    pub(super) fn of(number: u64) -> Self {
        let turn = (number / 2) as usize;
        if number.is_multiple_of(2) {
            return BUSINESS[turn % BUSINESS.len()];
        }
        let place = turn % (MISCHIEF.len() + MALFORMED.len());
        match MISCHIEF.get(place) {
            Some(&mischief) => mischief,
            None => Self::Malformed((place - MISCHIEF.len()) as u16),
        }
    }

    /// A command that comes too late.
    pub(super) fn late(draw: &mut Draw) -> Self {
        draw.pick(&[Self::LatePayment, Self::LateRefund, Self::LateReceipt, Self::LateMove])
    }

    /// A value that breaks the contract.
    pub(super) fn malformed(draw: &mut Draw) -> Self {
        Self::Malformed(draw.below(MALFORMED.len() as u64) as u16)
    }

    /// How far the command's own time lies before its coming; negative if after.
    pub(super) fn lag_ms(self, world: &World) -> i64 {
        let settings = &world.settings;
        match self {
            Self::LatePayment => settings.order_window_ms.cast_signed() + 1,
            Self::LateRefund | Self::LateReceipt | Self::LateMove => {
                settings.refund_window_ms.cast_signed() + 1
            }
            Self::AheadPayment | Self::AheadRefund | Self::AheadReceipt | Self::AheadMove => {
                -settings.skew_ms.cast_signed() - 1
            }
            _ => 5,
        }
    }

    /// What sets right again what this aside did, and after how many milliseconds.
    pub(super) fn amends(self) -> Option<(Self, u64)> {
        match self {
            Self::Withdraw => Some((Self::Relist, 1_500)),
            Self::CloseLocation => Some((Self::Reopen, 2_500)),
            _ => None,
        }
    }

    /// What it is, as long as its own time is in order.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::TopUp
            | Self::LateReceipt
            | Self::AheadReceipt
            | Self::LivestreamStock
            | Self::Correction
            | Self::Underflow
            | Self::Overflow => Kind::StockReceived,
            Self::Move | Self::LateMove | Self::AheadMove | Self::MoveUnderflow => Kind::StockMoved,
            Self::Withdraw => Kind::SkuWithdrawn,
            Self::ChangeListing | Self::Relist => Kind::SkuListed,
            Self::CloseLocation => Kind::LocationClosed,
            Self::OpenDepot | Self::Reopen => Kind::LocationOpened,
            Self::PayUnknownOrder | Self::LatePayment | Self::AheadPayment => Kind::OrderPaid,
            Self::CancelUnknownOrder | Self::Largest => Kind::OrderCancelled,
            Self::RefundUnknownOrder
            | Self::LateRefund
            | Self::AheadRefund
            | Self::RestockOverflow => Kind::OrderRefunded,
            Self::Oversized => Kind::Oversized,
            Self::KeyOfAnother | Self::KeyPadded | Self::KeyMissing | Self::OtherPartition => {
                Kind::Misrouted
            }
            Self::WithoutValue => Kind::WithoutValue,
            Self::StrayTick => Kind::Tick,
            Self::TooManyLines | Self::Malformed(_) => Kind::Malformed,
        }
    }

    /// Where it goes and under which key.
    pub(super) fn route(self) -> Route {
        match self {
            Self::KeyOfAnother => Route::KeyOfAnother,
            Self::KeyPadded => Route::KeyPadded,
            Self::KeyMissing | Self::StrayTick => Route::KeyMissing,
            Self::OtherPartition => Route::OtherPartition,
            _ => Route::Straight,
        }
    }

    /// Whose record aside `number` is.
    pub(super) fn merchant(self, world: &World, number: u64) -> Merchant {
        self.goods(world, number, &mut world.draw(Domain::Aside, number)).0
    }

    /// What it is about: the first that is drawn of it.
    fn goods(self, world: &World, number: u64, draw: &mut Draw) -> (Merchant, Sku) {
        match self {
            Self::Overflow | Self::RestockOverflow => world.voucher(),
            Self::LivestreamStock => world.livestream(number),
            // Of anyone's goods and stores: were it the popular ones', the whole sale would suffer.
            Self::Withdraw | Self::Relist | Self::CloseLocation | Self::Reopen => {
                let merchant = world.any_merchant(draw);
                (merchant, world.popular_sku(&merchant, draw))
            }
            _ => {
                let merchant = world.popular_merchant(draw);
                (merchant, world.popular_sku(&merchant, draw))
            }
        }
    }

    /// Writes the value of aside `number`; `own_at` is its own time in milliseconds since 1970.
    pub(super) fn write(self, world: &World, number: u64, own_at: i64, out: &mut Vec<u8>) {
        Scene::of(self, world, number, own_at, out).write(self, number);
    }
}

/// The merchant, goods and chance of one aside.
struct Scene<'a> {
    world: &'a World,
    merchant: Merchant,
    sku: Sku,
    draw: Draw,
    /// A number no order, payment, refund or receipt has.
    fresh: u64,
    own_at: i64,
    out: &'a mut Vec<u8>,
}

impl<'a> Scene<'a> {
    fn of(aside: Aside, world: &'a World, number: u64, own_at: i64, out: &'a mut Vec<u8>) -> Self {
        let mut draw = world.draw(Domain::Aside, number);
        let (merchant, sku) = aside.goods(world, number, &mut draw);
        // Livestreams and large values are numbered apart from the asides of the round.
        let fresh = match aside {
            Aside::LivestreamStock => FRESH * 2 + number,
            Aside::Largest | Aside::Oversized => FRESH * 3 + number,
            _ => FRESH + number,
        };
        Self { world, merchant, sku, draw, fresh, own_at, out }
    }

    fn write(&mut self, aside: Aside, number: u64) {
        match aside {
            Aside::TopUp | Aside::LateReceipt | Aside::AheadReceipt => {
                let units = self.draw.between(10, 200).cast_signed();
                let shelf = self.merchant.shelf(&mut self.draw);
                self.receive(units, shelf);
            }
            Aside::LivestreamStock => self.receive_for_livestream(),
            Aside::Correction => self.receive(-1, self.merchant.locations.min(1)),
            Aside::Underflow => self.receive(-RECEIPT_UNITS_MAX.cast_signed(), 0),
            Aside::Overflow => self.receive(RECEIPT_UNITS_MAX.cast_signed(), 0),
            Aside::Move | Aside::LateMove | Aside::AheadMove => {
                let units = self.draw.between(1, 5);
                self.relocate(units);
            }
            Aside::MoveUnderflow => self.relocate(RECEIPT_UNITS_MAX),
            Aside::Withdraw | Aside::ChangeListing | Aside::Relist => self.list(aside),
            Aside::CloseLocation | Aside::OpenDepot | Aside::Reopen => self.locate(aside),
            Aside::PayUnknownOrder | Aside::LatePayment | Aside::AheadPayment => self.pay(),
            Aside::CancelUnknownOrder => self.cancel(None),
            Aside::Largest => self.cancel(Some(VALUE_BYTES_MAX)),
            Aside::Oversized => self.cancel(Some(VALUE_BYTES_MAX + 1)),
            Aside::RefundUnknownOrder | Aside::LateRefund | Aside::AheadRefund => self.refund(0),
            Aside::RestockOverflow => self.refund(1),
            Aside::KeyOfAnother | Aside::KeyPadded | Aside::KeyMissing | Aside::OtherPartition => {
                self.receive(1, self.merchant.locations.min(1));
            }
            Aside::WithoutValue => {}
            Aside::StrayTick => {
                self.out.extend_from_slice(br#"{"type":"tick","merchant_id":"no matter"}"#);
            }
            Aside::TooManyLines => self.place_too_many_lines(),
            Aside::Malformed(index) => {
                write_malformed(MALFORMED[usize::from(index)], self.merchant.id, number, self.out);
            }
        }
    }

    fn begin(&mut self, kind: &'static str) -> Command<'_> {
        Command::begin(self.out, self.merchant.style, kind, self.merchant.id)
    }

    fn receive(&mut self, qty: i64, location: u32) {
        let receipt = Receipt {
            number: self.fresh,
            received_at: self.own_at,
            sku: self.sku.id,
            qty,
            location,
        };
        receipt.write(&self.merchant, self.out);
    }

    /// Enough for nearly all that the livestream will draw.
    fn receive_for_livestream(&mut self) {
        let orders = self.world.livestream_every() / 10;
        let units = orders * u64::from(self.world.settings.livestream_orders_per_mille) / 1000;
        let units = (units * 3 / 2).clamp(1, RECEIPT_UNITS_MAX);
        self.receive(units.cast_signed(), self.merchant.locations.min(1));
    }

    fn relocate(&mut self, units: u64) {
        let from = self.merchant.shelf(&mut self.draw);
        let to = if from == 0 { 1 } else { from - 1 };
        let (fresh, own_at, sku) = (self.fresh, self.own_at, self.sku.id);
        let mut command = self.begin("stock.moved");
        command.identifier("receipt_id", IdSpace::Receipt, fresh);
        command.number("received_at", own_at);
        command.id("sku", sku);
        command.id("from", from.into());
        command.id("to", to.into());
        command.unsigned("qty", units);
        command.end();
    }

    fn list(&mut self, aside: Aside) {
        if aside == Aside::Withdraw {
            let sku = self.sku.id;
            let mut command = self.begin("sku.withdrawn");
            command.id("sku", sku);
            command.end();
            return;
        }
        let mut sku = self.sku;
        if aside == Aside::ChangeListing {
            sku.limit = self.draw.pick(&[0, 0, 6, 20]);
            sku.safety = self.draw.pick(&[0, 0, 1, 3]);
        }
        write_listing(&self.merchant, &sku, self.out);
    }

    /// Opens or closes a location. A depot comes without stock.
    fn locate(&mut self, aside: Aside) {
        let number = match aside {
            Aside::OpenDepot => self.merchant.locations + 1,
            _ => self.merchant.store().unwrap_or(1),
        };
        if aside == Aside::CloseLocation {
            let mut command = self.begin("location.closed");
            command.id("location", number.into());
            command.end();
            return;
        }
        let location = self.world.location(&self.merchant, number);
        write_location(&self.merchant, &location, self.out);
    }

    fn pay(&mut self) {
        let (fresh, own_at, amount) = (self.fresh, self.own_at, self.sku.price);
        let mut command = self.begin("order.paid");
        command.identifier("payment_id", IdSpace::Payment, fresh);
        command.identifier("order_id", IdSpace::Order, fresh);
        command.unsigned("amount", amount);
        command.number("paid_at", own_at);
        command.end();
    }

    /// Cancels an order that never was, in a value of so many bytes or of the depth allowed.
    fn cancel(&mut self, bytes: Option<usize>) {
        const DEEPEST: &[u8] = b",\"deep\":\
            [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}";
        let fresh = self.fresh;
        let start = self.out.len();
        let mut command = self.begin("order.cancelled");
        command.identifier("order_id", IdSpace::Order, fresh);
        command.end();
        let end = self.out.iter().rposition(|&byte| byte == b'}').unwrap_or(start);
        self.out.truncate(end);
        match bytes {
            None => self.out.extend_from_slice(DEEPEST),
            Some(bytes) => {
                self.out.extend_from_slice(b",\"photo\":\"");
                self.out.resize(start + bytes - 2, b'A');
                self.out.extend_from_slice(b"\"}");
            }
        }
    }

    fn refund(&mut self, units: u64) {
        let (fresh, own_at, sku) = (self.fresh, self.own_at, self.sku);
        let mut command = self.begin("order.refunded");
        command.identifier("refund_id", IdSpace::Refund, fresh);
        command.identifier("order_id", IdSpace::Order, fresh);
        command.number("refunded_at", own_at);
        command.unsigned("amount", sku.price);
        command.name("lines");
        command.open(b'[');
        if units > 0 {
            command.open(b'{');
            command.id("sku", sku.id);
            command.id("location", 0);
            command.unsigned("qty", units);
            command.close(b'}');
        }
        command.close(b']');
        command.truth("restock", units > 0);
        command.end();
    }

    fn place_too_many_lines(&mut self) {
        let (fresh, own_at, sku) = (self.fresh, self.own_at, self.sku);
        let mut command = self.begin("order.placed");
        command.identifier("order_id", IdSpace::Order, fresh);
        command.id("buyer_id", 1);
        command.number("placed_at", own_at);
        command.name("lines");
        command.open(b'[');
        for _ in 0..LINES_TOO_MANY {
            command.open(b'{');
            command.id("sku", sku.id);
            command.unsigned("qty", 1);
            command.unsigned("unit_price", sku.price);
            command.close(b'}');
        }
        command.close(b']');
        command.end();
    }
}
