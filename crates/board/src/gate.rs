//! The listening socket, with a bound on who is inside.
//!
//! Not the question who may read: that is [`crate::access`]. Invariant: there are never more connections
//! than places, and one on which nothing moves for long is closed, so that whoever opens many and says
//! nothing, or never takes what it asked for, keeps nobody out.

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections at once: twice the streams, since a page asks for more than its stream.
const PLACES: usize = 8_192;
/// On a stream something moves every second.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// See the module's documentation.
pub(crate) struct Gate {
    listener: TcpListener,
    places: Arc<Semaphore>,
    idle_max: Duration,
}

impl Gate {
    pub(crate) fn new(listener: TcpListener) -> Gate {
        Gate::with_bounds(listener, PLACES, IDLE_MAX)
    }

    fn with_bounds(listener: TcpListener, places: usize, idle_max: Duration) -> Gate {
        Gate { listener, places: Arc::new(Semaphore::new(places)), idle_max }
    }
}

impl Listener for Gate {
    type Io = Guest;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guest, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.expect("the semaphore is never closed");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let idle = Box::pin(sleep(self.idle_max));
        (Guest { stream, idle, idle_max: self.idle_max, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection with its place.
pub(crate) struct Guest {
    stream: TcpStream,
    /// Ends when nothing has moved for `idle_max`.
    idle: Pin<Box<Sleep>>,
    idle_max: Duration,
    _place: OwnedSemaphorePermit,
}

impl Guest {
    /// What came of a read or a write; an error if it has waited for too long.
    fn moved<T>(
        &mut self,
        context: &mut Context<'_>,
        moved: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if moved.is_pending() {
            ready!(self.idle.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.idle.as_mut().reset(Instant::now() + self.idle_max);
        moved
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        self.moved(context, read)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.moved(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.moved(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::time::Duration;

    use super::Gate;

    /// A server that answers `hello`, with so many places.
    fn serve(places: usize, idle_max: Duration) -> (tokio::runtime::Runtime, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let gate = Gate::with_bounds(listener, places, idle_max);
            let router = axum::Router::new().fallback(|| async { "hello" });
            axum::serve(gate, router).await
        });
        (runtime, address)
    }

    fn ask(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        stream
    }

    fn answer(mut stream: TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn who_says_nothing_is_shown_out_and_makes_room() {
        let (_runtime, address) = serve(1, Duration::from_millis(100));
        let mut silent = TcpStream::connect(address).unwrap();
        // The one place is taken; this waits for it.
        let waiting = ask(address);
        assert!(answer(waiting).ends_with("hello"));
        let mut nothing = Vec::new();
        // Closed, in order or not.
        drop(silent.read_to_end(&mut nothing));
        assert!(nothing.is_empty());
    }

    #[test]
    fn no_more_are_let_in_than_there_are_places() {
        let (_runtime, address) = serve(1, Duration::from_secs(3_600));
        let inside = TcpStream::connect(address).unwrap();
        let waiting = ask(address);
        waiting.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let early = (&waiting).read(&mut [0]);
        assert!(early.is_err(), "answered while the place was taken: {early:?}");
        drop(inside);
        waiting.set_read_timeout(None).unwrap();
        assert!(answer(waiting).ends_with("hello"));
    }
}
