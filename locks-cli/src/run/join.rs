//! A run inside the command of another one, for a lock that this one holds.
//!
//! The outer run has a socket with a name that cannot be guessed, and says it in a variable. Only it can answer that it holds the
//! lock now: a variable that is stale or invented leads to nobody, and lets nobody in. Linux only: elsewhere sockets have names in
//! the file system, and outlive their process.

use super::acquire::Asked;
use distributed_locks::Mode;
use serde::{Deserialize, Serialize};
use std::io;
use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof, WouldBlock};
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// The variable with the name of the outer run's socket.
pub(super) const VARIABLE: &str = "LOCKS_RUN";

/// How long the outer run may take to answer one that does not wait for ever.
const ANSWERED: Duration = Duration::from_secs(2);

/// How long a run inside may take to ask: the outer one does nothing else meanwhile. It asks again then.
const ASKED: Duration = Duration::from_millis(500);

/// How long, in bytes, what it asks may be.
const LONGEST: u64 = 64 * 1024;

/// How long it waits before that.
const AGAIN: Duration = Duration::from_millis(100);

/// What a run inside is.
pub(super) enum Inside {
    /// Part of the outer one, which holds the locks for it.
    Joined(Joined),
    /// It would wait for the outer one, which waits for it.
    Deadlock,
    /// Not inside one that holds its locks.
    Not,
}

/// The hold of an outer run. It lasts as long as the connection.
pub(super) struct Joined {
    pub(super) granted: Granted,
    connection: UnixStream,
}

impl Joined {
    /// Returns when the outer run has gone, or has lost the lock.
    pub(super) async fn lost(&self) {
        ended(&self.connection).await;
    }

    /// The connection, for whoever keeps it open.
    pub(super) fn connection(&self) -> io::Result<OwnedFd> {
        self.connection.as_fd().try_clone_to_owned()
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Wanted {
    url: String,
    keys: Vec<String>,
    is_shared: bool,
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Joined(Granted),
    Deadlock,
    Not,
}

/// What the command may know of the hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Granted {
    /// By key.
    pub(super) fences: Vec<(String, String)>,
    pub(super) ttl: Duration,
    /// Whether whoever acquired the locks shares them: what a run that has joined asked for changes nothing about that.
    pub(super) is_shared: bool,
}

/// Joins the run that this one is inside, if that holds all of its locks.
pub(super) async fn join(asked: &Asked<'_>) -> Inside {
    let keys = asked.keys().into_iter().map(str::to_owned).collect();
    let wanted = Wanted { url: asked.url.to_owned(), keys, is_shared: asked.lock.mode() == Mode::Shared };
    let is_patient = !asked.lock.no_wait && asked.lock.wait.is_none();
    // The innermost first.
    for name in outer().split(',').filter(|name| !name.is_empty()) {
        let answered = match is_patient {
            // Without its answer this one may wait for its own lock: an outer run that is stopped goes on some time.
            true => answer(name, &wanted).await,
            false => tokio::time::timeout(ANSWERED, answer(name, &wanted)).await.ok().flatten(),
        };
        match answered {
            Some((Answer::Joined(granted), connection)) => return Inside::Joined(Joined { granted, connection }),
            Some((Answer::Deadlock, _)) => return Inside::Deadlock,
            Some((Answer::Not, _)) | None => {}
        }
    }
    Inside::Not
}

/// What the outer run with this name says; `None` if there is none.
async fn answer(name: &str, wanted: &Wanted) -> Option<(Answer, UnixStream)> {
    loop {
        match ask(name, wanted).await {
            Ok(answered) => return Some(answered),
            // It had no time for this one, or has just ended.
            Err(error) if matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe) => {
                tokio::time::sleep(AGAIN).await;
            }
            Err(_) => return None,
        }
    }
}

fn outer() -> String {
    std::env::var(VARIABLE).unwrap_or_default()
}

async fn ask(name: &str, wanted: &Wanted) -> io::Result<(Answer, UnixStream)> {
    let connection = connect(name)?;
    if !is_of_same_user(&connection) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut connection = BufReader::new(connection);
    let mut line = serde_json::to_vec(wanted)?;
    line.push(b'\n');
    connection.write_all(&line).await?;
    let mut answer = String::new();
    if connection.read_line(&mut answer).await? == 0 {
        return Err(UnexpectedEof.into());
    }
    let answer = serde_json::from_str(&answer).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok((answer, connection.into_inner()))
}

/// Returns when the other end of a connection has ended.
async fn ended(connection: &UnixStream) {
    std::future::poll_fn(|context| is_over(connection, context)).await;
}

/// Ready when the other end of a connection has ended.
fn is_over(connection: &UnixStream, context: &mut Context<'_>) -> Poll<()> {
    let mut byte = [0; 1];
    while connection.poll_read_ready(context).is_ready() {
        match connection.try_read(&mut byte) {
            Ok(1..) => {}
            Err(error) if error.kind() == WouldBlock => {}
            _ => return Poll::Ready(()),
        }
    }
    Poll::Pending
}

/// The runs inside the command that have joined.
#[derive(Default)]
pub(super) struct Members(Vec<UnixStream>);

impl Members {
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn add(&mut self, joined: UnixStream) {
        self.0.push(joined);
    }

    /// Returns when one of them has ended; it is no more among them then.
    pub(super) async fn one_ended(&mut self) {
        std::future::poll_fn(|context| match self.0.iter().position(|one| is_over(one, context).is_ready()) {
            Some(place) => {
                self.0.swap_remove(place);
                Poll::Ready(())
            }
            None => Poll::Pending,
        })
        .await;
    }

    /// Tells them that the hold is over for them: they end their commands, and then their connections.
    pub(super) fn dismiss(&self) {
        for one in &self.0 {
            let _ = rustix::net::shutdown(one, rustix::net::Shutdown::Write);
        }
    }
}

/// Where runs inside the command ask.
pub(super) struct Door {
    /// None where there are no such sockets.
    listener: Option<UnixListener>,
    name: String,
    url: String,
    mode: Mode,
    granted: Granted,
}

impl Door {
    pub(super) fn open(url: &str, mode: Mode, granted: Granted) -> Self {
        let name = format!("locks-{}", secret());
        Self { listener: listen(&name).ok(), name, url: url.to_owned(), mode, granted }
    }

    /// The next run that asks. Dropping the future loses none.
    pub(super) async fn next(&self) -> UnixStream {
        let Some(listener) = &self.listener else { return std::future::pending().await };
        loop {
            if let Ok((connection, _)) = listener.accept().await {
                return connection;
            }
        }
    }

    /// Lets it in, if that is right: the connection ends with it.
    pub(super) async fn answer(&self, connection: UnixStream, is_open: bool) -> Option<UnixStream> {
        tokio::time::timeout(ASKED, self.talk(connection, is_open)).await.ok()?.ok().flatten()
    }

    async fn talk(&self, connection: UnixStream, is_open: bool) -> io::Result<Option<UnixStream>> {
        if !is_of_same_user(&connection) {
            return Ok(None);
        }
        let mut connection = BufReader::new(connection);
        let mut line = String::new();
        (&mut connection).take(LONGEST).read_line(&mut line).await?;
        // What cannot be read is answered as well: whoever gets no answer asks again.
        let wanted = serde_json::from_str(&line).ok().filter(|_| is_open);
        let answer = wanted.map_or(Answer::Not, |wanted| self.decide(&wanted));
        let mut said = serde_json::to_vec(&answer)?;
        said.push(b'\n');
        connection.write_all(&said).await?;
        if matches!(answer, Answer::Joined(_)) {
            return Ok(Some(connection.into_inner()));
        }
        if !line.ends_with('\n') {
            // It is still writing, and reads the answer after that.
            tokio::io::copy(&mut connection, &mut tokio::io::sink()).await?;
        }
        Ok(None)
    }

    pub(super) fn granted(&self) -> &Granted {
        &self.granted
    }

    /// What the variable says to the command: this socket, and those of the runs that this one is inside.
    pub(super) fn variable(&self) -> String {
        let outer = outer();
        if outer.is_empty() { self.name.clone() } else { format!("{},{outer}", self.name) }
    }

    fn decide(&self, wanted: &Wanted) -> Answer {
        let held = |key: &String| self.granted.fences.iter().any(|(held, _)| held == key);
        if wanted.url != self.url || !wanted.keys.iter().any(held) {
            return Answer::Not;
        }
        match self.mode {
            Mode::Exclusive if wanted.keys.iter().all(held) => Answer::Joined(self.granted.clone()),
            Mode::Shared if wanted.is_shared && wanted.keys.iter().all(held) => Answer::Joined(self.granted.clone()),
            // Each permit is one of its own.
            Mode::Permits(_) => Answer::Not,
            _ => Answer::Deadlock,
        }
    }
}

/// Text that nobody guesses: 128 bits of the kernel's randomness.
fn secret() -> String {
    use std::io::Read as _;
    let mut bits = [0; 16];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bits));
    // Without it nobody joins: the name is taken by whoever was first.
    read.map_or_else(|_| std::process::id().to_string(), |()| bits.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn is_of_same_user(connection: &UnixStream) -> bool {
    connection.peer_cred().is_ok_and(|peer| peer.uid() == rustix::process::geteuid().as_raw())
}

#[cfg(target_os = "linux")]
fn address(name: &str) -> io::Result<std::os::unix::net::SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    std::os::unix::net::SocketAddr::from_abstract_name(name)
}

#[cfg(target_os = "linux")]
fn listen(name: &str) -> io::Result<UnixListener> {
    let listener = std::os::unix::net::UnixListener::bind_addr(&address(name)?)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

#[cfg(target_os = "linux")]
fn connect(name: &str) -> io::Result<UnixStream> {
    let connection = std::os::unix::net::UnixStream::connect_addr(&address(name)?)?;
    connection.set_nonblocking(true)?;
    UnixStream::from_std(connection)
}

#[cfg(not(target_os = "linux"))]
fn listen(_: &str) -> io::Result<UnixListener> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn connect(_: &str) -> io::Result<UnixStream> {
    Err(io::ErrorKind::Unsupported.into())
}
