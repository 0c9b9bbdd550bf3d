//! The slow, obvious decoder: serde_json reads the text into a tree, and each rule of the contract's
//! sections 2 and 3 is written down once. It shares no code with the fast one.

use std::fmt;

use ledger::command::{
    Command, ExternalId, Fulfilment, Line, LocationOpened, OrderPaid, OrderPlaced, OrderRefunded,
    Part, Presale, RefundLine, Settle, SkuListed, StockMoved, StockReceived,
};
use ledger::units::{
    BuyerId, Category, Channel, LocationId, MerchantId, Millis, Money, Region, SkuId, Units,
};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

const MAX: i128 = 1_000_000_000_000_000;

/// A JSON value with every member of its objects, in order, and its numbers as they are written.
enum Node {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// The members of an object, repeated ones too.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// `None`: not valid, or nested deeper than 32.
fn node(text: &str, depth: u32) -> Option<Node> {
    let container = matches!(text.as_bytes().first(), Some(b'{' | b'['));
    if container && depth >= 32 {
        return None;
    }
    Some(match text.as_bytes().first()? {
        b'n' => Node::Null,
        b't' => Node::Bool(true),
        b'f' => Node::Bool(false),
        b'"' => Node::Text(serde_json::from_str(text).ok()?),
        b'[' => {
            let items = serde_json::from_str::<Vec<Box<RawValue>>>(text).ok()?;
            let nodes = items.iter().map(|item| node(item.get(), depth + 1));
            Node::List(nodes.collect::<Option<_>>()?)
        }
        b'{' => {
            let Members(members) = serde_json::from_str(text).ok()?;
            let nodes = members
                .into_iter()
                .map(|(name, value)| Some((name, node(value.get(), depth + 1)?)));
            Node::Object(nodes.collect::<Option<_>>()?)
        }
        _ => Node::Number(text.to_owned()),
    })
}

/// An object whose listed fields stand at most once.
struct Object<'n>(Vec<(&'n str, &'n Node)>);

impl<'n> Object<'n> {
    fn new(node: &'n Node, listed: &[&str]) -> Option<Object<'n>> {
        let Node::Object(members) = node else { return None };
        let mut fields = Vec::new();
        for (name, value) in members.iter().filter(|(name, _)| listed.contains(&name.as_str())) {
            if fields.iter().any(|(field, _)| field == name) {
                return None;
            }
            fields.push((name.as_str(), value));
        }
        Some(Object(fields))
    }

    /// The outer `None`: not allowed; the inner: absent or `null`.
    fn optional<T>(
        &self,
        name: &str,
        read: impl FnOnce(&'n Node) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.0.iter().find(|(field, _)| *field == name) {
            None | Some((_, Node::Null)) => Some(None),
            Some((_, value)) => read(value).map(Some),
        }
    }

    fn required<T>(&self, name: &str, read: impl FnOnce(&'n Node) -> Option<T>) -> Option<T> {
        self.optional(name, read)?
    }
}

fn text(node: &Node) -> Option<&str> {
    if let Node::Text(text) = node { Some(text) } else { None }
}

fn boolean(node: &Node) -> Option<bool> {
    if let Node::Bool(value) = node { Some(*value) } else { None }
}

fn integer(node: &Node, min: i128, max: i128) -> Option<i128> {
    let Node::Number(written) = node else { return None };
    let plain = written != "-0" && !written.contains(['.', 'e', 'E']);
    let value = if plain { written.parse().ok()? } else { return None };
    (min..=max).contains(&value).then_some(value)
}

fn id(node: &Node, max: i128) -> Option<u64> {
    if let Node::Text(digits) = node {
        let form = (1..=39).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit());
        let value = if form { digits.parse::<u128>().ok()? } else { return None };
        return u64::try_from(value).ok().filter(|value| i128::from(*value) <= max);
    }
    integer(node, 0, max).map(|value| value as u64)
}

fn id_64(node: &Node) -> Option<u64> {
    id(node, i128::from(u64::MAX))
}

fn id_32(node: &Node) -> Option<u32> {
    id(node, i128::from(u32::MAX)).map(|value| value as u32)
}

fn external_id(node: &Node) -> Option<ExternalId<'_>> {
    text(node).and_then(ExternalId::new)
}

fn money(node: &Node) -> Option<Money> {
    integer(node, 0, MAX).map(|value| Money(value as u64))
}

fn millis(node: &Node) -> Option<Millis> {
    integer(node, 0, MAX).map(|value| Millis(value as u64))
}

fn units(min: i128, max: i128) -> impl Fn(&Node) -> Option<Units> {
    move |node| integer(node, min, max).map(|value| Units(value as u32))
}

fn region(node: &Node) -> Option<Region> {
    let code = text(node)?;
    let form = code.len() == 6 && code.chars().all(|c| c.is_ascii_digit());
    if form { Region::new(code.parse().ok()?) } else { None }
}

fn one_of<T: Copy>(names: &[(&str, T)], node: &Node) -> Option<T> {
    let text = text(node)?;
    names.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
}

fn rural(node: &Node) -> Option<bool> {
    one_of(&[("urban", false), ("rural", true)], node)
}

fn channel(node: &Node) -> Option<Channel> {
    text(node).map(Channel::from_name)
}

fn list<T>(node: &Node, min: usize, read: impl Fn(&Node) -> Option<T>) -> Option<Vec<T>> {
    let Node::List(items) = node else { return None };
    if !(min..=100).contains(&items.len()) {
        return None;
    }
    items.iter().map(read).collect()
}

fn line(node: &Node) -> Option<Line> {
    let line = Object::new(node, &["sku", "qty", "unit_price"])?;
    Some(Line {
        sku: SkuId(line.required("sku", id_64)?),
        qty: line.required("qty", units(1, 1_000_000))?,
        unit_price: line.required("unit_price", money)?,
    })
}

fn refund_line(node: &Node) -> Option<RefundLine> {
    let line = Object::new(node, &["sku", "location", "qty"])?;
    Some(RefundLine {
        sku: SkuId(line.required("sku", id_64)?),
        location: LocationId(line.required("location", id_32)?),
        qty: line.required("qty", units(1, 1_000_000))?,
    })
}

fn fulfilment(node: &Node) -> Option<Fulfilment> {
    let fulfilment = Object::new(node, &["mode", "location"])?;
    let modes = [("ship", false), ("pickup", true)];
    let pickup = fulfilment.optional("mode", |node| one_of(&modes, node))?.unwrap_or(false);
    let location = fulfilment.optional("location", id_32)?;
    if pickup { Some(Fulfilment::Pickup(LocationId(location?))) } else { Some(Fulfilment::Ship) }
}

fn presale(node: &Node) -> Option<Presale> {
    let presale = Object::new(node, &["deposit", "balance_due"])?;
    Some(Presale {
        deposit: presale.required("deposit", money)?,
        balance_due: presale.required("balance_due", millis)?,
    })
}

/// What the contract's section 3 makes of a value, as the text of the command; `None`: invalid.
pub(crate) fn decode(value: &[u8]) -> Option<String> {
    let value = std::str::from_utf8(value).ok()?;
    if !value.starts_with('{') {
        return None;
    }
    let raw = serde_json::from_str::<&RawValue>(value).ok()?;
    let node = node(raw.get(), 0)?;
    let head = Object::new(&node, &["type"])?;
    let listed: &[&str] = match head.required("type", text)? {
        "order.placed" => &[
            "type",
            "merchant_id",
            "order_id",
            "buyer_id",
            "placed_at",
            "lines",
            "channel",
            "region",
            "area",
            "discount",
            "fulfilment",
            "settle",
            "pay_by",
            "presale",
        ],
        "order.paid" => {
            &["type", "merchant_id", "payment_id", "order_id", "amount", "paid_at", "part"]
        }
        "order.cancelled" => &["type", "merchant_id", "order_id"],
        "order.refunded" => &[
            "type",
            "merchant_id",
            "refund_id",
            "order_id",
            "refunded_at",
            "amount",
            "lines",
            "restock",
            "channel",
            "region",
            "area",
        ],
        "stock.received" => {
            &["type", "merchant_id", "receipt_id", "received_at", "sku", "qty", "location"]
        }
        "stock.moved" => {
            &["type", "merchant_id", "receipt_id", "received_at", "sku", "from", "to", "qty"]
        }
        "sku.listed" => {
            &["type", "merchant_id", "sku", "category", "per_buyer_limit", "safety_stock"]
        }
        "sku.withdrawn" => &["type", "merchant_id", "sku"],
        "location.opened" => {
            &["type", "merchant_id", "location", "kind", "region", "priority", "ships", "pickup"]
        }
        "location.closed" => &["type", "merchant_id", "location"],
        "tick" => return Some(format!("{:?}", Command::Tick)),
        _ => return None,
    };
    let command = Object::new(&node, listed)?;
    let merchant = MerchantId(command.required("merchant_id", id_64)?);
    match head.required("type", text)? {
        "order.placed" => order_placed(&command, merchant),
        "order.refunded" => order_refunded(&command, merchant),
        other => small(other, &command, merchant).map(|command| format!("{command:?}")),
    }
}

fn order_placed(command: &Object<'_>, merchant: MerchantId) -> Option<String> {
    let lines = command.required("lines", |node| list(node, 1, line))?;
    let gross =
        lines.iter().map(|line| i128::from(line.qty.0) * i128::from(line.unit_price.0)).sum();
    let discount = command.optional("discount", money)?.unwrap_or(Money(0));
    if gross > MAX || i128::from(discount.0) > gross {
        return None;
    }
    let amount = Money((gross - i128::from(discount.0)) as u64);
    let settles = [("on_payment", Settle::OnPayment), ("on_placement", Settle::OnPlacement)];
    let settle = command.optional("settle", |node| one_of(&settles, node))?;
    let settle = settle.unwrap_or(Settle::OnPayment);
    let presale = command.optional("presale", presale)?;
    if presale.is_some_and(|presale| {
        settle == Settle::OnPlacement || !(1..amount.0).contains(&presale.deposit.0)
    }) {
        return None;
    }
    let order = OrderPlaced {
        merchant,
        order_id: command.required("order_id", external_id)?,
        buyer: BuyerId(command.required("buyer_id", id_64)?),
        placed_at: command.required("placed_at", millis)?,
        lines: &lines,
        amount,
        discount,
        channel: command.optional("channel", channel)?.unwrap_or_default(),
        region: command.optional("region", region)?.unwrap_or_default(),
        rural: command.optional("area", rural)?.unwrap_or(false),
        fulfilment: command.optional("fulfilment", fulfilment)?.unwrap_or(Fulfilment::Ship),
        settle,
        pay_by: command.optional("pay_by", millis)?,
        presale,
    };
    Some(format!("{:?}", Command::OrderPlaced(order)))
}

fn order_refunded(command: &Object<'_>, merchant: MerchantId) -> Option<String> {
    let lines = command.required("lines", |node| list(node, 0, refund_line))?;
    let refund = OrderRefunded {
        merchant,
        refund_id: command.required("refund_id", external_id)?,
        order_id: command.required("order_id", external_id)?,
        refunded_at: command.required("refunded_at", millis)?,
        amount: command.required("amount", money)?,
        lines: &lines,
        restock: command.optional("restock", boolean)?.unwrap_or(false),
        channel: command.optional("channel", channel)?.unwrap_or_default(),
        region: command.optional("region", region)?.unwrap_or_default(),
        rural: command.optional("area", rural)?.unwrap_or(false),
    };
    Some(format!("{:?}", Command::OrderRefunded(refund)))
}

fn small<'n>(name: &str, command: &Object<'n>, merchant: MerchantId) -> Option<Command<'n>> {
    let sku = || command.required("sku", id_64).map(SkuId);
    let order_id = || command.required("order_id", external_id);
    let opened = || command.required("location", id_32).filter(|id| *id > 0).map(LocationId);
    Some(match name {
        "order.paid" => {
            let parts =
                [("full", Part::Full), ("deposit", Part::Deposit), ("balance", Part::Balance)];
            Command::OrderPaid(OrderPaid {
                merchant,
                payment_id: command.required("payment_id", external_id)?,
                order_id: order_id()?,
                amount: command.required("amount", money)?,
                part: command.optional("part", |node| one_of(&parts, node))?.unwrap_or(Part::Full),
                paid_at: command.required("paid_at", millis)?,
            })
        }
        "order.cancelled" => Command::OrderCancelled { merchant, order_id: order_id()? },
        "stock.received" => Command::StockReceived(StockReceived {
            merchant,
            receipt_id: command.required("receipt_id", external_id)?,
            received_at: command.required("received_at", millis)?,
            sku: sku()?,
            location: LocationId(command.optional("location", id_32)?.unwrap_or(0)),
            qty: command
                .required("qty", |node| integer(node, -1_000_000_000, 1_000_000_000))
                .filter(|qty| *qty != 0)? as i64,
        }),
        "stock.moved" => Command::StockMoved(StockMoved {
            merchant,
            receipt_id: command.required("receipt_id", external_id)?,
            received_at: command.required("received_at", millis)?,
            sku: sku()?,
            from: LocationId(command.required("from", id_32)?),
            to: command
                .required("to", id_32)
                .map(LocationId)
                .filter(|to| command.required("from", id_32).map(LocationId) != Some(*to))?,
            qty: command.required("qty", units(1, 1_000_000_000))?,
        }),
        "sku.listed" => Command::SkuListed(SkuListed {
            merchant,
            sku: sku()?,
            category: command
                .optional("category", |node| text(node).and_then(Category::new))?
                .unwrap_or(Category::NONE),
            per_buyer_limit: command
                .optional("per_buyer_limit", units(0, 1_000_000_000))?
                .unwrap_or_default(),
            safety_stock: command
                .optional("safety_stock", units(0, 1_000_000_000))?
                .unwrap_or_default(),
        }),
        "sku.withdrawn" => Command::SkuWithdrawn { merchant, sku: sku()? },
        "location.opened" => {
            let kinds = [("warehouse", false), ("store", true)];
            let is_store = command.required("kind", |node| one_of(&kinds, node))?;
            let priority = command.optional("priority", |node| integer(node, 0, 65_535))?;
            Command::LocationOpened(LocationOpened {
                merchant,
                location: opened()?,
                region: command.optional("region", region)?.unwrap_or_default(),
                priority: priority.unwrap_or(100) as u16,
                ships: command.optional("ships", boolean)?.unwrap_or(true),
                pickup: command.optional("pickup", boolean)?.unwrap_or(is_store),
            })
        }
        "location.closed" => Command::LocationClosed { merchant, location: opened()? },
        _ => return None,
    })
}
