//! A command's text with other ids, buyers and times, and everything else as it was.
//!
//! Not a decoder: whether a value is a command at all says the pipeline's own ([`Checker`]), and only
//! then is its text taken apart. Invariant: bytes of fields that nobody rewrites stay the same bytes, in
//! the same order, unless the rewriting leaves fields out that the contract does not list.

use std::borrow::Cow;

use ledger::command::Command;
use ledger::rules::Partitioner;
use ledger::units::{MONEY_AND_TIME_MAX, Offset};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use wire::{Decoder, NoHeaders, Refused, Route, Scratch, Why};

use super::chunk::Record;

/// The four separate spaces of ids (contract, section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdSpace {
    Order,
    Payment,
    Refund,
    Receipt,
}

/// What becomes of the parts of a command.
pub(super) trait Rewriting {
    /// Whether whatever the contract gives no meaning to is left out: fields that it does not list, and
    /// names of channels that it reads as `other`.
    const HIDES: bool;

    fn id(&self, space: IdSpace, id: &str) -> String;
    /// None leaves the buyer as it is written.
    fn buyer(&self, buyer: u64) -> Option<u64>;
    fn time_ms(&self, time_ms: u64) -> u64;
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
enum Field {
    Plain,
    Id(IdSpace),
    Buyer,
    Time,
    Channel,
    Object(Fields),
    List(Fields),
}

type Fields = &'static [(&'static str, Field)];

use Field::{Buyer, Channel, Id, List, Object, Plain, Time};
use IdSpace::{Order, Payment, Receipt, Refund};

const TYPE: (&str, Field) = ("type", Plain);
const MERCHANT: (&str, Field) = ("merchant_id", Plain);
const PLACED: Fields = &[
    TYPE,
    MERCHANT,
    ("order_id", Id(Order)),
    ("buyer_id", Buyer),
    ("placed_at", Time),
    ("lines", List(&[("sku", Plain), ("qty", Plain), ("unit_price", Plain)])),
    ("channel", Channel),
    ("region", Plain),
    ("area", Plain),
    ("discount", Plain),
    ("fulfilment", Object(&[("mode", Plain), ("location", Plain)])),
    ("settle", Plain),
    ("pay_by", Time),
    ("presale", Object(&[("deposit", Plain), ("balance_due", Time)])),
];
const PAID: Fields = &[
    TYPE,
    MERCHANT,
    ("payment_id", Id(Payment)),
    ("order_id", Id(Order)),
    ("amount", Plain),
    ("paid_at", Time),
    ("part", Plain),
];
const CANCELLED: Fields = &[TYPE, MERCHANT, ("order_id", Id(Order))];
const REFUNDED: Fields = &[
    TYPE,
    MERCHANT,
    ("refund_id", Id(Refund)),
    ("order_id", Id(Order)),
    ("refunded_at", Time),
    ("amount", Plain),
    ("lines", List(&[("sku", Plain), ("location", Plain), ("qty", Plain)])),
    ("restock", Plain),
    ("channel", Channel),
    ("region", Plain),
    ("area", Plain),
];
const RECEIVED: Fields = &[
    TYPE,
    MERCHANT,
    ("receipt_id", Id(Receipt)),
    ("received_at", Time),
    ("sku", Plain),
    ("qty", Plain),
    ("location", Plain),
];
const MOVED: Fields = &[
    TYPE,
    MERCHANT,
    ("receipt_id", Id(Receipt)),
    ("received_at", Time),
    ("sku", Plain),
    ("from", Plain),
    ("to", Plain),
    ("qty", Plain),
];
const LISTED: Fields = &[
    TYPE,
    MERCHANT,
    ("sku", Plain),
    ("category", Plain),
    ("per_buyer_limit", Plain),
    ("safety_stock", Plain),
];
const OPENED: Fields = &[
    TYPE,
    MERCHANT,
    ("location", Plain),
    ("kind", Plain),
    ("region", Plain),
    ("priority", Plain),
    ("ships", Plain),
    ("pickup", Plain),
];

fn is_channel(name: &str) -> bool {
    ledger::units::Channel::ALL.into_iter().any(|channel| channel.name() == name)
}

/// The contract's section 3.
fn fields_of(command: &str) -> Option<Fields> {
    Some(match command {
        "order.placed" => PLACED,
        "order.paid" => PAID,
        "order.cancelled" => CANCELLED,
        "order.refunded" => REFUNDED,
        "stock.received" => RECEIVED,
        "stock.moved" => MOVED,
        "sku.listed" => LISTED,
        "sku.withdrawn" => &[TYPE, MERCHANT, ("sku", Plain)],
        "location.opened" => OPENED,
        "location.closed" => &[TYPE, MERCHANT, ("location", Plain)],
        "tick" => &[TYPE],
        _ => return None,
    })
}

/// What a record is, as far as it takes no state to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A command under its merchant's key; whether it places an order.
    Command { places: bool },
    /// A command under another key.
    Misrouted,
    /// A tick, whatever its key.
    Tick,
    /// Nothing that the contract knows.
    Invalid,
    /// Longer than anything that is looked at.
    TooLarge,
}

/// Tells commands from what is none.
pub(super) struct Checker {
    decoder: Decoder,
    scratch: Scratch,
}

impl Checker {
    pub(super) fn new() -> Checker {
        // Partitions are not checked here: a record is the same wherever it stands.
        let route = Route { partition: 0, partitions: 1, partitioner: Partitioner::Any };
        Checker { decoder: Decoder::new(route), scratch: Scratch::new() }
    }

    pub(super) fn kind_of(&mut self, record: &Record) -> Kind {
        self.scratch.clear();
        let seen = wire::Record {
            partition: 0,
            offset: Offset(record.offset),
            timestamp: record.timestamp_ms,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &NoHeaders,
        };
        match self.decoder.decode(&seen, &self.scratch) {
            Ok(Command::Tick) => Kind::Tick,
            Ok(Command::OrderPlaced(_)) => Kind::Command { places: true },
            Ok(_) => Kind::Command { places: false },
            Err(Refused { why: Why::WrongKey { .. }, .. }) => Kind::Misrouted,
            Err(Refused { why: Why::TooLarge { .. }, .. }) => Kind::TooLarge,
            Err(_) => Kind::Invalid,
        }
    }
}

/// The text of a command, rewritten; none only of what is no command.
pub(super) fn rewrite<R: Rewriting>(value: &[u8], rewriting: &R) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(value).ok()?;
    let Members(members) = serde_json::from_str(text).ok()?;
    let (_, command) = members.iter().find(|(name, _)| name.0 == "type")?;
    let command: String = serde_json::from_str(command.get()).ok()?;
    let mut writer = Writer { rewriting, out: String::with_capacity(text.len() + 32) };
    writer.object(text, &members, fields_of(&command)?)?;
    Some(writer.out.into_bytes())
}

struct Writer<'r, R> {
    rewriting: &'r R,
    out: String,
}

impl<R: Rewriting> Writer<'_, R> {
    fn object(&mut self, text: &str, members: &[Member<'_>], fields: Fields) -> Option<()> {
        if R::HIDES {
            self.listed_only(members, fields)
        } else {
            self.pieces(text, members.iter().map(|(name, raw)| (field_of(fields, name), *raw)))
        }
    }

    /// Copies a text with some of its values rewritten, which come in their order.
    fn pieces<'t>(
        &mut self,
        text: &'t str,
        values: impl Iterator<Item = (Option<Field>, &'t RawValue)>,
    ) -> Option<()> {
        let mut copied = 0;
        for (field, raw) in values {
            if let Some(field) = field.filter(|field| !matches!(field, Plain)) {
                // The value was borrowed from the text, so the distance is where it stands in it.
                let at = raw.get().as_ptr() as usize - text.as_ptr() as usize;
                self.out.push_str(&text[copied..at]);
                self.value(field, raw)?;
                copied = at + raw.get().len();
            }
        }
        self.out.push_str(&text[copied..]);
        Some(())
    }

    fn listed_only(&mut self, members: &[Member<'_>], fields: Fields) -> Option<()> {
        self.out.push('{');
        let mut separator = "";
        for (name, raw) in members {
            let Some(field) = field_of(fields, name) else { continue };
            self.out.push_str(separator);
            self.out.push_str(&serde_json::to_string(&name.0).ok()?);
            self.out.push(':');
            self.value(field, raw)?;
            separator = ",";
        }
        self.out.push('}');
        Some(())
    }

    fn value(&mut self, field: Field, raw: &RawValue) -> Option<()> {
        let text = raw.get();
        let string = || serde_json::from_str::<String>(text).ok();
        match field {
            _ if text == "null" => self.out.push_str(text),
            Plain => self.out.push_str(text),
            Id(space) => self.string(&self.rewriting.id(space, &string()?)),
            Channel if R::HIDES && !is_channel(&string()?) => self.string("other"),
            Channel => self.out.push_str(text),
            Time => self.out.push_str(&self.rewriting.time_ms(text.parse().ok()?).to_string()),
            Buyer => self.buyer(text)?,
            Object(fields) => {
                let Members(members) = serde_json::from_str(text).ok()?;
                self.object(text, &members, fields)?;
            }
            List(fields) => self.list(text, fields)?,
        }
        Some(())
    }

    /// A number, or its digits as a string; a number either way.
    fn buyer(&mut self, text: &str) -> Option<()> {
        let digits: Cow<'_, str> = match text.starts_with('"') {
            true => Cow::Owned(serde_json::from_str(text).ok()?),
            false => Cow::Borrowed(text),
        };
        match self.rewriting.buyer(digits.parse().ok()?) {
            None => self.out.push_str(text),
            Some(buyer) => self.out.push_str(&buyer.to_string()),
        }
        Some(())
    }

    fn list(&mut self, text: &str, fields: Fields) -> Option<()> {
        let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
        if !R::HIDES {
            let element = Some(Object(fields));
            return self.pieces(text, elements.into_iter().map(|raw| (element, raw)));
        }
        self.out.push('[');
        let mut separator = "";
        for element in elements {
            self.out.push_str(separator);
            self.value(Object(fields), element)?;
            separator = ",";
        }
        self.out.push(']');
        Some(())
    }

    /// Appends a string in which nothing has to be escaped.
    fn string(&mut self, text: &str) {
        self.out.push('"');
        self.out.push_str(text);
        self.out.push('"');
    }
}

fn field_of(fields: Fields, name: &Name<'_>) -> Option<Field> {
    fields.iter().find(|(listed, _)| *listed == name.0).map(|(_, field)| *field)
}

/// A name, escapes resolved.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

type Member<'a> = (Name<'a>, &'a RawValue);

/// An object's members in their order, the values as they are written.
struct Members<'a>(Vec<Member<'a>>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Members<'de>, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(12);
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Collect)
    }
}

/// A time that was moved, within what the contract takes.
pub(super) fn shifted(time_ms: u64, shift_ms: i64) -> u64 {
    time_ms.saturating_add_signed(shift_ms).min(MONEY_AND_TIME_MAX)
}
