//! `break`: releases a lock by force, if its holder is still the one that was looked at, as far as the store shows fences.

use crate::args::Break;
use crate::exit::{self, Code};
use crate::{client, report, text};
use distributed_locks::store::Listed;
use distributed_locks::{Error, ErrorKind, Locks};
use rustix::termios::isatty;
use std::io::{self, BufRead as _, Write as _};
use std::os::fd::AsFd;

pub(crate) async fn force(url: Option<String>, force: Break) -> Code {
    let locks = match client::url(url).and_then(|url| client::connect(&url, &[])) {
        Ok(locks) => locks,
        Err(code) => return code,
    };
    let line = match locks.inspect(&force.key).await {
        Ok(line) => line,
        Err(error) => return failed(&error),
    };
    let key = text::safe(&force.key);
    let holders = line.map(|line| line.holders).unwrap_or_default();
    if holders.is_empty() {
        report::note(&format!("{key} is not held"));
        return if force.fence.is_some() { exit::BUSY } else { exit::OK };
    }
    let meant: Vec<Listed> =
        holders.into_iter().filter(|holder| force.fence.is_none_or(|fence| holder.fence == Some(fence))).collect();
    if meant.is_empty() {
        report::note(&format!("{key} is held by another than the one with that fence: look again with `locks show`"));
        return exit::BUSY;
    }
    if !force.yes {
        match asked(&key, &meant) {
            Some(true) => {}
            Some(false) => return exit::BUSY,
            None => {
                report::note("there is no terminal to ask on; repeat it with --yes if it is meant");
                return exit::USAGE;
            }
        }
    }
    release(&locks, &force.key, &meant).await
}

/// Releases each of those who were shown, and nobody else.
async fn release(locks: &Locks, key: &str, meant: &[Listed]) -> Code {
    let (mut code, mut is_anybody_released) = (exit::OK, false);
    for holder in meant {
        let released = match holder.fence {
            Some(fence) => locks.force_release_if(key, fence).await,
            None if is_anybody_released => Ok(true),
            // A client of another project, in a store without numbers: the person has seen it. Whoever holds it is released.
            None => locks.force_release(key).await,
        };
        match released {
            Ok(true) => {
                is_anybody_released |= holder.fence.is_none();
                report::note(&format!("released {}, which was held by {}", text::safe(key), text::holder(holder)));
            }
            Ok(false) => {
                report::note(&format!("{} is not held by {} any more", text::safe(key), text::holder(holder)));
                code = exit::BUSY;
            }
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                report::note(&client::text(&error));
                return exit::CONFIGURATION;
            }
            Err(error) => return failed(&error),
        }
    }
    code
}

/// `None` if there is nobody to ask.
fn asked(key: &str, meant: &[Listed]) -> Option<bool> {
    if !isatty(io::stdin().as_fd()) {
        return None;
    }
    for holder in meant {
        report::note(&format!("{key} is held by {}", text::holder(holder)));
    }
    if meant.iter().any(|holder| holder.fence.is_none()) {
        report::note("the store shows no fence of that: whoever holds it when you answer is released");
    }
    let mut stderr = io::stderr();
    let _ = write!(stderr, "Release it by force? Its holder goes on until it notices. [y/N] ")
        .and_then(|()| stderr.flush());
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).ok()?;
    Some(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn failed(error: &Error) -> Code {
    report::note(&client::text(error));
    exit::of(error)
}
