//! A command as one line of text with every default filled in: what another decoder is held against.
//!
//! Not an input format, and nothing reads it back. Invariant: two values have the same line exactly
//! if the contract's sections 2 and 3 make the same command of them.

use crate::command::{Command, Decoded, OrderPlaced, OrderRefunded, Origin};
use crate::decode::decode;

/// The command that a value of at most 262,144 bytes decodes to, the merchant first; none if it is
/// `invalid`.
pub fn canonical(value: &[u8]) -> Option<String> {
    Some(match decode(Some(value)).ok()? {
        Decoded::Tick => "tick".to_owned(),
        Decoded::ForMerchant { merchant_id, command } => {
            format!("{merchant_id} {}", text(&command))
        }
    })
}

fn text(command: &Command) -> String {
    match command {
        Command::OrderPlaced(order) => placed(order),
        Command::OrderPaid(paid) => format!(
            "order.paid {} order={} amount={} part={:?} at={}",
            paid.payment_id, paid.order_id, paid.amount, paid.part, paid.paid_at
        ),
        Command::OrderCancelled { order_id } => format!("order.cancelled {order_id}"),
        Command::OrderRefunded(refund) => refunded(refund),
        Command::StockReceived(received) => format!(
            "stock.received {} sku={} location={} qty={} at={}",
            received.receipt_id,
            received.sku,
            received.location,
            received.qty,
            received.received_at
        ),
        Command::StockMoved(moved) => format!(
            "stock.moved {} sku={} from={} to={} qty={} at={}",
            moved.receipt_id, moved.sku, moved.from, moved.to, moved.qty, moved.received_at
        ),
        Command::SkuListed(listed) => format!(
            "sku.listed {} category={} limit={} safety={}",
            listed.sku, listed.category, listed.per_buyer_limit, listed.safety_stock
        ),
        Command::SkuWithdrawn { sku } => format!("sku.withdrawn {sku}"),
        Command::LocationOpened(opened) => format!(
            "location.opened {} region={} priority={} ships={} pickup={}",
            opened.location, opened.region, opened.priority, opened.ships, opened.pickup
        ),
        Command::LocationClosed { location } => format!("location.closed {location}"),
    }
}

fn placed(order: &OrderPlaced) -> String {
    let mut text = format!(
        "order.placed {} buyer={} amount={} discount={} {} pickup={:?} on_placement={} pay_by={:?} \
         presale={:?} at={}",
        order.order_id,
        order.buyer_id,
        order.amount(),
        order.discount,
        origin(&order.origin),
        order.pickup,
        order.on_placement,
        order.pay_by,
        order.presale.map(|presale| (presale.deposit, presale.balance_due)),
        order.placed_at
    );
    for line in &order.lines {
        text += &format!(" {}*{}@{}", line.qty, line.sku, line.unit_price);
    }
    text
}

fn refunded(refund: &OrderRefunded) -> String {
    let mut text = format!(
        "order.refunded {} order={} amount={} restock={} {} at={}",
        refund.refund_id,
        refund.order_id,
        refund.amount,
        refund.restock,
        origin(&refund.origin),
        refund.refunded_at
    );
    for line in &refund.lines {
        text += &format!(" {}*{}@{}", line.qty, line.sku, line.location);
    }
    text
}

fn origin(origin: &Origin) -> String {
    format!("{}/{}/{}", origin.channel, origin.region, origin.area)
}
