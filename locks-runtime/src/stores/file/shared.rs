//! What everything in this store needs: the directory, its clock, and which processes have ended.

use super::counter;
use super::directory::Directory;
use super::record::Record;
use super::timeline::Timeline;
use crate::values::error::Error;
use crate::values::holder::{Holder, host};
use crate::values::mutex::Mutex;
use crate::world::World;
use crate::world::clock::Moment;
use rustix::process::{Pid, test_kill_process};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often a lock is looked at, a millisecond apart, before a process that left no record counts as its holder.
pub(super) const LOOKS: u32 = 5;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) directory: Directory,
    pub(super) timeline: Timeline,
    pub(super) world: World,
    host: &'static str,
    /// The greatest fence that was granted here, whatever becomes of the directory meanwhile.
    granted: AtomicU64,
    /// When this process last looked for idle files.
    cleaned_up: Mutex<Option<Moment>>,
}

impl Shared {
    pub(super) fn new(directory: PathBuf, world: &World) -> Self {
        let (directory, timeline) = (Directory::new(directory), Timeline::new(world));
        let (granted, cleaned_up) = (AtomicU64::new(0), Mutex::new(None));
        Self { directory, timeline, world: world.clone(), host: host(), granted, cleaned_up }
    }

    /// The fence of a hold that follows on `former`.
    pub(super) fn next_fence(&self, former: &Record) -> Result<u64, Error> {
        let granted = self.granted.load(Ordering::Relaxed);
        let former = Record { fence: former.fence.max((granted > 0).then_some(granted)), ..Record::default() };
        let fence = counter::next(&self.directory, &former, self.world.wall_ms())?;
        self.granted.fetch_max(fence, Ordering::Relaxed);
        Ok(fence)
    }

    /// Whether this process has not looked for idle files for so long; then it does now.
    pub(super) fn is_clean_up_due(&self, every: Duration) -> bool {
        let now = self.world.now();
        let mut last = self.cleaned_up.lock();
        let is_due = last.is_none_or(|last| now.since(last) >= every);
        if is_due {
            *last = Some(now);
        }
        is_due
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
