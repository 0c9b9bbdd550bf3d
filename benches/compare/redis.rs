//! Redis where it is installed: stock in a Lua script, as flash sales are often built.
//!
//! No Kafka, no JSON, no settled order and no counter: a duplicate check and one line's stock, the
//! script's call alone, pipelined by Redis' own benchmark, with nothing on disk. Invariant: the server
//! ends with the run.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::process::Process;

use crate::ground::await_some;
use crate::measured::{Came, Round, Written};

/// Remembers the order, then takes a unit of one hot cell.
const SCRIPT: &str = "\
if not redis.call('SET', KEYS[1], 1, 'NX', 'PX', 900000) then return 0 end \
if tonumber(redis.call('GET', KEYS[2])) < 1 then return -1 end \
redis.call('DECR', KEYS[2]) \
return 1";
const CONNECTIONS: &str = "50";
const PIPELINED: &str = "64";
const PATIENCE: Duration = Duration::from_secs(10);

/// One run; none where Redis is not installed.
pub(crate) fn round(orders: u64) -> anyhow::Result<Option<Round>> {
    if !is_installed() {
        skipped();
        return Ok(None);
    }
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let mut server = Command::new("redis-server");
    server.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    server.process_group(0);
    let server = Process::spawn(server);
    let ask = |arguments: &[&str]| -> anyhow::Result<String> {
        let answer = Command::new("redis-cli").args(["-p", &port]).args(arguments).output()?;
        Ok(String::from_utf8_lossy(&answer.stdout).trim().to_owned())
    };
    await_some("Redis", PATIENCE, || Ok((ask(&["PING"])? == "PONG").then_some(())))?;
    ask(&["SET", "stock", "1000000000"])?;
    let script = ask(&["SCRIPT", "LOAD", SCRIPT])?;
    let out = Command::new("redis-benchmark")
        .args(["-p", &port, "-n", &orders.to_string(), "-c", CONNECTIONS, "-P", PIPELINED])
        .args(["-r", "1000000000", "--csv", "EVALSHA", &script, "2"])
        .args(["o__rand_int__", "stock"])
        .output()?;
    let text = String::from_utf8_lossy(&out.stdout);
    let rate = text.lines().last().and_then(|line| line.split("\",\"").nth(1));
    let rate: f64 = rate.context("redis-benchmark said nothing")?.parse()?;
    ensure!(rate > 0.0, "redis-benchmark: {text}");
    drop(server);
    Ok(Some(Round {
        orders,
        orders_per_second: rate,
        second_half_per_second: rate,
        cpu_seconds_per_million: 0.0,
        resident_bytes: 0,
        came: Came::default(),
        written: Written::default(),
        progress: Vec::new(),
    }))
}

fn is_installed() -> bool {
    ["redis-server", "redis-benchmark"].iter().all(|tool| {
        let mut command = Command::new(tool);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

#[expect(clippy::print_stderr, reason = "what is left out is said")]
fn skipped() {
    eprintln!("Redis is left out: `redis-server` and `redis-benchmark` are not installed");
}
