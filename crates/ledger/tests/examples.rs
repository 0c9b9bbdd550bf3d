//! The contract's own example: `docs/examples/input.jsonl` must become `output.jsonl`.
//!
//! Not a decoder: it reads just what the example uses, and checks key and type where the example's
//! dead letters need it. Invariant: every output line of the example is met, in order, and no other.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the example has to fail")]

mod support;

use ledger::command::{
    Command, ExternalId, Fulfilment, Line, LocationOpened, OrderPaid, OrderPlaced, OrderRefunded,
    Part, Presale, RefundLine, Settle, SkuListed, StockMoved, StockReceived,
};
use ledger::effect::{DeadLetter, Effect, PlacedLine};
use ledger::units::{
    BuyerId, Category, Channel, LocationId, MerchantId, Millis, Money, Offset, Region, SkuId, Units,
};
use ledger::{Ledger, rules::Rules};
use serde_json::{Value, json};

fn examples(name: &str) -> Vec<Value> {
    let path = format!("{}/../../docs/examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn number(value: &Value, name: &str) -> Option<u64> {
    let field = &value[name];
    field.as_u64().or_else(|| field.as_str()?.parse().ok())
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}"))
}

fn id<'a>(value: &'a Value, name: &str) -> ExternalId<'a> {
    ExternalId::new(text(value, name)).unwrap()
}

fn region(value: &Value) -> Region {
    value["region"]
        .as_str()
        .map_or(Region::UNKNOWN, |code| Region::new(code.parse().unwrap()).unwrap())
}

fn channel(value: &Value) -> Channel {
    value["channel"].as_str().map_or(Channel::Other, Channel::from_name)
}

fn location(value: &Value, name: &str) -> LocationId {
    LocationId(number(value, name).unwrap_or(0) as u32)
}

fn lines(value: &Value) -> Vec<Line> {
    let lines = value["lines"].as_array().into_iter().flatten();
    let line = |line: &Value| Line {
        sku: SkuId(number(line, "sku").unwrap()),
        qty: Units(number(line, "qty").unwrap() as u32),
        unit_price: Money(number(line, "unit_price").unwrap_or(0)),
    };
    lines.map(line).collect()
}

fn refund_lines(value: &Value) -> Vec<RefundLine> {
    let lines = value["lines"].as_array().into_iter().flatten();
    let line = |line: &Value| RefundLine {
        sku: SkuId(number(line, "sku").unwrap()),
        location: location(line, "location"),
        qty: Units(number(line, "qty").unwrap() as u32),
    };
    lines.map(line).collect()
}

/// Calls `with` with the command of a record.
fn decode<R>(record: &Value, with: impl FnOnce(Result<Command<'_>, DeadLetter>) -> R) -> R {
    let Ok(value) = serde_json::from_str::<Value>(text(record, "value")) else {
        return with(Err(DeadLetter::Invalid));
    };
    if text(&value, "type") == "tick" {
        return with(Ok(Command::Tick));
    }
    if text(&value, "type") == "order.placed" && value["lines"].is_null() {
        return with(Err(DeadLetter::Invalid));
    }
    let merchant = MerchantId(number(&value, "merchant_id").unwrap());
    if record["key"] != json!(merchant.0.to_string()) {
        return with(Err(DeadLetter::Misrouted));
    }
    match text(&value, "type") {
        "order.placed" => {
            let lines = lines(&value);
            with(Ok(Command::OrderPlaced(order(merchant, &value, &lines))))
        }
        "order.refunded" => {
            let lines = refund_lines(&value);
            with(Ok(Command::OrderRefunded(refund(merchant, &value, &lines))))
        }
        _ => with(Ok(other(merchant, &value))),
    }
}

fn order<'a>(merchant: MerchantId, value: &'a Value, lines: &'a [Line]) -> OrderPlaced<'a> {
    let discount = number(value, "discount").unwrap_or(0);
    let gross: u64 = lines.iter().map(|line| u64::from(line.qty.0) * line.unit_price.0).sum();
    let pickup = &value["fulfilment"]["mode"] == "pickup";
    let at = location(&value["fulfilment"], "location");
    OrderPlaced {
        merchant,
        order_id: id(value, "order_id"),
        buyer: BuyerId(number(value, "buyer_id").unwrap()),
        placed_at: Millis(number(value, "placed_at").unwrap()),
        lines,
        amount: Money(gross - discount),
        discount: Money(discount),
        channel: channel(value),
        region: region(value),
        rural: value["area"] == "rural",
        fulfilment: if pickup { Fulfilment::Pickup(at) } else { Fulfilment::Ship },
        settle: if value["settle"] == "on_placement" {
            Settle::OnPlacement
        } else {
            Settle::OnPayment
        },
        pay_by: number(value, "pay_by").map(Millis),
        presale: value["presale"].as_object().map(|_| Presale {
            deposit: Money(number(&value["presale"], "deposit").unwrap()),
            balance_due: Millis(number(&value["presale"], "balance_due").unwrap()),
        }),
    }
}

fn refund<'a>(
    merchant: MerchantId,
    value: &'a Value,
    lines: &'a [RefundLine],
) -> OrderRefunded<'a> {
    OrderRefunded {
        merchant,
        refund_id: id(value, "refund_id"),
        order_id: id(value, "order_id"),
        refunded_at: Millis(number(value, "refunded_at").unwrap()),
        amount: Money(number(value, "amount").unwrap()),
        lines,
        restock: value["restock"] == true,
        channel: channel(value),
        region: region(value),
        rural: value["area"] == "rural",
    }
}

fn other(merchant: MerchantId, value: &Value) -> Command<'_> {
    let sku = SkuId(number(value, "sku").unwrap_or(0));
    let received_at = Millis(number(value, "received_at").unwrap_or(0));
    let units = |name| Units(number(value, name).unwrap_or(0) as u32);
    match text(value, "type") {
        "order.paid" => Command::OrderPaid(OrderPaid {
            merchant,
            payment_id: id(value, "payment_id"),
            order_id: id(value, "order_id"),
            amount: Money(number(value, "amount").unwrap()),
            part: match value["part"].as_str() {
                Some("deposit") => Part::Deposit,
                Some("balance") => Part::Balance,
                _ => Part::Full,
            },
            paid_at: Millis(number(value, "paid_at").unwrap()),
        }),
        "order.cancelled" => Command::OrderCancelled { merchant, order_id: id(value, "order_id") },
        "stock.received" => Command::StockReceived(StockReceived {
            merchant,
            receipt_id: id(value, "receipt_id"),
            received_at,
            sku,
            location: location(value, "location"),
            qty: value["qty"].as_i64().unwrap(),
        }),
        "stock.moved" => Command::StockMoved(StockMoved {
            merchant,
            receipt_id: id(value, "receipt_id"),
            received_at,
            sku,
            from: location(value, "from"),
            to: location(value, "to"),
            qty: units("qty"),
        }),
        "sku.listed" => Command::SkuListed(SkuListed {
            merchant,
            sku,
            category: value["category"]
                .as_str()
                .map_or(Category::NONE, |c| Category::new(c).unwrap()),
            per_buyer_limit: units("per_buyer_limit"),
            safety_stock: units("safety_stock"),
        }),
        "sku.withdrawn" => Command::SkuWithdrawn { merchant, sku },
        "location.opened" => Command::LocationOpened(LocationOpened {
            merchant,
            location: location(value, "location"),
            region: region(value),
            priority: number(value, "priority").unwrap_or(100) as u16,
            ships: true,
            pickup: value["kind"] == "store",
        }),
        "location.closed" => {
            Command::LocationClosed { merchant, location: location(value, "location") }
        }
        kind => panic!("no such type: {kind}"),
    }
}

fn placed_lines(lines: &[PlacedLine]) -> Value {
    let line = |l: &PlacedLine| json!({"sku": l.sku.0, "qty": l.qty.0, "unit_price": l.unit_price.0, "location": l.location.0});
    lines.iter().map(line).collect()
}

/// An effect as the example writes it, without `input`, `offset` and `at`.
fn encode(effect: &Effect<'_>) -> Value {
    match effect {
        Effect::HoldReleased { order, reason, amount, lines, forfeited } => {
            let mut value = json!({
                "type": "hold.released", "order_id": order.order_id.as_str(),
                "merchant_id": order.merchant.0, "reason": reason.name(), "amount": amount.0,
                "lines": placed_lines(lines),
            });
            if let Some(sum) = forfeited {
                value["forfeited"] = json!(sum.0);
            }
            value
        }
        Effect::HoldExtended { order, expires_at } => json!({
            "type": "hold.extended", "order_id": order.order_id.as_str(),
            "merchant_id": order.merchant.0, "expires_at": expires_at.0,
        }),
        Effect::PaymentRefused { payment_id, order, amount, refusal } => json!({
            "type": "payment.refused", "payment_id": payment_id.as_str(),
            "order_id": order.order_id.as_str(), "merchant_id": order.merchant.0,
            "amount": amount.0, "reason": refusal.name(),
        }),
        Effect::DeadLetter(code) => json!({ "code": code.code() }),
        Effect::HoldPlaced { .. } | Effect::HoldRejected { .. } => encode_answer(effect),
        Effect::OrderSettled { .. } | Effect::OrderRefunded { .. } => encode_settled(effect),
    }
}

fn encode_answer(effect: &Effect<'_>) -> Value {
    match effect {
        Effect::HoldPlaced { order, buyer, amount, lines, expires_at } => json!({
            "type": "hold.placed", "order_id": order.order_id.as_str(), "merchant_id": order.merchant.0,
            "buyer_id": buyer.0, "amount": amount.0, "lines": placed_lines(lines),
            "expires_at": expires_at.0,
        }),
        Effect::HoldRejected { order, buyer, rejection } => {
            let mut value = json!({
                "type": "hold.rejected", "order_id": order.order_id.as_str(),
                "merchant_id": order.merchant.0, "buyer_id": buyer.0, "reason": rejection.name(),
            });
            if let Some(sku) = rejection.sku() {
                value["sku"] = json!(sku.0);
            }
            value
        }
        _ => unreachable!("called for these two"),
    }
}

fn encode_settled(effect: &Effect<'_>) -> Value {
    let area = |rural: &bool| if *rural { "rural" } else { "urban" };
    let region = |region: &Region| format!("{:06}", region.code());
    match effect {
        Effect::OrderSettled {
            order,
            buyer,
            amount,
            discount,
            lines,
            channel,
            region: code,
            rural,
            placed_at,
        } => json!({
            "type": "order.settled", "order_id": order.order_id.as_str(),
            "merchant_id": order.merchant.0, "buyer_id": buyer.0, "amount": amount.0,
            "discount": discount.0, "lines": placed_lines(lines), "channel": channel.name(),
            "region": region(code), "area": area(rural), "placed_at": placed_at.0,
        }),
        Effect::OrderRefunded {
            refund_id,
            order,
            amount,
            lines,
            restock,
            channel,
            region: code,
            rural,
        } => {
            let line =
                |l: &RefundLine| json!({"sku": l.sku.0, "location": l.location.0, "qty": l.qty.0});
            json!({
                "type": "order.refunded", "refund_id": refund_id.as_str(),
                "order_id": order.order_id.as_str(), "merchant_id": order.merchant.0,
                "amount": amount.0, "lines": lines.iter().map(line).collect::<Value>(),
                "restock": restock, "channel": channel.name(), "region": region(code),
                "area": area(rural),
            })
        }
        _ => unreachable!("called for these two"),
    }
}

fn written(counter: &Value) -> String {
    let figure = |name: &str| counter[name].to_string();
    let (placed, settled) = (figure("orders_placed"), figure("orders_settled"));
    let mut text = format!(
        "placed={placed}/{} settled={settled}/{}/{} refunded={}/{}",
        figure("placed"),
        figure("units_settled"),
        figure("settled"),
        figure("orders_refunded"),
        figure("refunded")
    );
    if counter["dimension"] == "all" {
        text += &format!(
            " rejected={} released={} dead={} duplicates={}",
            figure("orders_rejected"),
            figure("orders_released"),
            figure("dead_letters"),
            figure("duplicates")
        );
    }
    format!("{}/{} {text}", text_of(&counter["dimension"]), text_of(&counter["value"]))
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn the_contracts_example_gives_its_outputs_and_counters() {
    let mut ledger = Ledger::new(Rules::default());
    let mut outputs = Vec::new();
    for record in examples("input.jsonl") {
        let offset = record["offset"].as_u64().unwrap();
        let mut effects = Vec::new();
        decode(&record, |command| {
            let timestamp = record["timestamp"].as_i64().unwrap();
            ledger.apply(Offset(offset), timestamp, command, &mut |effect| {
                effects.push(encode(&effect));
            });
        });
        for mut effect in effects {
            if effect["code"].is_null() {
                effect["offset"] = json!(offset);
                effect["at"] = json!(ledger.time().0);
            }
            outputs.push((offset, effect));
        }
    }
    let (counters, expected): (Vec<Value>, Vec<Value>) =
        examples("output.jsonl").into_iter().partition(|line| line["topic"] == "gmv");
    let expected: Vec<(u64, Value)> = expected
        .into_iter()
        .map(|line| {
            let value = match line.get("code") {
                Some(code) => json!({ "code": code }),
                None => line["value"].clone(),
            };
            (line["input"].as_u64().unwrap(), value)
        })
        .collect();
    for (output, expected) in outputs.iter().zip(&expected) {
        assert_eq!(output, expected);
    }
    assert_eq!(outputs.len(), expected.len());

    let mut book = support::book::Book::default();
    book.close(&mut ledger);
    let seen: Vec<String> = book.lines();
    let mut expected: Vec<String> = counters.iter().map(written).collect();
    expected.sort();
    assert_eq!(seen, expected);
}
