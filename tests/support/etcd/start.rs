//! What a member is started with, which changes when it is replaced, restored, or runs another version.

use std::process::Command;
use std::sync::{Mutex, MutexGuard};

use super::Binary;

/// The program and its flags, for the next start.
#[derive(Debug)]
pub(super) struct Start(Mutex<(Binary, Vec<String>)>);

impl Start {
    /// `flags` are written as in `--name=m0`.
    pub(super) fn new(binary: &Binary, flags: Vec<String>) -> Start {
        Start(Mutex::new((binary.clone(), flags)))
    }

    pub(super) fn command(&self) -> Command {
        let now = self.now();
        let mut command = Command::new(now.0.path());
        command.args(&now.1);
        command
    }

    pub(super) fn binary(&self) -> Binary {
        self.now().0.clone()
    }

    pub(super) fn run(&self, binary: &Binary) {
        self.now().0 = binary.clone();
    }

    /// The value of a flag such as `--name`.
    pub(super) fn flag(&self, name: &str) -> String {
        let now = self.now();
        let value = now.1.iter().find_map(|flag| flag.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("no flag {name}")).to_owned()
    }

    /// Sets a flag to another value.
    pub(super) fn set(&self, name: &str, value: &str) {
        let mut now = self.now();
        now.1.retain(|flag| !flag.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')));
        now.1.push(format!("{name}={value}"));
    }

    fn now(&self) -> MutexGuard<'_, (Binary, Vec<String>)> {
        self.0.lock().unwrap()
    }
}
