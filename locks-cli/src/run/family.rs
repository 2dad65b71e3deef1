//! The processes that a command has started: found, signalled, reaped.
//!
//! On Linux all of them: this process is their subreaper, so whatever daemonises stays below it. Elsewhere the command's process
//! group.

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

/// One process, as the system shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: Pid,
    parent: i32,
    group: i32,
    is_zombie: bool,
}

impl Process {
    pub(super) fn is_in(&self, group: Pid) -> bool {
        self.group == group.as_raw_nonzero().get()
    }
}

/// Whether the system shows which processes there are.
pub(super) const IS_KNOWN: bool = cfg!(target_os = "linux");

/// From now on what is orphaned below this process becomes its child.
pub(super) fn adopt_orphans() {
    // Without it a daemon that the command leaves is not found: a kernel that cannot is older than Rust's oldest.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// Every process below this one that has not ended.
pub(super) fn descendants() -> Vec<Process> {
    let all = processes();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![rustix::process::getpid().as_raw_nonzero().get()];
    while let Some(parent) = parents.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            parents.push(process.pid.as_raw_nonzero().get());
            found.push(*process);
        }
    }
    found.retain(|process| !process.is_zombie);
    found
}

/// Those of a process group, leader or not.
pub(super) fn members(group: Pid) -> Vec<Process> {
    let mut found = processes();
    found.retain(|process| process.is_in(group) && !process.is_zombie);
    found
}

/// Every process of the system: empty where it does not show them.
fn processes() -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        parse(Pid::from_raw(pid)?, &String::from_utf8_lossy(&stat))
    })
    .collect()
}

/// Of `4711 (a name) S 1 4711 …`: the name may contain anything.
fn parse(pid: Pid, stat: &str) -> Option<Process> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Process { pid, parent, group, is_zombie: matches!(state, "Z" | "X" | "x") })
}

/// Tells a stopped process, too.
pub(super) fn terminate(processes: &[Process]) {
    for process in processes {
        let _ = kill_process(process.pid, Signal::TERM);
        let _ = kill_process(process.pid, Signal::CONT);
    }
}

/// As [`terminate`], for a whole group at once.
pub(super) fn terminate_group(group: Pid) {
    let _ = kill_process_group(group, Signal::TERM);
    let _ = kill_process_group(group, Signal::CONT);
}

pub(super) fn kill(processes: &[Process]) {
    for process in processes {
        let _ = kill_process(process.pid, Signal::KILL);
    }
}

/// Reaps the children that have ended, but for `leader`: as long as that one is not reaped, its number is its own.
pub(super) fn reap_others(leader: Option<Pid>) {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let path = format!("/proc/{own}/task/{own}/children");
    let children: Vec<Pid> = match std::fs::read_to_string(path) {
        Ok(text) => text.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect(),
        Err(_) => processes().into_iter().filter(|process| process.parent == own).map(|process| process.pid).collect(),
    };
    for child in children.into_iter().filter(|child| Some(*child) != leader) {
        let _ = waitid(WaitId::Pid(child), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    }
}

/// Kills every process below this one, until there is none: for when nothing protects them any more. Those that cannot be
/// killed, another user's, are waited for, and the lock is renewed meanwhile.
pub(super) async fn end_all() {
    for round in 1_u32.. {
        let left = descendants();
        if left.is_empty() {
            return;
        }
        kill(&left);
        reap_others(None);
        tokio::time::sleep(std::time::Duration::from_millis(2) * (round / 100 + 1).min(100)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_contain_anything() {
        let pid = Pid::from_raw(7).unwrap();
        let process = parse(pid, "7 (a) Z 1 (b) S 3 5 7 0\n").unwrap();
        assert_eq!((process.parent, process.group, process.is_zombie), (3, 5, false));
        assert!(parse(pid, "7 (x) Z 3 5").unwrap().is_zombie);
        assert!(parse(pid, "").is_none());
    }
}
