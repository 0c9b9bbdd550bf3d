//! The contract's own example log: every input decodes, or is refused, as its output says, and every
//! form of output is written as it stands there.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs::read_to_string;

use ledger::command::ExternalId;
use ledger::effect::{Effect, OrderRef, PlacedLine};
use ledger::rules::Partitioner;
use ledger::units::{
    BuyerId, Channel, LocationId, MerchantId, Millis, Money, Offset, Region, SkuId, Units,
};
use serde_json::Value;
use wire::{Decoder, Encoder, NoHeaders, Outputs, Record, Route, Scratch};

fn lines(name: &str) -> Vec<(String, Value)> {
    let path = format!("{}/../../docs/examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = read_to_string(path).unwrap();
    text.lines().map(|line| (line.to_owned(), serde_json::from_str(line).unwrap())).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[test]
fn example_inputs_are_refused_where_the_outputs_say_so() {
    let outputs = lines("output.jsonl");
    let route = Route { partition: 0, partitions: 1, partitioner: Partitioner::Murmur2 };
    let mut decoder = Decoder::new(route);
    for (line, input) in lines("input.jsonl") {
        let record = Record {
            partition: 0,
            offset: Offset(number(&input["offset"])),
            timestamp: input["timestamp"].as_i64().unwrap(),
            key: input["key"].as_str().map(str::as_bytes),
            value: input["value"].as_str().map(str::as_bytes),
            headers: &NoHeaders,
        };
        let refused = decoder.decode(&record, &Scratch::new()).err().map(|refused| refused.code);
        let expected = outputs
            .iter()
            .filter(|(_, output)| output["input"] == input["offset"])
            .find_map(|(_, output)| output["code"].as_str())
            .filter(|code| ["too_large", "invalid", "misrouted"].contains(code));
        assert_eq!(refused.map(|code| code.code()), expected, "{line}");
    }
}

/// Settled orders are the hot output: each of the example is rebuilt from its values, byte for byte.
#[test]
fn example_settlements_are_written_as_they_stand() {
    let mut settled = 0;
    for (line, output) in lines("output.jsonl") {
        let value = &output["value"];
        if value["type"] != "order.settled" {
            continue;
        }
        let lines = value["lines"].as_array().unwrap().iter().map(|line| PlacedLine {
            sku: SkuId(number(&line["sku"])),
            qty: Units(number(&line["qty"]) as u32),
            unit_price: Money(number(&line["unit_price"])),
            location: LocationId(number(&line["location"]) as u32),
        });
        let effect = Effect::OrderSettled {
            order: OrderRef {
                merchant: MerchantId(number(&value["merchant_id"])),
                order_id: ExternalId::new(value["order_id"].as_str().unwrap()).unwrap(),
            },
            buyer: BuyerId(number(&value["buyer_id"])),
            amount: Money(number(&value["amount"])),
            discount: Money(number(&value["discount"])),
            lines: &lines.collect::<Vec<_>>(),
            channel: Channel::from_name(value["channel"].as_str().unwrap()),
            region: Region::new(value["region"].as_str().unwrap().parse().unwrap()).unwrap(),
            rural: value["area"] == "rural",
            placed_at: Millis(number(&value["placed_at"])),
        };
        let cause = Record {
            partition: 0,
            offset: Offset(number(&value["offset"])),
            timestamp: 0,
            key: None,
            value: None,
            headers: &NoHeaders,
        };
        let mut outputs = Outputs::new();
        let at = Millis(number(&value["at"]));
        Encoder::new("orders").effect(&mut outputs, &cause, at, &effect);
        let written = std::str::from_utf8(outputs.get(0).unwrap().value.unwrap()).unwrap();
        let expected = line.split_once(r#""value":"#).unwrap().1.strip_suffix('}').unwrap();
        assert_eq!(written, expected);
        settled += 1;
    }
    assert_eq!(settled, 7, "the example settles seven orders");
}
