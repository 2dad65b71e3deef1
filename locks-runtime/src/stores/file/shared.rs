//! What everything in this store needs: the directory, its clock, and which processes have ended.

use super::counter;
use super::directory::Directory;
use super::parked::Parked;
use super::record::Record;
use super::timeline::Timeline;
use crate::values::error::Error;
use crate::values::holder::{Holder, host};
use crate::values::mutex::Mutex;
use crate::world::World;
use crate::world::clock::Moment;
use rustix::process::{Pid, test_kill_process};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How often a lock is looked at, a millisecond apart, before a process that left no record counts as its holder.
pub(super) const LOOKS: u32 = 5;

/// How far the directory's counter is ahead of the clock after it was raised, in microseconds.
const COUNTED_AHEAD: u64 = 50_000;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) directory: Directory,
    pub(super) timeline: Timeline,
    pub(super) world: World,
    host: &'static str,
    /// The greatest fence that was granted here, whatever becomes of the directory meanwhile.
    granted: AtomicU64,
    /// A fence that the directory's counter is not below.
    counted: AtomicU64,
    /// How many threads wait for a file to be unlocked.
    pub(super) waiting: AtomicUsize,
    pub(super) parked: Parked,
    /// When this process last looked for idle files.
    cleaned_up: Mutex<Option<Moment>>,
}

impl Shared {
    pub(super) fn new(directory: PathBuf, world: &World) -> Self {
        let (directory, timeline) = (Directory::new(directory), Timeline::new(world));
        let (granted, counted, waiting) = (AtomicU64::new(0), AtomicU64::new(0), AtomicUsize::new(0));
        let (cleaned_up, parked) = (Mutex::new(None), Parked::default());
        let (world, host) = (world.clone(), host());
        Self { directory, timeline, world, host, granted, counted, waiting, parked, cleaned_up }
    }

    /// The fence of a hold that follows on `former`.
    ///
    /// A file with the last hold's fence in it has all that is needed. One that is new, or was emptied, has not: the directory's
    /// counter is never below any fence, so that the next one is above it. It is raised ahead of the clock, rarely.
    pub(super) fn next_fence(&self, former: &Record) -> Result<u64, Error> {
        let wall_ms = self.world.wall_ms();
        let fence = if former.last_fence().is_some() {
            let fence = former.next_fence(wall_ms);
            if fence > self.counted.load(Ordering::Relaxed) {
                let ahead = fence.max(wall_ms.saturating_mul(1000).saturating_add(COUNTED_AHEAD));
                counter::raise(&self.directory, ahead)?;
                self.counted.fetch_max(ahead, Ordering::Relaxed);
            }
            fence
        } else {
            let granted = self.granted.load(Ordering::Relaxed);
            let granted = Record { fence: (granted > 0).then_some(granted), ..Record::default() };
            let fence = counter::next(&self.directory, &granted, wall_ms)?;
            self.counted.fetch_max(fence, Ordering::Relaxed);
            fence
        };
        self.granted.fetch_max(fence, Ordering::Relaxed);
        Ok(fence)
    }

    /// The fence of a hold beside others, of which the lock's file says nothing: the directory's next one.
    pub(super) fn next_shared_fence(&self, former: &Record) -> Result<u64, Error> {
        let granted = self.granted.load(Ordering::Relaxed);
        let last = former.last_fence().max((granted > 0).then_some(granted));
        let fence = counter::next(&self.directory, &Record { fence: last, ..Record::default() }, self.world.wall_ms())?;
        self.counted.fetch_max(fence, Ordering::Relaxed);
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
