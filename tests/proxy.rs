//! A proxy between Kafka's clients and a broker that loses one request, or one answer, on its way.
//!
//! Not a model of a network: everything else passes unharmed. The broker advertises the proxy's
//! address, so that all clients come through it. Invariant: what is lost is lost together with its
//! connection, as TCP does it, and it is lost once.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

/// What to lose next, by the number of the request in Kafka's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The request never reaches the broker.
    Request(i16),
    /// The broker answers, and the answer never reaches the client.
    Answer(i16),
    /// Not lost: an offset commit of a transaction reaches the broker with the generation before
    /// its own, as if the group had gone on while it was under way.
    Generation,
}

pub(crate) const COMMIT_OFFSETS: i16 = 28;

/// See the module's documentation. It works until the process ends.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    broker: OnceLock<String>,
    next_loss: Mutex<Option<Loss>>,
}

impl Proxy {
    pub(crate) fn start() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let proxy = Proxy { address, shared: shared.clone() };
        thread::spawn(move || {
            for client in listener.incoming() {
                // A broker that is down refuses; the client sees its connection closed.
                drop(client.and_then(|client| pass_on(client, &shared)));
            }
        });
        proxy
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Says where the broker is.
    pub(crate) fn connect(&self, broker: &str) {
        self.shared.broker.set(broker.to_owned()).unwrap();
    }

    pub(crate) fn lose(&self, loss: Loss) {
        *self.shared.next_loss.lock().unwrap() = Some(loss);
    }

    /// Whether what was to be lost is lost.
    pub(crate) fn has_lost(&self) -> bool {
        self.shared.next_loss.lock().unwrap().is_none()
    }
}

fn pass_on(client: TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    let broker = TcpStream::connect(shared.broker.get().map_or("", String::as_str))?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let swallow = Arc::new(AtomicBool::new(false));
    let (from, to) = (client.try_clone()?, broker.try_clone()?);
    let (shared, swallow_too) = (shared.clone(), swallow.clone());
    thread::spawn(move || {
        drop(requests(&from, &to, &shared, &swallow));
        drop(from.shutdown(Shutdown::Both).and(to.shutdown(Shutdown::Both)));
    });
    thread::spawn(move || {
        drop(answers(&broker, &client, &swallow_too));
        drop(client.shutdown(Shutdown::Both).and(broker.shutdown(Shutdown::Both)));
    });
    Ok(())
}

/// Passes requests on, one after the other; ends when one is lost.
fn requests(
    mut client: &TcpStream,
    mut broker: &TcpStream,
    shared: &Shared,
    swallow: &AtomicBool,
) -> std::io::Result<()> {
    loop {
        let mut length = [0; 4];
        client.read_exact(&mut length)?;
        let mut request = vec![0; u32::from_be_bytes(length) as usize];
        client.read_exact(&mut request)?;
        let api_key = i16::from_be_bytes([request[0], request[1]]);
        let mut next_loss = shared.next_loss.lock().unwrap();
        if *next_loss == Some(Loss::Request(api_key)) {
            *next_loss = None;
            return Ok(());
        }
        if *next_loss == Some(Loss::Generation) && api_key == COMMIT_OFFSETS {
            *next_loss = None;
            age(&mut request);
        }
        if *next_loss == Some(Loss::Answer(api_key)) {
            *next_loss = None;
            // The other thread reads it only after the broker has got the request.
            swallow.store(true, Ordering::SeqCst);
        }
        drop(next_loss);
        broker.write_all(&[&length[..], &request].concat())?;
    }
}

/// Sets the generation of a TxnOffsetCommit request (version 3: behind the header's client id come
/// the transactional id, the group, the producer's id and its epoch) to the one before.
fn age(request: &mut [u8]) {
    let client_id_bytes = usize::from(u16::from_be_bytes([request[8], request[9]]));
    let mut at = 10 + client_id_bytes + 1;
    for _ in ["transactional id", "group"] {
        assert!(request[at] < 0x80, "the proxy reads short names only");
        at += usize::from(request[at]);
    }
    at += 8 + 2;
    let generation = i32::from_be_bytes([0, 1, 2, 3].map(|byte| request[at + byte]));
    assert!((1..1_000).contains(&generation), "{generation} is no generation of a test");
    request[at..at + 4].copy_from_slice(&(generation - 1).to_be_bytes());
}

/// Passes answers on; ends when one is to be swallowed.
fn answers(
    mut broker: &TcpStream,
    mut client: &TcpStream,
    swallow: &AtomicBool,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let bytes = broker.read(&mut buffer)?;
        if bytes == 0 || swallow.load(Ordering::SeqCst) {
            return Ok(());
        }
        client.write_all(&buffer[..bytes])?;
    }
}
