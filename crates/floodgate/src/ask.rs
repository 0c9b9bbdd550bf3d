//! A small HTTP request by hand: one GET to one address is not worth a client library.
//!
//! Not for strangers: it asks services of this project, over plain HTTP. Invariant: every wait and
//! every answer is bounded.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

/// From the first try to connect until the last byte of the answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// The longest answer is a merchant's stock: some 60 bytes for each of some thousand locations.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Status code and body of the answer.
pub(crate) fn get(at: &str, path: &str) -> anyhow::Result<(u16, String)> {
    get_within(at, path, ANSWER_WAIT)
}

fn get_within(at: &str, path: &str, wait: Duration) -> anyhow::Result<(u16, String)> {
    let deadline = Instant::now() + wait;
    let mut stream = connect(at, deadline)?;
    stream.set_write_timeout(Some(left_until(deadline)?))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {at}\r\nConnection: close\r\n\r\n")?;
    let answer = String::from_utf8(read_until(&mut stream, deadline)?)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("not an HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.context("no HTTP status")?, body.to_owned()))
}

/// Tries each address of a name.
fn connect(at: &str, deadline: Instant) -> anyhow::Result<TcpStream> {
    let mut refused = None;
    for address in at.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left_until(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) => Err(error.into()),
        None => bail!("{at} has no address"),
    }
}

/// Reads to the end; a deadline for each piece would wait for ever for one that sends byte by byte.
fn read_until(stream: &mut TcpStream, deadline: Instant) -> anyhow::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        stream.set_read_timeout(Some(left_until(deadline)?))?;
        match stream.read(&mut piece)? {
            0 => return Ok(answer),
            read => answer.extend_from_slice(&piece[..read]),
        }
        ensure!(answer.len() <= ANSWER_BYTES_MAX, "the answer is too long");
    }
}

/// Never zero, which would be no bound.
fn left_until(deadline: Instant) -> anyhow::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    ensure!(!left.is_zero(), "no whole answer in time");
    Ok(left)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc::{RecvTimeoutError, channel};

    use super::*;

    #[test]
    fn an_answer_that_comes_byte_by_byte_is_waited_for_without_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap().to_string();
        let (enough, is_enough) = channel::<()>();
        let dripping = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").unwrap();
            // It would end in half a minute.
            for _ in 0..3_000 {
                let pause = is_enough.recv_timeout(Duration::from_millis(10));
                if pause != Err(RecvTimeoutError::Timeout) || stream.write_all(b".").is_err() {
                    break;
                }
            }
        });
        let answer = get_within(&at, "/", Duration::from_millis(300));
        drop(enough);
        dripping.join().unwrap();
        assert!(answer.is_err(), "{answer:?}");
    }
}
