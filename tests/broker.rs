//! Starts a Kafka broker on loopback and keeps it until standard input ends: for trying things out
//! where Java and Maven are, but no Kafka. Listens at the port given as its argument, or at a free one.
#![allow(clippy::print_stdout, reason = "it tells where the broker listens")]

use std::io::Read;

use e2e::{KafkaServer, Options};

fn main() {
    let port = std::env::args().nth(1).map(|port| port.parse().expect("a port is a number"));
    let server = match KafkaServer::start(&Options { port, ..Options::default() }) {
        Ok(server) => server,
        Err(unavailable) => panic!("{unavailable}"),
    };
    println!("{}", server.bootstrap());
    let mut ignored = Vec::new();
    std::io::stdin().read_to_end(&mut ignored).expect("standard input can be read");
}
