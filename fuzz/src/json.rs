//! The fast decoder of commands against the plain model's: the same accepted, the same refused, the
//! same command.
//!
//! Not the routing of records, which needs no bytes to be read. Invariant: nothing of the fast
//! decoder is used to say what the right answer is.

use std::cell::RefCell;

use ledger::command::{Command, Fulfilment, OrderPlaced, OrderRefunded, Settle};
use ledger::effect::DeadLetter;
use ledger::rules::Partitioner;
use ledger::units::{Channel, Offset, Region};
use wire::decode::VALUE_BYTES_MAX;
use wire::{Decoder, NoHeaders, Record, Refused, Route, Scratch, Why};

thread_local! {
    /// One for all values, so that what it learned from one must not change the next.
    static DECODER: RefCell<Decoder> = RefCell::new(Decoder::new(Route {
        partition: 0,
        partitions: 1,
        partitioner: Partitioner::Murmur2,
    }));
}

/// Panics unless both decoders make the same of these bytes, and the refusal can be read.
pub fn fuzz_json(bytes: &[u8]) {
    let value = &bytes[..bytes.len().min(VALUE_BYTES_MAX)];
    let fast = DECODER.with_borrow_mut(|decoder| fast(decoder, value));
    let plain = model::canonical(value);
    let shown = String::from_utf8_lossy(value);
    match &fast {
        Ok(command) => assert_eq!(Some(command), plain.as_ref(), "{shown}"),
        Err(refused) => {
            assert_eq!(plain, None, "refused as {refused}: {shown}");
            assert_eq!(refused.code, DeadLetter::Invalid, "{shown}");
            assert!(refused.to_string().len() < 400, "the text of a refusal is bounded: {refused}");
        }
    }
}

/// A command's key is not known here: a valid one that is misrouted needs that of the merchant whom the
/// refusal names.
fn fast(decoder: &mut Decoder, value: &[u8]) -> Result<String, Refused> {
    let scratch = Scratch::new();
    let mut decode = |key: &[u8]| {
        let record = Record {
            partition: 0,
            offset: Offset(0),
            timestamp: 0,
            key: Some(key),
            value: Some(value),
            headers: &NoHeaders,
        };
        decoder.decode(&record, &scratch).map(|command| canonical(&command))
    };
    match decode(likely_key(value)) {
        Err(Refused { why: Why::WrongKey { merchant }, .. }) => {
            decode(merchant.0.to_string().as_bytes())
        }
        decided => decided,
    }
}

/// The digits behind the first `merchant_id`, without zeros before them: the key, as a rule. With a wrong
/// one a command is not read by the layout of another.
fn likely_key(value: &[u8]) -> &[u8] {
    const NAME: &[u8] = b"merchant_id";
    let at = value.windows(NAME.len()).position(|bytes| bytes == NAME);
    let behind = at.map_or(&[][..], |at| &value[at + NAME.len()..]);
    let start = behind.iter().position(|byte| (b'1'..=b'9').contains(byte));
    let digits = &behind[start.unwrap_or(behind.len())..];
    &digits[..digits.iter().take_while(|byte| byte.is_ascii_digit()).count()]
}

/// The same line as [`model::canonical`] has for the same command.
fn canonical(command: &Command<'_>) -> String {
    match command {
        Command::OrderPlaced(order) => placed(order),
        Command::OrderPaid(paid) => format!(
            "{} order.paid {} order={} amount={} part={:?} at={}",
            paid.merchant.0,
            paid.payment_id.as_str(),
            paid.order_id.as_str(),
            paid.amount.0,
            paid.part,
            paid.paid_at.0
        ),
        Command::OrderCancelled { merchant, order_id } => {
            format!("{} order.cancelled {}", merchant.0, order_id.as_str())
        }
        Command::OrderRefunded(refund) => refunded(refund),
        Command::StockReceived(received) => format!(
            "{} stock.received {} sku={} location={} qty={} at={}",
            received.merchant.0,
            received.receipt_id.as_str(),
            received.sku.0,
            received.location.0,
            received.qty,
            received.received_at.0
        ),
        Command::StockMoved(moved) => format!(
            "{} stock.moved {} sku={} from={} to={} qty={} at={}",
            moved.merchant.0,
            moved.receipt_id.as_str(),
            moved.sku.0,
            moved.from.0,
            moved.to.0,
            moved.qty.0,
            moved.received_at.0
        ),
        Command::SkuListed(listed) => format!(
            "{} sku.listed {} category={} limit={} safety={}",
            listed.merchant.0,
            listed.sku.0,
            listed.category.as_str(),
            listed.per_buyer_limit.0,
            listed.safety_stock.0
        ),
        Command::SkuWithdrawn { merchant, sku } => {
            format!("{} sku.withdrawn {}", merchant.0, sku.0)
        }
        Command::LocationOpened(opened) => format!(
            "{} location.opened {} region={:06} priority={} ships={} pickup={}",
            opened.merchant.0,
            opened.location.0,
            opened.region.code(),
            opened.priority,
            opened.ships,
            opened.pickup
        ),
        Command::LocationClosed { merchant, location } => {
            format!("{} location.closed {}", merchant.0, location.0)
        }
        Command::Tick => "tick".to_owned(),
    }
}

fn placed(order: &OrderPlaced<'_>) -> String {
    let pickup = match order.fulfilment {
        Fulfilment::Ship => None,
        Fulfilment::Pickup(location) => Some(location.0),
    };
    let mut text = format!(
        "{} order.placed {} buyer={} amount={} discount={} {} pickup={pickup:?} on_placement={} \
         pay_by={:?} presale={:?} at={}",
        order.merchant.0,
        order.order_id.as_str(),
        order.buyer.0,
        order.amount.0,
        order.discount.0,
        origin(order.channel, order.region, order.rural),
        order.settle == Settle::OnPlacement,
        order.pay_by.map(|at| at.0),
        order.presale.map(|presale| (presale.deposit.0, presale.balance_due.0)),
        order.placed_at.0
    );
    for line in order.lines {
        text += &format!(" {}*{}@{}", line.qty.0, line.sku.0, line.unit_price.0);
    }
    text
}

fn refunded(refund: &OrderRefunded<'_>) -> String {
    let mut text = format!(
        "{} order.refunded {} order={} amount={} restock={} {} at={}",
        refund.merchant.0,
        refund.refund_id.as_str(),
        refund.order_id.as_str(),
        refund.amount.0,
        refund.restock,
        origin(refund.channel, refund.region, refund.rural),
        refund.refunded_at.0
    );
    for line in refund.lines {
        text += &format!(" {}*{}@{}", line.qty.0, line.sku.0, line.location.0);
    }
    text
}

fn origin(channel: Channel, region: Region, rural: bool) -> String {
    let area = if rural { "rural" } else { "urban" };
    format!("{}/{:06}/{area}", channel.name(), region.code())
}
