//! One HTTP/2 connection, driven by whoever has something to send.
//!
//! The connection belongs to the background thread: its socket wakes that thread, which reads what comes. A request that
//! another thread makes could be handed to it, too, but then each request would wake the background thread before a byte is
//! sent. So whoever sends a request drives the connection as far as it goes, and the bytes are out before that thread knows
//! of it.
//!
//! Nobody waits for the connection. Who finds it driven leaves a note, and whoever drives it then drives it once more.

use super::pings::{self, Received};
use crate::values::mutex::Mutex;
use crate::world::World;
use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use std::future::poll_fn;
use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use tokio::io::{AsyncRead, AsyncWrite};

/// A stream of bytes to a member.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// What is received ahead of its readers: of one stream, and of all. As hyper has it, and so the client crate's own channel.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 5 * 1024 * 1024;
/// How many streams before the server has said how many it allows: the least that it should.
const FIRST_STREAMS: usize = 100;
const HEADERS: u32 = 16 * 1024;

type Http2 = Connection<Received<Box<dyn Socket>>, Bytes>;

/// Somebody drives the connection.
const DRIVEN: u8 = 1;
/// There is something to do. Whoever drives the connection sees it; if nobody does, the background task has been woken.
const AGAIN: u8 = 2;

/// How often one caller drives the connection on because of what comes meanwhile. The rest is the background's.
const ROUNDS: usize = 4;

/// The connection, and who drives it.
pub(super) struct Driver {
    state: AtomicU8,
    /// Until it is over. Locked by whoever has set `DRIVEN`, and nobody waits for that.
    connection: Mutex<Option<Http2>>,
    background: Mutex<Option<Waker>>,
    /// How many of its streams are in use.
    held: AtomicUsize,
}

/// Speaks HTTP/2 on `socket`, in the background until the connection is closed or nobody can use it any more.
pub(super) async fn connect(world: &World, socket: Box<dyn Socket>) -> io::Result<(SendRequest<Bytes>, Arc<Driver>)> {
    let socket = Received::new(socket);
    let has_received = socket.flag();
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_max_send_streams(FIRST_STREAMS)
        .max_header_list_size(HEADERS)
        .enable_push(false);
    let (send, mut connection) = builder.handshake(socket).await.map_err(io::Error::other)?;
    let ping_pong = connection.ping_pong();
    let driver = Arc::new(Driver {
        state: AtomicU8::new(0),
        connection: Mutex::new(Some(connection)),
        background: Mutex::default(),
        held: AtomicUsize::new(0),
    });
    let ends = Ends(Arc::clone(&driver));
    world.spawn(async move {
        let driver = &ends.0;
        tokio::select! {
            biased;
            () = driver.in_background() => {}
            () = pings::unanswered(ping_pong, has_received, || driver.held.load(Ordering::Relaxed) > 0) => {}
        }
    });
    Ok((send, driver))
}

impl Driver {
    /// Runs `send`, and sends what it has put into the connection.
    pub(super) fn sending<T>(self: &Arc<Self>, send: impl FnOnce() -> T) -> T {
        // What `send` wakes is this driver, which then only notes that there is something to do.
        let driving = self.begin(DRIVEN);
        let sent = send();
        if let Some(driving) = driving {
            let _ = driving.drive();
        }
        sent
    }

    /// A half of a stream that the connection has just made.
    pub(super) fn hold<T>(self: &Arc<Self>, half: T) -> Held<T> {
        self.held.fetch_add(1, Ordering::Relaxed);
        Held { half: Some(half), driver: Arc::clone(self) }
    }

    /// Drives the connection to its end.
    async fn in_background(self: &Arc<Self>) {
        poll_fn(|context| {
            let mut background = self.background.lock();
            if background.as_ref().is_none_or(|waker| !waker.will_wake(context.waker())) {
                *background = Some(context.waker().clone());
            }
            drop(background);
            // If another thread drives it to its end, that wakes this task once more.
            match self.begin(DRIVEN | AGAIN) {
                Some(driving) => driving.drive(),
                None => Poll::Pending,
            }
        })
        .await;
    }

    /// `None` if somebody drives it already, who will see whether there is something to do.
    fn begin(self: &Arc<Self>, state: u8) -> Option<Driving<'_>> {
        let before = self.state.fetch_or(state, Ordering::AcqRel);
        (before & DRIVEN == 0).then_some(Driving(self))
    }

    fn wake_background(&self) {
        if let Some(waker) = &*self.background.lock() {
            waker.wake_by_ref();
        }
    }
}

impl Wake for Driver {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(AGAIN, Ordering::AcqRel) == 0 {
            self.wake_background();
        }
    }
}

/// A half of a stream. When it is dropped, the connection says so if the server must know it, without waking the background.
pub(super) struct Held<T> {
    half: Option<T>,
    driver: Arc<Driver>,
}

impl<T> Held<T> {
    /// Another half of the same connection's.
    pub(super) fn with<U>(&self, half: U) -> Held<U> {
        self.driver.hold(half)
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.half.as_ref().expect(UNTIL_DROPPED)
    }
}

impl<T> DerefMut for Held<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.half.as_mut().expect(UNTIL_DROPPED)
    }
}

const UNTIL_DROPPED: &str = "only dropping it takes the half";

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        self.driver.held.fetch_sub(1, Ordering::Relaxed);
        let half = self.half.take();
        self.driver.sending(|| drop(half));
    }
}

/// Somebody drives the connection.
struct Driving<'a>(&'a Arc<Driver>);

impl Driving<'_> {
    /// Drives it as far as it goes, if there is something to do. Ready if it is over.
    fn drive(self) -> Poll<()> {
        let waker = Waker::from(Arc::clone(self.0));
        let mut context = Context::from_waker(&waker);
        for _ in 0..ROUNDS {
            if self.0.state.compare_exchange(DRIVEN, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                std::mem::forget(self);
                return Poll::Pending;
            }
            self.0.state.swap(DRIVEN, Ordering::AcqRel);
            let mut connection = self.0.connection.lock();
            let polled = connection.as_mut().map_or(Poll::Ready(Ok(())), |open| Pin::new(open).poll(&mut context));
            drop(connection);
            if polled.is_ready() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

/// Leaves the rest to the background task: also if what the connection woke has panicked.
impl Drop for Driving<'_> {
    fn drop(&mut self) {
        self.0.state.store(AGAIN, Ordering::Release);
        self.0.wake_background();
    }
}

/// Closes the connection when the background task ends, or is dropped with its runtime.
struct Ends(Arc<Driver>);

impl Drop for Ends {
    fn drop(&mut self) {
        let connection = self.0.connection.lock().take();
        // Its streams wake who waits for them.
        drop(connection);
        self.0.background.lock().take();
    }
}
