//! What everything in this store needs: the directory, its clock, and which processes have ended.

use super::directory::Directory;
use super::record::Record;
use super::timeline::Timeline;
use crate::values::holder::{Holder, host};
use crate::world::World;
use rustix::process::{Pid, test_kill_process};
use std::path::PathBuf;
use std::time::Duration;

/// How often a lock is looked at, a millisecond apart, before a process that left no record counts as its holder.
pub(super) const LOOKS: u32 = 5;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) directory: Directory,
    pub(super) timeline: Timeline,
    pub(super) world: World,
    host: &'static str,
}

impl Shared {
    pub(super) fn new(directory: PathBuf, world: &World) -> Self {
        let (directory, timeline) = (Directory::new(directory), Timeline::new(world));
        Self { directory, timeline, world: world.clone(), host: host() }
    }

    /// How long the lock stays taken though its holder may have gone.
    pub(super) fn extended_for(&self, record: &Record) -> Option<Duration> {
        record.extension.as_ref().and_then(|extension| self.timeline.left(extension))
    }

    /// Whether the holder's process was one of this machine and does not exist any more.
    pub(super) fn has_ended(&self, holder: &Holder) -> bool {
        let pid = i32::try_from(holder.pid).ok().and_then(Pid::from_raw);
        holder.host == self.host && pid.is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
    }

    /// The holder for a person to read, with what is odd about it.
    pub(super) fn describe(&self, holder: Option<Holder>, left: Option<Duration>) -> Holder {
        let Some(mut holder) = holder else {
            return Holder::unknown_because("a program that leaves no record, such as flock(1)");
        };
        if let Some(left) = left {
            holder.remark = Some(format!("`hold_at_least` keeps the lock for {:.1} s more", left.as_secs_f64()));
        } else if self.has_ended(&holder) {
            let remark = "that process has ended and a child of it has the file open, or it runs in another container";
            holder.remark = Some(remark.to_owned());
        }
        holder
    }
}
