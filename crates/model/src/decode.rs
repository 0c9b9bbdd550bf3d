//! From a parsed value to a command, or the reason why it is `invalid` (contract sections 2 and 3).
//!
//! Every place in a command (the object itself, a line, `fulfilment`, `presale`) names the fields it
//! lists. Only listed fields are looked at, each at most once, and every one that is present is
//! checked, whether it has an effect or not.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::command::{
    Command, Decoded, LocationOpened, OrderLine, OrderPaid, OrderPlaced, OrderRefunded, Origin,
    Part, Presale, RefundLine, SkuListed, StockMoved, StockReceived,
};
use crate::json::{self, Json, JsonError, Object};

const MONEY_MAX: u64 = 1_000_000_000_000_000;
const TIME_MAX: u64 = 1_000_000_000_000_000;
const BILLION: u64 = 1_000_000_000;
const LINE_QTY_MAX: u64 = 1_000_000;
const LINES_MAX: usize = 100;
const OPAQUE_ID_MAX: usize = 40;
const CATEGORY_MAX: usize = 32;
const ID_DIGITS_MAX: usize = 39;
const UNKNOWN_REGION: &str = "000000";
const CHANNELS: [&str; 7] = ["app", "web", "mini_program", "livestream", "store", "phone", "other"];

/// Why a value is the dead letter `invalid`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Invalid {
    #[error("the record has no value")]
    NoValue,
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error("unknown type {0:?}")]
    UnknownType(String),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is there twice")]
    Repeated(&'static str),
    #[error("{0} is not what the contract allows there")]
    Unacceptable(&'static str),
    #[error("the gross sum is above 10^15")]
    GrossTooLarge,
    #[error("the discount is more than the gross sum")]
    DiscountTooLarge,
    #[error("a presale's deposit must be at least 1 and less than the amount")]
    DepositOutOfRange,
    #[error("a presale cannot settle on placement")]
    PresaleOnPlacement,
    #[error("pickup needs a location")]
    PickupWithoutLocation,
    #[error("from and to are the same location")]
    MovedNowhere,
}

type Result<T> = std::result::Result<T, Invalid>;

/// Decodes a command value that is not too large.
pub(crate) fn decode(value: Option<&[u8]>) -> Result<Decoded> {
    let object = json::parse(value.ok_or(Invalid::NoValue)?)?;
    let kind = Fields::of(&object, &["type"])?.required("type", text)?;
    if kind == "tick" {
        return Ok(Decoded::Tick);
    }
    let merchant_id = Fields::of(&object, &["merchant_id"])?.required("merchant_id", id64)?;
    let command = match kind {
        "order.placed" => Command::OrderPlaced(order_placed(&object)?),
        "order.paid" => Command::OrderPaid(order_paid(&object)?),
        "order.cancelled" => {
            let fields = Fields::of(&object, &["order_id"])?;
            Command::OrderCancelled { order_id: fields.required("order_id", opaque_id)? }
        }
        "order.refunded" => Command::OrderRefunded(order_refunded(&object)?),
        "stock.received" => Command::StockReceived(stock_received(&object)?),
        "stock.moved" => Command::StockMoved(stock_moved(&object)?),
        "sku.listed" => Command::SkuListed(sku_listed(&object)?),
        "sku.withdrawn" => {
            Command::SkuWithdrawn { sku: Fields::of(&object, &["sku"])?.required("sku", id64)? }
        }
        "location.opened" => Command::LocationOpened(location_opened(&object)?),
        "location.closed" => {
            let fields = Fields::of(&object, &["location"])?;
            Command::LocationClosed { location: fields.required("location", opened_location)? }
        }
        other => return Err(Invalid::UnknownType(other.to_owned())),
    };
    Ok(Decoded::ForMerchant { merchant_id, command })
}

fn order_placed(object: &Object) -> Result<OrderPlaced> {
    let fields = Fields::of(
        object,
        &[
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
    )?;
    let order = OrderPlaced {
        order_id: fields.required("order_id", opaque_id)?,
        buyer_id: fields.required("buyer_id", id64)?,
        placed_at: fields.required("placed_at", time)?,
        lines: fields.required("lines", |field| lines(field, 1, order_line))?,
        origin: origin(&fields)?,
        discount: fields.optional("discount", money)?.unwrap_or(0),
        pickup: fields.optional("fulfilment", fulfilment)?.flatten(),
        on_placement: fields
            .optional("settle", |field| one_of(field, &["on_payment", "on_placement"]))?
            .is_some_and(|settle| settle == "on_placement"),
        pay_by: fields.optional("pay_by", time)?,
        presale: fields.optional("presale", presale)?,
    };
    check_sums(&order)?;
    Ok(order)
}

fn check_sums(order: &OrderPlaced) -> Result<()> {
    // Added up in 128 bits: a hundred lines of a million at 10^15 are more than 64 bits hold.
    let gross: u128 =
        order.lines.iter().map(|line| u128::from(line.qty) * u128::from(line.unit_price)).sum();
    if gross > u128::from(MONEY_MAX) {
        return Err(Invalid::GrossTooLarge);
    }
    if order.discount > order.gross() {
        return Err(Invalid::DiscountTooLarge);
    }
    if let Some(presale) = order.presale {
        if order.on_placement {
            return Err(Invalid::PresaleOnPlacement);
        }
        if presale.deposit < 1 || presale.deposit >= order.amount() {
            return Err(Invalid::DepositOutOfRange);
        }
    }
    Ok(())
}

fn order_line(object: &Object) -> Result<OrderLine> {
    let fields = Fields::of(object, &["sku", "qty", "unit_price"])?;
    Ok(OrderLine {
        sku: fields.required("sku", id64)?,
        qty: fields.required("qty", |field| unsigned(field, 1, LINE_QTY_MAX))?,
        unit_price: fields.required("unit_price", money)?,
    })
}

/// The pickup location, or none for `ship`.
fn fulfilment(field: Field<'_>) -> Result<Option<u32>> {
    let fields = Fields::of(field.object()?, &["mode", "location"])?;
    let mode = fields.optional("mode", |field| one_of(field, &["ship", "pickup"]))?;
    let location = fields.optional("location", id32)?;
    match (mode, location) {
        (Some("pickup"), None) => Err(Invalid::PickupWithoutLocation),
        (Some("pickup"), named) => Ok(named),
        _ => Ok(None),
    }
}

fn presale(field: Field<'_>) -> Result<Presale> {
    let fields = Fields::of(field.object()?, &["deposit", "balance_due"])?;
    Ok(Presale {
        deposit: fields.required("deposit", money)?,
        balance_due: fields.required("balance_due", time)?,
    })
}

fn order_paid(object: &Object) -> Result<OrderPaid> {
    let fields = Fields::of(object, &["payment_id", "order_id", "amount", "paid_at", "part"])?;
    let part = fields.optional("part", |field| one_of(field, &["full", "deposit", "balance"]))?;
    Ok(OrderPaid {
        payment_id: fields.required("payment_id", opaque_id)?,
        order_id: fields.required("order_id", opaque_id)?,
        amount: fields.required("amount", money)?,
        paid_at: fields.required("paid_at", time)?,
        part: match part {
            Some("deposit") => Part::Deposit,
            Some("balance") => Part::Balance,
            _ => Part::Full,
        },
    })
}

fn order_refunded(object: &Object) -> Result<OrderRefunded> {
    let fields = Fields::of(
        object,
        &[
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
    )?;
    Ok(OrderRefunded {
        refund_id: fields.required("refund_id", opaque_id)?,
        order_id: fields.required("order_id", opaque_id)?,
        refunded_at: fields.required("refunded_at", time)?,
        amount: fields.required("amount", money)?,
        lines: fields.required("lines", |field| lines(field, 0, refund_line))?,
        restock: fields.optional("restock", boolean)?.unwrap_or(false),
        origin: origin(&fields)?,
    })
}

fn refund_line(object: &Object) -> Result<RefundLine> {
    let fields = Fields::of(object, &["sku", "location", "qty"])?;
    Ok(RefundLine {
        sku: fields.required("sku", id64)?,
        location: fields.required("location", id32)?,
        qty: fields.required("qty", |field| unsigned(field, 1, LINE_QTY_MAX))?,
    })
}

fn stock_received(object: &Object) -> Result<StockReceived> {
    let fields = Fields::of(object, &["receipt_id", "received_at", "sku", "qty", "location"])?;
    Ok(StockReceived {
        receipt_id: fields.required("receipt_id", opaque_id)?,
        received_at: fields.required("received_at", time)?,
        sku: fields.required("sku", id64)?,
        qty: fields.required("qty", received_qty)?,
        location: fields.optional("location", id32)?.unwrap_or(0),
    })
}

fn stock_moved(object: &Object) -> Result<StockMoved> {
    let fields = Fields::of(object, &["receipt_id", "received_at", "sku", "from", "to", "qty"])?;
    let moved = StockMoved {
        receipt_id: fields.required("receipt_id", opaque_id)?,
        received_at: fields.required("received_at", time)?,
        sku: fields.required("sku", id64)?,
        from: fields.required("from", id32)?,
        to: fields.required("to", id32)?,
        qty: fields.required("qty", |field| integer(field, 1, i128::from(BILLION)))? as i64,
    };
    if moved.from == moved.to { Err(Invalid::MovedNowhere) } else { Ok(moved) }
}

fn sku_listed(object: &Object) -> Result<SkuListed> {
    let fields = Fields::of(object, &["sku", "category", "per_buyer_limit", "safety_stock"])?;
    let up_to_a_billion = |field: Field<'_>| unsigned(field, 0, BILLION);
    Ok(SkuListed {
        sku: fields.required("sku", id64)?,
        category: fields.optional("category", category)?.unwrap_or_else(|| "none".to_owned()),
        per_buyer_limit: fields.optional("per_buyer_limit", up_to_a_billion)?.unwrap_or(0),
        safety_stock: fields.optional("safety_stock", up_to_a_billion)?.unwrap_or(0),
    })
}

fn location_opened(object: &Object) -> Result<LocationOpened> {
    let fields =
        Fields::of(object, &["location", "kind", "region", "priority", "ships", "pickup"])?;
    let kind = fields.required("kind", |field| one_of(field, &["warehouse", "store"]))?;
    let priority = fields.optional("priority", |field| unsigned(field, 0, 65_535))?.unwrap_or(100);
    Ok(LocationOpened {
        location: fields.required("location", opened_location)?,
        region: fields.optional("region", region)?.unwrap_or_else(|| UNKNOWN_REGION.to_owned()),
        priority: priority as u16,
        ships: fields.optional("ships", boolean)?.unwrap_or(true),
        pickup: fields.optional("pickup", boolean)?.unwrap_or(kind == "store"),
    })
}

fn origin(fields: &Fields<'_>) -> Result<Origin> {
    Ok(Origin {
        channel: fields.optional("channel", channel)?.unwrap_or("other"),
        region: fields.optional("region", region)?.unwrap_or_else(|| UNKNOWN_REGION.to_owned()),
        area: fields
            .optional("area", |field| one_of(field, &["urban", "rural"]))?
            .unwrap_or("urban"),
    })
}

/// The listed fields of one place that are present and not null.
struct Fields<'a>(BTreeMap<&'static str, &'a Json>);

impl<'a> Fields<'a> {
    /// Picks the `listed` fields from `object`; one that is there twice, null or not, is an error.
    fn of(object: &'a Object, listed: &[&'static str]) -> Result<Fields<'a>> {
        let mut found = BTreeMap::new();
        for (name, value) in &object.0 {
            let Some(listed_name) = listed.iter().find(|listed| *listed == name) else { continue };
            if found.insert(*listed_name, value).is_some() {
                return Err(Invalid::Repeated(listed_name));
            }
        }
        found.retain(|_, value| **value != Json::Null);
        Ok(Fields(found))
    }

    fn optional<T>(
        &self,
        name: &'static str,
        read: impl Fn(Field<'a>) -> Result<T>,
    ) -> Result<Option<T>> {
        self.0.get(name).map(|value| read(Field { name, value })).transpose()
    }

    fn required<T>(&self, name: &'static str, read: impl Fn(Field<'a>) -> Result<T>) -> Result<T> {
        self.optional(name, read)?.ok_or(Invalid::Missing(name))
    }
}

/// A listed field that is present, with the name it goes by in an error.
#[derive(Clone, Copy)]
struct Field<'a> {
    name: &'static str,
    value: &'a Json,
}

impl<'a> Field<'a> {
    fn unacceptable<T>(self) -> Result<T> {
        Err(Invalid::Unacceptable(self.name))
    }

    fn object(self) -> Result<&'a Object> {
        match self.value {
            Json::Object(object) => Ok(object),
            _ => self.unacceptable(),
        }
    }
}

fn text(field: Field<'_>) -> Result<&str> {
    match field.value {
        Json::String(text) => Ok(text),
        _ => field.unacceptable(),
    }
}

fn boolean(field: Field<'_>) -> Result<bool> {
    match field.value {
        Json::Bool(value) => Ok(*value),
        _ => field.unacceptable(),
    }
}

/// A plain integer: no fraction, no exponent, no `-0`.
fn integer(field: Field<'_>, min: i128, max: i128) -> Result<i128> {
    let Json::Number(number) = field.value else { return field.unacceptable() };
    if number == "-0" || number.contains(['.', 'e', 'E']) {
        return field.unacceptable();
    }
    // A number that is too long for 128 bits is out of every range.
    match number.parse::<i128>() {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        _ => field.unacceptable(),
    }
}

fn unsigned(field: Field<'_>, min: u64, max: u64) -> Result<u64> {
    integer(field, i128::from(min), i128::from(max)).map(|value| value as u64)
}

fn money(field: Field<'_>) -> Result<u64> {
    unsigned(field, 0, MONEY_MAX)
}

fn time(field: Field<'_>) -> Result<u64> {
    unsigned(field, 0, TIME_MAX)
}

fn received_qty(field: Field<'_>) -> Result<i64> {
    match integer(field, -i128::from(BILLION), i128::from(BILLION))? {
        0 => field.unacceptable(),
        qty => Ok(qty as i64),
    }
}

/// An id of at most `max`: a number, or a string of 1 to 39 decimal digits.
fn numeric_id(field: Field<'_>, max: u64) -> Result<u64> {
    let Json::String(digits) = field.value else { return unsigned(field, 0, max) };
    let well_formed = (1..=ID_DIGITS_MAX).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse::<u128>() {
        Ok(value) if well_formed && value <= u128::from(max) => Ok(value as u64),
        _ => field.unacceptable(),
    }
}

fn id64(field: Field<'_>) -> Result<u64> {
    numeric_id(field, u64::MAX)
}

fn id32(field: Field<'_>) -> Result<u32> {
    numeric_id(field, u64::from(u32::MAX)).map(|value| value as u32)
}

/// The location of an opening or a closing; location 0 is always there and cannot be either.
fn opened_location(field: Field<'_>) -> Result<u32> {
    match id32(field)? {
        0 => field.unacceptable(),
        location => Ok(location),
    }
}

fn opaque_id(field: Field<'_>) -> Result<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    string_of(field, OPAQUE_ID_MAX, allowed)
}

fn category(field: Field<'_>) -> Result<String> {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    string_of(field, CATEGORY_MAX, allowed)
}

/// A string of 1 to `max` characters, all of them `allowed`.
fn string_of(field: Field<'_>, max: usize, allowed: impl Fn(u8) -> bool) -> Result<String> {
    let text = text(field)?;
    if (1..=max).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        field.unacceptable()
    }
}

fn region(field: Field<'_>) -> Result<String> {
    let text = text(field)?;
    if text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        field.unacceptable()
    }
}

fn channel(field: Field<'_>) -> Result<&'static str> {
    Ok(channel_named(text(field)?))
}

/// A known channel's name, or `other` for any other string.
pub(crate) fn channel_named(text: &str) -> &'static str {
    CHANNELS.into_iter().find(|known| *known == text).unwrap_or("other")
}

fn one_of(field: Field<'_>, allowed: &[&'static str]) -> Result<&'static str> {
    let text = text(field)?;
    match allowed.iter().find(|word| **word == text) {
        Some(word) => Ok(word),
        None => field.unacceptable(),
    }
}

/// An array of `min` to 100 objects.
fn lines<T>(field: Field<'_>, min: usize, line: impl Fn(&Object) -> Result<T>) -> Result<Vec<T>> {
    let Json::Array(elements) = field.value else { return field.unacceptable() };
    if !(min..=LINES_MAX).contains(&elements.len()) {
        return field.unacceptable();
    }
    elements.iter().map(|value| line(Field { name: field.name, value }.object()?)).collect()
}
