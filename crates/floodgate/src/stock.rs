//! `floodgate stock get`: live stock from a running `settle`.
//!
//! A small HTTP request by hand: one GET to one address is not worth a client library.
//! Invariant: the answer is printed as it came, or the exit code says that there is none.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::arguments::{Format, StockGet};
use crate::exit::Exit;
use crate::print::say;

const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// An answer has some 60 bytes for each location, of which a merchant has some thousands at most.
const ANSWER_BYTES_MAX: u64 = 8 << 20;

/// Prints the stock; exit code 1 if there is no such SKU.
pub(crate) fn get(arguments: &StockGet) -> anyhow::Result<Exit> {
    let StockGet { merchant, sku, at, format } = arguments;
    let (status, body) = request(at, &format!("/api/v1/stock/{merchant}/{sku}"))
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

/// Status code and body of the answer.
fn request(at: &str, path: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(ANSWER_WAIT))?;
    stream.set_write_timeout(Some(ANSWER_WAIT))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {at}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("not an HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.context("no HTTP status")?, body.to_owned()))
}
