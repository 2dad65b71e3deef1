//! What the program and its guard process say to each other, over one socket.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// A moment of the clock that both processes share, and that runs through suspend: in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Moment(u64);

impl Moment {
    /// Later than any.
    pub(super) const NEVER: Self = Self(u64::MAX);

    pub(crate) fn now() -> Self {
        #[cfg(target_os = "linux")]
        const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
        let now = rustix::time::clock_gettime(CLOCK);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0)))
    }

    pub(super) fn after(self, length: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)))
    }

    pub(super) fn before(self, length: Duration) -> Self {
        if self == Self::NEVER {
            self
        } else {
            Self(self.0.saturating_sub(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)))
        }
    }

    /// How long ago this moment was.
    pub(crate) fn elapsed(self) -> Duration {
        Duration::from_nanos(Self::now().0.saturating_sub(self.0))
    }

    /// How long until this moment.
    pub(super) fn left(self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(Self::now().0))
    }
}

/// What the guard process is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Settings {
    /// Between TERM and KILL.
    pub(super) grace: Duration,
    /// The KILL falls this long before the deadline.
    pub(super) margin: Duration,
    /// Until when the hold can be proved: what is left of the command is killed before.
    pub(super) deadline: Moment,
    /// The command gets the terminal.
    pub(super) foreground: bool,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum ToGuard {
    /// The hold can be proved until then.
    Deadline(Moment),
    /// For the command's process group.
    Signal(i32),
    /// TERM for all of it now, unless it is too late for that, and KILL then.
    Stop { kill_at: Moment },
    /// So many runs inside the command have joined this one.
    Joined(usize),
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum FromGuard {
    /// The command's process, and its group.
    Started(i32),
    /// The command was stopped by this signal.
    Stopped(i32),
    /// The deadline is near: the command has been sent TERM.
    Lapsing,
    /// The command has ended, and nothing that must not outlive it is left.
    Ended(Ending),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ending {
    Exited(i32),
    Killed(i32),
    /// It could not be started, for which the code is.
    NotStarted(u8),
}

/// The side that reads.
#[derive(Debug)]
pub(super) struct Incoming(BufReader<OwnedReadHalf>, Vec<u8>);

/// The side that writes, with what the other one has not taken yet.
#[derive(Debug)]
pub(super) struct Outgoing(OwnedWriteHalf, Vec<u8>);

pub(super) fn split(socket: std::os::unix::net::UnixStream) -> io::Result<(Incoming, Outgoing)> {
    socket.set_nonblocking(true)?;
    let (read, write) = UnixStream::from_std(socket)?.into_split();
    Ok((Incoming(BufReader::new(read), Vec::new()), Outgoing(write, Vec::new())))
}

impl Incoming {
    /// The next message if it is there already; `Some(None)` when the other process has gone.
    pub(super) async fn at_once<T: DeserializeOwned>(&mut self) -> Option<Option<T>> {
        tokio::select! {
            biased;
            message = self.next() => Some(message),
            () = std::future::ready(()) => None,
        }
    }

    /// The next message; `None` when the other process has gone. Dropping the future loses nothing.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> Option<T> {
        match self.0.read_until(b'\n', &mut self.1).await {
            Ok(_) if self.1.ends_with(b"\n") => {
                let line = std::mem::take(&mut self.1);
                serde_json::from_slice(&line).ok()
            }
            _ => None,
        }
    }
}

impl Outgoing {
    /// Sends what the other process takes now, and keeps the rest for [`rest`](Self::rest): one that is stopped takes nothing, and
    /// must not stop this one, too.
    pub(super) fn send<T: Serialize>(&mut self, message: &T) {
        if let Ok(line) = serde_json::to_vec(message) {
            self.1.extend(line);
            self.1.push(b'\n');
            self.push();
        }
    }

    /// Whether something is not sent yet.
    pub(super) fn is_behind(&self) -> bool {
        !self.1.is_empty()
    }

    /// Returns when all is sent. Dropping the future loses nothing.
    pub(super) async fn rest(&mut self) {
        while self.is_behind() && self.0.writable().await.is_ok() {
            self.push();
        }
    }

    fn push(&mut self) {
        while self.is_behind() {
            match self.0.try_write(&self.1) {
                Ok(written @ 1..) => drop(self.1.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Whoever has gone needs no message: the reader finds out.
                _ => self.1.clear(),
            }
        }
    }
}

/// Stdin, and as many locked files as one run can have.
const MOST: usize = 32;

/// Hands open files over.
pub(super) fn send_files(socket: &impl AsFd, files: &[BorrowedFd<'_>]) -> io::Result<()> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::Error::other("too many locks for one run"));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(b"\n")], &mut control, SendFlags::empty())?;
    Ok(())
}

/// The open files that were handed over. They stay in this process: whatever it executes does not get them.
pub(super) fn receive_files(socket: &impl AsFd) -> io::Result<Vec<OwnedFd>> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0; 1];
    let received = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::empty())?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut files = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(handed) = message {
            files.extend(handed);
        }
    }
    for file in &files {
        rustix::io::fcntl_setfd(file, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok(files)
}
