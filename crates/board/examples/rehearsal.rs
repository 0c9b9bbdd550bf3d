//! The board on a made-up sale day, with nothing installed: to look at the page, and to work on it.
//!
//! `cargo run -p board --example rehearsal -- [ADDRESS] [SECONDS SINCE MIDNIGHT] [SCALE]`
#![allow(clippy::print_stdout, reason = "it tells where it listens")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::net::TcpListener;
use std::time::Duration;

use board::{Access, Board, Clock, Compare, Settings, serve};
use support::{DAY_OFFSET_MS, Fed, Sale};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: u64| {
        let given = arguments.get(index).map(|text| text.parse().expect("a number"));
        given.unwrap_or(default)
    };
    let address = arguments.first().map_or("127.0.0.1:9465", String::as_str);
    let (seconds, scale) = (number(1, 751), number(2, 40));
    let source = Fed::default();
    let settings = Settings {
        day_offset_ms: DAY_OFFSET_MS,
        days: 3,
        stale_ms: 5_000,
        clock: Clock::Records,
        compare: Some(last_year(scale)),
        access: Access::default(),
    };
    let board = Board::start(Box::new(source.clone()), settings).expect("a thread can be started");
    let listener = TcpListener::bind(address).expect("the address is free");
    println!("http://{}", listener.local_addr().expect("it is bound"));
    serve(listener, &board).expect("it can be served");
    let mut sale = Sale::new(7, 20_000);
    sale.history(seconds, scale);
    loop {
        source.feed(sale.records());
        std::thread::sleep(Duration::from_millis(500));
        for _ in 0..40 {
            sale.now_ms += 500 / 40;
            let orders = 1 + scale / 4 + sale.roll(scale / 2 + 1);
            sale.sell(orders);
        }
        sale.now_ms += 500 % 40;
    }
}

/// A whole day, a little less than this one.
fn last_year(scale: u64) -> Compare {
    let minute = |of_day: u64| {
        let settled = scale * 700_000 * (22 + 600 / (4 + 4 * of_day));
        let [placed, refunded] = [settled * 11 / 10, settled / 60];
        format!(
            r#"{{"of_day":{of_day},"orders_placed":{},"placed":{placed},"settled":{settled},"refunded":{refunded}}}"#,
            settled / 20_000
        )
    };
    let minutes: Vec<String> = (0..1_440).map(minute).collect();
    let file =
        std::env::temp_dir().join(format!("floodgate-rehearsal-{}.json", std::process::id()));
    let text = format!(r#"{{"day":"2024-11-11","minutes":[{}]}}"#, minutes.join(","));
    std::fs::write(&file, text).expect("the temporary directory can be written to");
    let compare = Compare::load(&file).expect("it is a day");
    std::fs::remove_file(&file).ok();
    compare
}
