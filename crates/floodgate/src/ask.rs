//! A small HTTP request by hand: one GET to one address is not worth a client library.
//!
//! Not for strangers: it asks services of this project, over plain HTTP. Invariant: every wait and
//! every answer is bounded.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context;

const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// The longest answer is a merchant's stock: some 60 bytes for each of some thousand locations.
const ANSWER_BYTES_MAX: u64 = 8 << 20;

/// Status code and body of the answer.
pub(crate) fn get(at: &str, path: &str) -> anyhow::Result<(u16, String)> {
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
