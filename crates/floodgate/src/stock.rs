//! `floodgate stock get`: live stock from a running `settle`.
//!
//! Not a client of Kafka: it asks the process that works on the merchant's partition. Invariant: the
//! answer is printed as it came, or the exit code says that there is none.

use anyhow::Context;
use serde_json::Value;

use crate::arguments::{Format, StockGet};
use crate::ask;
use crate::exit::Exit;
use crate::print::say;

/// Prints the stock; exit code 1 if there is no such SKU.
pub(crate) fn get(arguments: &StockGet) -> anyhow::Result<Exit> {
    let StockGet { merchant, sku, at, format } = arguments;
    let (status, body) = ask::get(at, &format!("/api/v1/stock/{merchant}/{sku}"))
        .with_context(|| format!("asking http://{at}; --at names where a settle listens"))?;
    let answer: Value = serde_json::from_str(&body).context("the answer is not JSON")?;
    if *format == Format::Json {
        say(&answer.to_string());
    } else if let Some(error) = answer["error"].as_str() {
        say(error);
    } else {
        print(&answer);
    }
    Ok(if status == 200 { Exit::Well } else { Exit::DoesNotHold })
}

fn print(answer: &Value) {
    let listed = if answer["listed"] == true { "listed" } else { "not listed" };
    say(&format!(
        "merchant {}, SKU {}, {listed}, safety stock {}",
        answer["merchant_id"], answer["sku"], answer["safety_stock"]
    ));
    say(&format!("{:>12} {:>12} {:>12} {:>12}", "location", "on_hand", "held", "available"));
    for stock in answer["locations"].as_array().into_iter().flatten() {
        say(&format!(
            "{:>12} {:>12} {:>12} {:>12}",
            stock["location"].to_string(),
            stock["on_hand"].to_string(),
            stock["held"].to_string(),
            stock["available"].to_string()
        ));
    }
}
