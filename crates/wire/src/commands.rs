//! The commands of the contract's section 3: for each its fields, and what must hold between them.
//!
//! Each function is one row of the contract's table. It reads the object behind `type` and gives the
//! command; how a field of each kind is read is in `fields`. Invariant: a command that is given
//! satisfies sections 2 and 3, whatever order its fields came in.

use ledger::command::{
    Command, ExternalId, Fulfilment, Line, LocationOpened, OrderPaid, OrderPlaced, OrderRefunded,
    Part, Presale, RefundLine, Settle, SkuListed, StockMoved, StockReceived,
};
use ledger::units::{
    BuyerId, Category, Channel, LocationId, MONEY_AND_TIME_MAX, MerchantId, Millis, Money, Region,
    SkuId, Units,
};

use crate::fields::{Fault, Reader, fields, missing};
use crate::json::Name;
use crate::refused::{Must, Place, Problem};

/// Largest quantity of a stock command, and largest limit and safety stock of a listing.
const STOCK_MAX: u32 = 1_000_000_000;

/// When an order may settle, and its names.
pub(crate) const SETTLE: [Settle; 2] = [Settle::OnPayment, Settle::OnPlacement];
pub(crate) const SETTLE_NAMES: &[&str] = &["on_payment", "on_placement"];
/// What a payment may pay, and its names.
pub(crate) const PARTS: [Part; 3] = [Part::Full, Part::Deposit, Part::Balance];
pub(crate) const PART_NAMES: &[&str] = &["full", "deposit", "balance"];

/// The types of the contract's section 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandType {
    /// `order.placed`
    OrderPlaced,
    /// `order.paid`
    OrderPaid,
    /// `order.cancelled`
    OrderCancelled,
    /// `order.refunded`
    OrderRefunded,
    /// `stock.received`
    StockReceived,
    /// `stock.moved`
    StockMoved,
    /// `sku.listed`
    SkuListed,
    /// `sku.withdrawn`
    SkuWithdrawn,
    /// `location.opened`
    LocationOpened,
    /// `location.closed`
    LocationClosed,
    /// `tick`
    Tick,
}

impl CommandType {
    const ALL: [CommandType; 11] = [
        CommandType::OrderPlaced,
        CommandType::OrderPaid,
        CommandType::OrderCancelled,
        CommandType::OrderRefunded,
        CommandType::StockReceived,
        CommandType::StockMoved,
        CommandType::SkuListed,
        CommandType::SkuWithdrawn,
        CommandType::LocationOpened,
        CommandType::LocationClosed,
        CommandType::Tick,
    ];

    /// The names of [`Self::ALL`].
    const NAMES: [&'static str; 11] = [
        "order.placed",
        "order.paid",
        "order.cancelled",
        "order.refunded",
        "stock.received",
        "stock.moved",
        "sku.listed",
        "sku.withdrawn",
        "location.opened",
        "location.closed",
        "tick",
    ];

    /// The type's name in the contract.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// Finds the type. The cursor stays behind it where it is the first field, as it usually is, and
/// else goes back to the first field: which fields are listed depends on the type.
#[inline(always)]
pub(crate) fn read_type(reader: &mut Reader<'_, '_>) -> Result<CommandType, Fault> {
    const TYPE: Name = Name::new("type");
    reader.json.open_outermost()?;
    if reader.json.passes_name(&TYPE) {
        reader.type_seen = true;
        return type_here(reader);
    }
    find_type(reader)
}

#[inline(never)]
fn find_type(reader: &mut Reader<'_, '_>) -> Result<CommandType, Fault> {
    let start = reader.json;
    while reader.json.member()? {
        if reader.json.key()? == b"type" {
            let found = type_here(reader)?;
            reader.json = start;
            return Ok(found);
        }
        reader.json.skip(1)?;
    }
    Err(missing("type"))
}

/// The type under the cursor.
#[inline(always)]
fn type_here(reader: &mut Reader<'_, '_>) -> Result<CommandType, Fault> {
    let value = reader.json.rest();
    match reader.one_of(&CommandType::NAMES) {
        Ok(index) => Ok(CommandType::ALL[index]),
        Err(fault) => reader.null("type", value, fault).and(Err(missing("type"))),
    }
}

/// Reads the rest of a command's object.
pub(crate) fn read<'a>(
    reader: &mut Reader<'_, 'a>,
    command: CommandType,
) -> Result<Command<'a>, Fault> {
    match command {
        CommandType::OrderPlaced => reader.apart(order_placed),
        CommandType::OrderPaid => reader.apart(order_paid),
        CommandType::OrderCancelled => order_cancelled(reader),
        CommandType::OrderRefunded => order_refunded(reader),
        CommandType::StockReceived => stock_received(reader),
        CommandType::StockMoved => stock_moved(reader),
        CommandType::SkuListed => sku_listed(reader),
        CommandType::SkuWithdrawn => sku_withdrawn(reader),
        CommandType::LocationOpened => location_opened(reader),
        CommandType::LocationClosed => location_closed(reader),
        CommandType::Tick => tick(reader),
    }
}

/// The merchant whose state a command works on; `None` for a tick.
pub(crate) fn merchant_of(command: &Command<'_>) -> Option<MerchantId> {
    match command {
        Command::OrderPlaced(command) => Some(command.merchant),
        Command::OrderPaid(command) => Some(command.merchant),
        Command::OrderRefunded(command) => Some(command.merchant),
        Command::StockReceived(command) => Some(command.merchant),
        Command::StockMoved(command) => Some(command.merchant),
        Command::SkuListed(command) => Some(command.merchant),
        Command::LocationOpened(command) => Some(command.merchant),
        Command::OrderCancelled { merchant, .. }
        | Command::SkuWithdrawn { merchant, .. }
        | Command::LocationClosed { merchant, .. } => Some(*merchant),
        Command::Tick => None,
    }
}

#[inline(always)]
fn order_placed<'a>(reader: &mut Reader<'_, 'a>) -> Result<Command<'a>, Fault> {
    fields! { reader, OrderPlaced:
        required {
            "merchant_id" => merchant = reader.id_64();
            "order_id" => order_id = reader.external_id();
            "buyer_id" => buyer = reader.id_64();
            "placed_at" => placed_at = reader.up_to_10_15();
            "lines" => lines = read_lines(reader);
        }
        optional {
            "channel" => channel = reader.channel();
            "region" => region = reader.region();
            "area" => rural = reader.rural();
            "discount" => discount = reader.money();
            "settle" => settle = read_settle(reader);
            "pay_by" => pay_by = reader.up_to_10_15();
            "fulfilment" => fulfilment = reader.object(Place::Fulfilment, read_fulfilment);
            "presale" => presale = reader.object(Place::Presale, read_presale);
        }
    }
    let placed = Placed {
        merchant: MerchantId(merchant),
        order_id,
        buyer: BuyerId(buyer),
        placed_at: Millis(placed_at),
        lines,
        channel,
        region,
        rural,
        discount,
        settle,
        pay_by: pay_by.map(Millis),
        fulfilment,
        presale,
    };
    placed.complete()
}

/// The fields of `order.placed`, each valid by itself.
pub(crate) struct Placed<'a> {
    pub(crate) merchant: MerchantId,
    pub(crate) order_id: ExternalId<'a>,
    pub(crate) buyer: BuyerId,
    pub(crate) placed_at: Millis,
    pub(crate) lines: &'a [Line],
    pub(crate) channel: Option<Channel>,
    pub(crate) region: Option<Region>,
    pub(crate) rural: Option<bool>,
    pub(crate) discount: Option<Money>,
    pub(crate) settle: Option<Settle>,
    pub(crate) pay_by: Option<Millis>,
    pub(crate) fulfilment: Option<Fulfilment>,
    pub(crate) presale: Option<Presale>,
}

impl<'a> Placed<'a> {
    /// The command, if its fields agree with each other.
    #[inline(always)]
    pub(crate) fn complete(self) -> Result<Command<'a>, Fault> {
        let discount = self.discount.unwrap_or(Money(0));
        let settle = self.settle.unwrap_or(Settle::OnPayment);
        let amount = amount(self.lines, discount)?;
        if let Some(presale) = self.presale {
            presale_fits(presale, amount, settle)?;
        }
        Ok(Command::OrderPlaced(OrderPlaced {
            merchant: self.merchant,
            order_id: self.order_id,
            buyer: self.buyer,
            placed_at: self.placed_at,
            lines: self.lines,
            amount,
            discount,
            channel: self.channel.unwrap_or(Channel::Other),
            region: self.region.unwrap_or(Region::UNKNOWN),
            rural: self.rural.unwrap_or(false),
            fulfilment: self.fulfilment.unwrap_or(Fulfilment::Ship),
            settle,
            pay_by: self.pay_by,
            presale: self.presale,
        }))
    }
}

/// The list `lines` of an order.
#[inline(always)]
fn read_lines<'a>(reader: &mut Reader<'_, 'a>) -> Result<&'a [Line], Fault> {
    reader.staging.lines.clear();
    reader.list(1, read_line)?;
    Ok(reader.scratch.keep(&reader.staging.lines))
}

/// An element of `lines` of an order.
#[inline(always)]
fn read_line(reader: &mut Reader<'_, '_>) -> Result<(), Fault> {
    fields! { reader, Line:
        required {
            "sku" => sku = reader.id_64();
            "qty" => qty = reader.qty();
            "unit_price" => unit_price = reader.money();
        }
        optional {}
    }
    reader.staging.lines.push(Line { sku: SkuId(sku), qty, unit_price });
    Ok(())
}

/// Gross sum less discount. A gross sum that needs more than 64 bits (100 lines of 10^6 units at 10^15
/// do) is out of range too.
fn amount(lines: &[Line], discount: Money) -> Result<Money, Fault> {
    let gross = lines.iter().try_fold(0_u64, |sum, line| {
        sum.checked_add(u64::from(line.qty.0).checked_mul(line.unit_price.0)?)
    });
    let Some(gross) = gross.filter(|gross| *gross <= MONEY_AND_TIME_MAX) else {
        return Err(Fault::Field("lines", Problem::Must(Must::GrossInRange)));
    };
    let amount = gross.checked_sub(discount.0);
    amount.map(Money).ok_or(Fault::Field("discount", Problem::Must(Must::AtMostGross)))
}

#[inline(always)]
fn read_settle(reader: &mut Reader<'_, '_>) -> Result<Settle, Fault> {
    Ok(SETTLE[reader.one_of(SETTLE_NAMES)?])
}

/// The object `fulfilment`; `location` is checked though `ship` does not use it.
#[inline(always)]
pub(crate) fn read_fulfilment(reader: &mut Reader<'_, '_>) -> Result<Fulfilment, Fault> {
    fields! { reader, Fulfilment:
        required {}
        optional {
            "mode" => mode = reader.one_of(&["ship", "pickup"]);
            "location" => location = reader.id_32();
        }
    }
    match mode.unwrap_or(0) {
        0 => Ok(Fulfilment::Ship),
        _ => location.map(LocationId).map(Fulfilment::Pickup).ok_or_else(|| missing("location")),
    }
}

/// The object `presale`.
#[inline(always)]
pub(crate) fn read_presale(reader: &mut Reader<'_, '_>) -> Result<Presale, Fault> {
    fields! { reader, Presale:
        required {
            "deposit" => deposit = reader.money();
            "balance_due" => balance_due = reader.up_to_10_15();
        }
        optional {}
    }
    Ok(Presale { deposit, balance_due: Millis(balance_due) })
}

/// What must hold between a presale and the rest of its order.
fn presale_fits(presale: Presale, amount: Money, settle: Settle) -> Result<(), Fault> {
    let must = if settle == Settle::OnPlacement {
        Must::AbsentOnPlacement
    } else if presale.deposit < Money(1) || presale.deposit >= amount {
        Must::BelowAmount
    } else {
        return Ok(());
    };
    let field = if must == Must::BelowAmount { "presale.deposit" } else { "presale" };
    Err(Fault::Field(field, Problem::Must(must)))
}

#[inline(always)]
fn order_paid<'a>(reader: &mut Reader<'_, 'a>) -> Result<Command<'a>, Fault> {
    fields! { reader, OrderPaid:
        required {
            "merchant_id" => merchant = reader.id_64();
            "payment_id" => payment_id = reader.external_id();
            "order_id" => order_id = reader.external_id();
            "amount" => amount = reader.money();
            "paid_at" => paid_at = reader.up_to_10_15();
        }
        optional {
            "part" => part = read_part(reader);
        }
    }
    Ok(Command::OrderPaid(OrderPaid {
        merchant: MerchantId(merchant),
        payment_id,
        order_id,
        amount,
        part: part.unwrap_or(Part::Full),
        paid_at: Millis(paid_at),
    }))
}

#[inline(always)]
fn read_part(reader: &mut Reader<'_, '_>) -> Result<Part, Fault> {
    Ok(PARTS[reader.one_of(PART_NAMES)?])
}

fn order_cancelled<'a>(reader: &mut Reader<'_, 'a>) -> Result<Command<'a>, Fault> {
    fields! { reader, OrderCancelled:
        required {
            "merchant_id" => merchant = reader.id_64();
            "order_id" => order_id = reader.external_id();
        }
        optional {}
    }
    let merchant = MerchantId(merchant);
    Ok(Command::OrderCancelled { merchant, order_id })
}

fn order_refunded<'a>(reader: &mut Reader<'_, 'a>) -> Result<Command<'a>, Fault> {
    fields! { reader, OrderRefunded:
        required {
            "merchant_id" => merchant = reader.id_64();
            "refund_id" => refund_id = reader.external_id();
            "order_id" => order_id = reader.external_id();
            "refunded_at" => refunded_at = reader.up_to_10_15();
            "amount" => amount = reader.money();
            "lines" => lines = read_refund_lines(reader);
        }
        optional {
            "restock" => restock = reader.boolean();
            "channel" => channel = reader.channel();
            "region" => region = reader.region();
            "area" => rural = reader.rural();
        }
    }
    Ok(Command::OrderRefunded(OrderRefunded {
        merchant: MerchantId(merchant),
        refund_id,
        order_id,
        refunded_at: Millis(refunded_at),
        amount,
        lines,
        restock: restock.unwrap_or(false),
        channel: channel.unwrap_or(Channel::Other),
        region: region.unwrap_or(Region::UNKNOWN),
        rural: rural.unwrap_or(false),
    }))
}

/// The list `lines` of a refund.
fn read_refund_lines<'a>(reader: &mut Reader<'_, 'a>) -> Result<&'a [RefundLine], Fault> {
    reader.staging.refund_lines.clear();
    reader.list(0, read_refund_line)?;
    Ok(reader.scratch.keep(&reader.staging.refund_lines))
}

/// An element of `lines` of a refund.
fn read_refund_line(reader: &mut Reader<'_, '_>) -> Result<(), Fault> {
    fields! { reader, RefundLine:
        required {
            "sku" => sku = reader.id_64();
            "location" => location = reader.id_32();
            "qty" => qty = reader.qty();
        }
        optional {}
    }
    let line = RefundLine { sku: SkuId(sku), location: LocationId(location), qty };
    reader.staging.refund_lines.push(line);
    Ok(())
}

fn stock_received<'a>(reader: &mut Reader<'_, 'a>) -> Result<Command<'a>, Fault> {
    fields! { reader, StockReceived:
        required {
            "merchant_id" => merchant = reader.id_64();
            "receipt_id" => receipt_id = reader.external_id();
            "received_at" => received_at = reader.up_to_10_15();
            "sku" => sku = reader.id_64();
            "qty" => qty = reader.nonzero(i64::from(STOCK_MAX));
        }
        optional {
            "location" => location = reader.id_32();
        }
    }
    Ok(Command::StockReceived(StockReceived {
        merchant: MerchantId(merchant),
        receipt_id,
        received_at: Millis(received_at),
        sku: SkuId(sku),
        location: LocationId(location.unwrap_or(0)),
        qty,
    }))
}

fn stock_moved<'a>(reader: &mut Reader<'_, 'a>) -> Result<Command<'a>, Fault> {
    fields! { reader, StockMoved:
        required {
            "merchant_id" => merchant = reader.id_64();
            "receipt_id" => receipt_id = reader.external_id();
            "received_at" => received_at = reader.up_to_10_15();
            "sku" => sku = reader.id_64();
            "from" => from = reader.id_32();
            "to" => to = reader.id_32();
            "qty" => qty = reader.range_32(1, STOCK_MAX);
        }
        optional {}
    }
    if from == to {
        return Err(Fault::Field("to", Problem::Must(Must::OtherThanFrom)));
    }
    Ok(Command::StockMoved(StockMoved {
        merchant: MerchantId(merchant),
        receipt_id,
        received_at: Millis(received_at),
        sku: SkuId(sku),
        from: LocationId(from),
        to: LocationId(to),
        qty: Units(qty),
    }))
}

fn sku_listed<'a>(reader: &mut Reader<'_, 'a>) -> Result<Command<'a>, Fault> {
    fields! { reader, SkuListed:
        required {
            "merchant_id" => merchant = reader.id_64();
            "sku" => sku = reader.id_64();
        }
        optional {
            "category" => category = reader.category();
            "per_buyer_limit" => per_buyer_limit = reader.range_32(0, STOCK_MAX);
            "safety_stock" => safety_stock = reader.range_32(0, STOCK_MAX);
        }
    }
    Ok(Command::SkuListed(SkuListed {
        merchant: MerchantId(merchant),
        sku: SkuId(sku),
        category: category.unwrap_or(Category::NONE),
        per_buyer_limit: Units(per_buyer_limit.unwrap_or(0)),
        safety_stock: Units(safety_stock.unwrap_or(0)),
    }))
}

fn sku_withdrawn<'a>(reader: &mut Reader<'_, 'a>) -> Result<Command<'a>, Fault> {
    fields! { reader, SkuWithdrawn:
        required {
            "merchant_id" => merchant = reader.id_64();
            "sku" => sku = reader.id_64();
        }
        optional {}
    }
    let merchant = MerchantId(merchant);
    Ok(Command::SkuWithdrawn { merchant, sku: SkuId(sku) })
}

fn location_opened<'a>(reader: &mut Reader<'_, 'a>) -> Result<Command<'a>, Fault> {
    fields! { reader, LocationOpened:
        required {
            "merchant_id" => merchant = reader.id_64();
            "location" => location = above_zero(reader);
            "kind" => is_store = reader.one_of(&["warehouse", "store"]).map(|index| index == 1);
        }
        optional {
            "region" => region = reader.region();
            "priority" => priority = reader.range_32(0, u16::MAX.into());
            "ships" => ships = reader.boolean();
            "pickup" => pickup = reader.boolean();
        }
    }
    Ok(Command::LocationOpened(LocationOpened {
        merchant: MerchantId(merchant),
        location: LocationId(location),
        region: region.unwrap_or(Region::UNKNOWN),
        priority: priority.unwrap_or(100) as u16,
        ships: ships.unwrap_or(true),
        pickup: pickup.unwrap_or(is_store),
    }))
}

fn location_closed<'a>(reader: &mut Reader<'_, 'a>) -> Result<Command<'a>, Fault> {
    fields! { reader, LocationClosed:
        required {
            "merchant_id" => merchant = reader.id_64();
            "location" => location = above_zero(reader);
        }
        optional {}
    }
    let merchant = MerchantId(merchant);
    Ok(Command::LocationClosed { merchant, location: LocationId(location) })
}

/// A location other than 0, which is always open.
fn above_zero(reader: &mut Reader<'_, '_>) -> Result<u32, Fault> {
    match reader.id_32()? {
        0 => Err(Must::AboveZero.into()),
        location => Ok(location),
    }
}

fn tick<'a>(reader: &mut Reader<'_, 'a>) -> Result<Command<'a>, Fault> {
    while reader.json.member()? {
        let key = reader.json.key()?;
        reader.unlisted(key)?;
    }
    Ok(Command::Tick)
}
