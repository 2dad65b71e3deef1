//! `hold`: the lock is held until a signal, or the end of stdin.

use crate::args::Hold;
use crate::exit::{self, Code};
use crate::report::{Report, nothing, without_stop};
use crate::run::{Acquired, Asked, Signals, acquire, released};
use crate::{client, look, text};
use distributed_locks::Guard;
use rustix::fs::FileType;
use rustix::process::{Signal, getpgrp};
use rustix::termios::{isatty, tcgetpgrp};
use serde_json::json;
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::net::unix::pipe;

/// How long until stdin is looked at again.
const AGAIN: Duration = Duration::from_millis(200);

pub(crate) async fn hold(url: Option<String>, hold: Hold) -> Code {
    let url = match client::url(url) {
        Ok(url) => url,
        Err(code) => return code,
    };
    let mut signals = match Signals::listen_or_say() {
        Ok(signals) => signals,
        Err(code) => return code,
    };
    let report = Report::new(hold.lock.talk);
    let asked = Asked { lock: &hold.lock, url: &url, name: "locks hold".to_owned(), report };
    let (locks, guard) = match acquire(&asked, &mut signals).await {
        Acquired::Held(locks, guard) => (locks, guard),
        Acquired::Not(code) => return code,
        Acquired::Away => return exit::UNAVAILABLE,
        Acquired::Signalled(signal) => return exit::signalled(signal.as_raw()),
    };
    let (code, was_lost) = match look::print(&said(&guard)) {
        Ok(()) => until_over(&hold, &guard, &mut signals, report).await,
        Err(code) => (code, false),
    };
    released(locks, guard, was_lost, report).await;
    code
}

/// `{"key":…,"fence":…}`, of several locks with the fence of each.
fn said(guard: &Guard) -> String {
    let fence = |key: &str| guard.fence_of(key).unwrap_or(guard.fence()).number().to_string();
    if guard.keys().count() == 1 {
        return json!({ "key": guard.key().as_str(), "fence": fence(guard.key().as_str()) }).to_string();
    }
    let fences: serde_json::Map<_, _> = guard.keys().map(|key| (key.to_string(), fence(key.as_str()).into())).collect();
    json!({ "key": guard.key().as_str(), "fence": fence(guard.key().as_str()), "fences": fences }).to_string()
}

/// Returns the exit code, and whether the lock was lost.
async fn until_over(hold: &Hold, guard: &Guard, signals: &mut Signals, report: Report) -> (Code, bool) {
    let limit = async {
        match hold.lock.at_most {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let stopping = || report.say("stopped", &text::stopped(Some(guard.time_left())), &nothing());
    tokio::select! {
        biased;
        signal = signals.ending_or_stopping(stopping) => match signal {
            Signal::TERM => (exit::OK, false),
            other => (exit::signalled(other.as_raw()), false),
        },
        error = guard.lost() => {
            report.say("lost", &client::text(&error), &nothing());
            (exit::LOST, true)
        }
        () = limit => {
            let limit = text::length(hold.lock.at_most.unwrap_or_default());
            report.say("limit", &format!("--at-most {limit} passed"), &nothing());
            (exit::LIMIT, false)
        }
        () = end_of_stdin() => (exit::OK, false),
    }
}

/// Returns when stdin, a pipe or a terminal, has ended. What is neither ends at once, and says nothing by that.
async fn end_of_stdin() {
    let stdin = std::io::stdin();
    let kind = rustix::fs::fstat(stdin.as_fd()).map(|stat| FileType::from_raw_mode(stat.st_mode));
    let is_terminal = isatty(stdin.as_fd());
    match kind {
        Ok(FileType::Fifo) => {
            if let Ok(pipe) = stdin.as_fd().try_clone_to_owned().and_then(pipe::Receiver::from_owned_fd) {
                return until_end(&pipe).await;
            }
        }
        Ok(FileType::Socket) => {
            if let Ok(socket) = stdin.as_fd().try_clone_to_owned() {
                return poll_hangup(socket).await;
            }
        }
        _ if is_terminal => return until_end_of_terminal().await,
        _ => {}
    }
    std::future::pending().await
}

async fn until_end(pipe: &pipe::Receiver) {
    let mut bytes = [0; 1024];
    loop {
        if pipe.readable().await.is_err() {
            return;
        }
        match pipe.try_read(&mut bytes) {
            Ok(1..) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            _ => return,
        }
    }
}

/// A socket is looked at rarely: reading from it here could take what is another's.
async fn poll_hangup(socket: std::os::fd::OwnedFd) {
    use rustix::event::{PollFd, PollFlags, poll};
    loop {
        let mut asked = [PollFd::new(&socket, PollFlags::RDHUP | PollFlags::HUP)];
        let none = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut asked, Some(&none)).is_ok_and(|ready| ready > 0) {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The terminal's end of file, read on a thread that nobody waits for.
async fn until_end_of_terminal() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let reader = std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        without_stop(read_terminal_to_its_end);
        let _ = sender.send(());
    });
    if reader.is_err() || receiver.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Reading from the background fails: `fg` may give the terminal to this process later.
fn read_terminal_to_its_end() {
    use rustix::io::{Errno, read};
    let stdin = std::io::stdin();
    let (mut bytes, mut has_failed) = ([0; 1024], false);
    loop {
        match read(&stdin, &mut bytes) {
            Ok(1..) => has_failed = false,
            Err(Errno::INTR) => {}
            Err(Errno::IO) if !has_failed => {
                // Once more in the foreground, which it may have become in between.
                let is_in_background = tcgetpgrp(&stdin).is_ok_and(|group| group != getpgrp());
                has_failed = !is_in_background;
                std::thread::sleep(AGAIN);
            }
            _ => return,
        }
    }
}
