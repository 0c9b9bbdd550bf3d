//! A proxy between Kafka's clients and a broker: it loses requests and answers, cuts and delays
//! connections, and remembers who committed which transaction when.
//!
//! Not a model of a network: what it is not told to harm passes unharmed. A broker advertises its
//! address on a listener of its own ([`crate::Options::behind`]), so that whoever bootstraps here
//! comes through here ever after. Invariant: what is lost is lost together with its connection, as TCP
//! does it, and it is lost once.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

/// What to lose next, by the number of the request in Kafka's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The request never reaches the broker.
    Request(i16),
    /// The broker answers, and the answer never reaches the client.
    Answer(i16),
    /// Not lost: an offset commit of a transaction reaches the broker with the generation before
    /// its own, as if the group had gone on while it was under way.
    Generation,
}

/// Number of the request TxnOffsetCommit.
pub const COMMIT_OFFSETS: i16 = 28;
/// Number of the request EndTxn.
pub const END_TRANSACTION: i16 = 26;

/// Commits that are remembered, all clients together; the oldest are forgotten first.
const COMMITS_MAX: usize = 100_000;

/// A transaction that the broker committed.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The `client.id` of who asked for it.
    pub client: String,
    /// When the broker's answer passed by.
    pub at: SystemTime,
}

/// See the module's documentation. It works until the process ends.
#[derive(Debug, Clone)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    broker: String,
    next_loss: Option<Loss>,
    /// Whether connections are refused.
    is_down: bool,
    /// What each message waits before it is passed on.
    delay: Duration,
    /// Both ends of what is connected, by number.
    connections: BTreeMap<u64, [TcpStream; 2]>,
    connected: u64,
    commits: VecDeque<Commit>,
}

impl Proxy {
    /// Listens on a free port. Without a broker it refuses.
    pub fn start() -> io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Mutex::new(State::default()));
        let proxy = Proxy { address, shared: shared.clone() };
        thread::spawn(move || {
            for client in listener.incoming() {
                // A broker that is down refuses; the client sees its connection closed.
                drop(client.and_then(|client| pass_on(client, &shared)));
            }
        });
        Ok(proxy)
    }

    /// Where clients find it, as `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Says where the broker is.
    pub fn connect(&self, broker: &str) {
        broker.clone_into(&mut lock(&self.shared).broker);
    }

    /// Has the next such message lost.
    pub fn lose(&self, loss: Loss) {
        lock(&self.shared).next_loss = Some(loss);
    }

    /// Whether what was to be lost is lost.
    pub fn has_lost(&self) -> bool {
        lock(&self.shared).next_loss.is_none()
    }

    /// Cuts all connections, and refuses new ones until [`Self::restore`].
    pub fn cut(&self) {
        let mut state = lock(&self.shared);
        state.is_down = true;
        for (_, ends) in std::mem::take(&mut state.connections) {
            close(&ends[0], &ends[1]);
        }
    }

    /// Has every message, in both directions, wait this long.
    pub fn delay(&self, delay: Duration) {
        lock(&self.shared).delay = delay;
    }

    /// Harms nothing any more.
    pub fn restore(&self) {
        let mut state = lock(&self.shared);
        (state.is_down, state.delay, state.next_loss) = (false, Duration::ZERO, None);
    }

    /// The transactions of this client that the broker committed, oldest first.
    pub fn commits_of(&self, client: &str) -> Vec<Commit> {
        let state = lock(&self.shared);
        state.commits.iter().filter(|commit| commit.client == client).cloned().collect()
    }
}

/// Nothing can panic while the state is changed.
fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn close(client: &TcpStream, broker: &TcpStream) {
    drop(client.shutdown(Shutdown::Both).and(broker.shutdown(Shutdown::Both)));
}

/// A connection as its two threads see it.
struct Passage {
    number: u64,
    client: TcpStream,
    broker: TcpStream,
    shared: Arc<Mutex<State>>,
    /// Requests whose answers are of interest, by their correlation id.
    awaited: Mutex<BTreeMap<[u8; 4], Awaited>>,
}

#[derive(Debug)]
enum Awaited {
    /// The answer is to be lost.
    Lost,
    /// The answer says whether this client's transaction is committed.
    Commit { client: String },
}

fn pass_on(client: TcpStream, shared: &Arc<Mutex<State>>) -> io::Result<()> {
    let address = {
        let state = lock(shared);
        if state.is_down {
            return Ok(());
        }
        state.broker.clone()
    };
    let broker = TcpStream::connect(address)?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let ends = [client.try_clone()?, broker.try_clone()?];
    let number = {
        let mut state = lock(shared);
        // It may have been cut while it was being made.
        if state.is_down {
            return Ok(());
        }
        state.connected += 1;
        let number = state.connected;
        state.connections.insert(number, ends);
        number
    };
    let awaited = Mutex::default();
    let passage = Arc::new(Passage { number, client, broker, shared: shared.clone(), awaited });
    let back = passage.clone();
    thread::spawn(move || passage.run(Passage::requests));
    thread::spawn(move || back.run(Passage::answers));
    Ok(())
}

impl Passage {
    /// One direction, until either end closes or something is lost; then both directions end.
    fn run(&self, direction: impl FnOnce(&Passage) -> io::Result<()>) {
        drop(direction(self));
        close(&self.client, &self.broker);
        lock(&self.shared).connections.remove(&self.number);
    }

    /// Passes requests on, one after the other; ends when one is lost.
    fn requests(&self) -> io::Result<()> {
        loop {
            let mut request = read_message(&self.client)?;
            let header = Header::of(&request)?;
            let (delay, is_lost) = {
                let mut state = lock(&self.shared);
                let is_lost = self.harm(&mut state, &header, &mut request);
                (state.delay, is_lost)
            };
            if is_lost {
                return Ok(());
            }
            wait(delay);
            write_message(&self.broker, &request)?;
        }
    }

    /// Does to a request what is to be done to it; true if it is lost.
    fn harm(&self, state: &mut State, header: &Header, request: &mut [u8]) -> bool {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        if header.api_key == END_TRANSACTION && is_commit(request) {
            let client = header.client.clone();
            awaited.insert(header.correlation, Awaited::Commit { client });
        }
        let strikes = match state.next_loss {
            Some(Loss::Request(key) | Loss::Answer(key)) => key == header.api_key,
            Some(Loss::Generation) => header.api_key == COMMIT_OFFSETS,
            None => false,
        };
        if !strikes {
            return false;
        }
        match state.next_loss.take() {
            Some(Loss::Request(_)) => return true,
            Some(Loss::Answer(_)) => drop(awaited.insert(header.correlation, Awaited::Lost)),
            Some(Loss::Generation) => age(request),
            None => {}
        }
        false
    }

    /// Passes answers on; ends when one is to be lost.
    fn answers(&self) -> io::Result<()> {
        loop {
            let answer = read_message(&self.broker)?;
            let correlation = bytes(&answer, 0)?;
            let awaited = {
                let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
                awaited.remove(&correlation)
            };
            match awaited {
                Some(Awaited::Lost) => return Ok(()),
                Some(Awaited::Commit { client }) => self.remember(client, &answer)?,
                None => {}
            }
            let delay = lock(&self.shared).delay;
            wait(delay);
            write_message(&self.client, &answer)?;
        }
    }

    /// Remembers a commit. Of an EndTxn answer (up to version 2: behind the correlation id comes the
    /// throttle time) the error code says whether it is one.
    fn remember(&self, client: String, answer: &[u8]) -> io::Result<()> {
        if bytes(answer, 8)? == [0, 0] {
            let mut state = lock(&self.shared);
            if state.commits.len() == COMMITS_MAX {
                state.commits.pop_front();
            }
            state.commits.push_back(Commit { client, at: SystemTime::now() });
        }
        Ok(())
    }
}

/// The header of a request.
struct Header {
    api_key: i16,
    correlation: [u8; 4],
    client: String,
}

impl Header {
    fn of(request: &[u8]) -> io::Result<Header> {
        let client_bytes = usize::from(u16::from_be_bytes(bytes(request, 8)?));
        // A length of −1 stands for no client id.
        let client = request.get(10..10 + client_bytes).unwrap_or_default();
        Ok(Header {
            api_key: i16::from_be_bytes(bytes(request, 0)?),
            correlation: bytes(request, 4)?,
            client: String::from_utf8_lossy(client).into_owned(),
        })
    }
}

/// Whether an EndTxn request asks for a commit: its last byte, up to version 2.
fn is_commit(request: &[u8]) -> bool {
    request.last() == Some(&1)
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

fn wait(delay: Duration) {
    if !delay.is_zero() {
        thread::sleep(delay);
    }
}

/// A request or an answer, without its length.
fn read_message(mut from: &TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut message = vec![0; u32::from_be_bytes(length) as usize];
    from.read_exact(&mut message)?;
    Ok(message)
}

fn write_message(mut to: &TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    to.write_all(&[&length.to_be_bytes()[..], message].concat())
}

fn bytes<const N: usize>(message: &[u8], at: usize) -> io::Result<[u8; N]> {
    let found = message.get(at..at + N).and_then(|found| found.try_into().ok());
    found.ok_or_else(|| io::Error::other("the message is too short"))
}
