//! The pages in a real headless Chromium: `tests/board/page.mjs` looks, this serves and feeds.
//!
//! It needs Chromium, Node.js and, once, `npm ci --ignore-scripts` in `tests/board`. Where they are
//! missing it says loudly that it did not run; `FLOODGATE_REQUIRE_BROWSER=1` makes that a failure.

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use board::{Access, Board, Clock, Compare, Settings, serve};
use support::{DAY_OFFSET_MS, Fed, Sale, read_to_its_end};

/// How often the sale goes on.
const RHYTHM: Duration = Duration::from_millis(100);
/// Figures count as old soon, so that the test need not wait long for it.
const STALE_MS: u64 = 2_000;

/// What is missing, if anything is.
fn tools() -> Result<(PathBuf, PathBuf), String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/board");
    if !folder.join("node_modules/playwright-core").is_dir() {
        return Err("run `npm ci --ignore-scripts` in tests/board".to_owned());
    }
    if Command::new("node").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Err("install Node.js, version 20 or newer".to_owned());
    }
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let known = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let mut found = named.into_iter().chain(known.map(PathBuf::from));
    let chromium = found.find(|path| path.is_file());
    Ok((folder, chromium.ok_or("install Chromium, or name it in CHROMIUM")?))
}

#[test]
#[allow(clippy::print_stderr, reason = "whether the pages were looked at must be seen")]
fn the_pages_hold_what_they_promise() {
    let (folder, chromium) = match tools() {
        Ok(found) => found,
        Err(missing) => {
            let required =
                std::env::var("FLOODGATE_REQUIRE_BROWSER").is_ok_and(|value| value == "1");
            assert!(!required, "the pages cannot be looked at: {missing}");
            eprintln!("\n*** The board's pages were NOT looked at: {missing}. ***\n");
            return;
        }
    };
    let source = Fed::default();
    let settings = Settings {
        day_offset_ms: DAY_OFFSET_MS,
        days: 3,
        stale_ms: STALE_MS,
        clock: Clock::Records,
        compare: Some(compare()),
        access: Access::default(),
    };
    let board = Board::start(Box::new(source.clone()), settings).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    serve(listener, &board).unwrap();

    let mut node = Command::new("node")
        .arg("page.mjs")
        .args(std::env::var("FLOODGATE_PAGE_CHECK").ok())
        .current_dir(folder)
        .env("BOARD_URL", address)
        .env("CHROMIUM", chromium)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node can be run");
    let mut replies = node.stdin.take().expect("it is piped");
    let said = BufReader::new(node.stdout.take().expect("it is piped"));
    let (tell, told) = channel();
    let reader = std::thread::spawn(move || {
        for line in said.lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    drive(&source, &told, &mut replies);
    reader.join().unwrap();
    let status = node.wait().unwrap();
    assert!(status.success(), "the pages do not hold what they promise; see above");
}

/// Sells without a pause, but for those that are asked for, until nobody asks any more.
#[allow(clippy::print_stderr, reason = "what was looked at must be seen")]
fn drive(source: &Fed, told: &Receiver<String>, replies: &mut ChildStdin) {
    let mut sale = Sale::new(7, 2_000);
    sale.history(1_800, 40);
    source.feed(sale.records());
    let mut paused = false;
    loop {
        match told.recv_timeout(RHYTHM) {
            Ok(line) => match line.strip_prefix("do ") {
                None => eprintln!("{line}"),
                Some(what) => {
                    match what {
                        "hide" => source.stand(vec![read_to_its_end(3, 2)]),
                        "reveal" => source.stand(vec![read_to_its_end(3, 0)]),
                        _ => paused = what == "pause",
                    }
                    let sum = |of: fn(&board::Counters) -> u128| sale.sum("all", "all", of);
                    let (settled, refunded) = (sum(|c| c.settled), sum(|c| c.refunded));
                    let net = settled - refunded;
                    let reply = format!("{{\"settled\":{settled},\"net\":{net}}}");
                    writeln!(replies, "{reply}").expect("node listens");
                }
            },
            Err(RecvTimeoutError::Timeout) if !paused => {
                sale.now_ms += RHYTHM.as_millis() as u64;
                (0..10).for_each(|_| sale.sell(20));
                source.feed(sale.records());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn compare() -> Compare {
    let minute = |of_day: u64| {
        let settled = 210_000_000 + 6_300_000_000 / (1 + of_day);
        format!(
            r#"{{"of_day":{of_day},"orders_placed":{of_day},"placed":{settled},"settled":{settled},"refunded":0}}"#
        )
    };
    let minutes: Vec<String> = (0..1_440).map(minute).collect();
    let file = tempfile::NamedTempFile::new().expect("there is a temporary directory");
    let text = format!(r#"{{"day":"2024-11-11","minutes":[{}]}}"#, minutes.join(","));
    std::fs::write(file.path(), text).expect("it can be written");
    Compare::load(file.path()).expect("it is a day")
}
