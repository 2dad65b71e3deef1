//! What a worker says to the driver, on its standard output, and what it is answered, on its standard input.
//!
//! | the worker says | the driver |
//! |---|---|
//! | `draw TASK` | answers `row TASK ID ROW`: what the task calls next |
//! | `met ID` | counts the row as met |
//! | `pause FAULT MILLIS` | resumes the process so long after it has stopped itself |
//! | `cut FAULT MILLIS MODE` | puts the process's proxies into that mode, for so long, and answers `cut FAULT` |
//! | `ends` | knows that the process is about to end |

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use crate::matrix::Row;

/// How long to wait for a cut. Without it, the call goes on: its own limits go on, too.
const CUT_WITHIN: Duration = Duration::from_millis(500);

/// The connection to the driver.
#[derive(Debug, Default)]
pub struct Driver {
    draws: Waiting<u64, (u64, Row)>,
    cuts: Waiting<u64, ()>,
    /// `main` is to return.
    pub returns: Notify,
}

/// Who waits for an answer; `None` when no more come.
#[derive(Debug)]
struct Waiting<K, T>(Mutex<Option<HashMap<K, oneshot::Sender<T>>>>);

impl<K, T> Default for Waiting<K, T> {
    fn default() -> Self {
        Self(Mutex::new(Some(HashMap::new())))
    }
}

impl<K: Eq + Hash, T> Waiting<K, T> {
    fn add(&self, key: K) -> Option<oneshot::Receiver<T>> {
        let (sender, receiver) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut()?.insert(key, sender);
        Some(receiver)
    }

    fn answer(&self, key: &K, value: T) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = waiting.as_mut().and_then(|waiting| waiting.remove(key)) {
            // Whoever waited may have been dropped.
            let _ = sender.send(value);
        }
    }

    fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Driver {
    /// What this task calls next; `None` if the worker is to stop.
    pub async fn draw(&self, task: u64) -> Option<(u64, Row)> {
        let row = self.draws.add(task)?;
        say(format_args!("draw {task}"));
        row.await.ok()
    }

    /// The row of this id was met.
    pub fn met(&self, id: u64) {
        say(format_args!("met {id}"));
    }

    /// This process stops itself now.
    pub fn pause(&self, fault: u64, length: Duration) {
        say(format_args!("pause {fault} {}", length.as_millis()));
    }

    /// Waits until the connections of this process are cut.
    pub async fn cut(&self, fault: u64, length: Duration, mode: &str) {
        if let Some(cut) = self.cuts.add(fault) {
            say(format_args!("cut {fault} {} {mode}", length.as_millis()));
            let _ = timeout(CUT_WITHIN, cut).await;
        }
    }

    /// This process ends now.
    pub fn ends(&self) {
        say(format_args!("ends"));
    }

    /// An answer of the driver's, if the line is one.
    pub fn answered(&self, line: &str) {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["row", task, id, row] => {
                if let (Ok(task), Ok(id), Ok(row)) = (task.parse(), id.parse(), serde_json::from_str(row)) {
                    self.draws.answer(&task, (id, row));
                }
            }
            ["cut", fault] => {
                if let Ok(fault) = fault.parse() {
                    self.cuts.answer(&fault, ());
                }
            }
            _ => {}
        }
    }

    /// No answer comes any more.
    pub fn hung_up(&self) {
        self.draws.end();
        self.cuts.end();
    }
}

fn say(line: fmt::Arguments<'_>) {
    // Fails when the driver is gone.
    let _ = writeln!(std::io::stdout(), "{line}");
}
