//! The last fence of a directory, in a file of its own: it goes on growing though the locks' files are emptied and removed.

use super::directory::Directory;
use super::lock_file::LockFile;
use super::record::Record;
use crate::values::error::Error;
use std::thread;

/// How often the counter is tried while another process has it. A process that was stopped in between must not stop all
/// others: then it is used without exclusion, and what two may write at once is made good by the clock.
const TRIES: u32 = 200;

/// The next fence: above `former` and every fence that was granted in the directory, and not below the wall clock in
/// microseconds.
pub(super) fn next(directory: &Directory, former: &Record, wall_ms: u64) -> Result<u64, Error> {
    with(directory, |counter| {
        let last = counter.fence.max(former.fence);
        Record { fence: last, ..Record::default() }.next_fence(wall_ms)
    })
}

/// Makes sure that the next fence is above `fence`, whose file is about to be removed.
pub(super) fn raise(directory: &Directory, fence: u64) -> Result<(), Error> {
    with(directory, |counter| counter.fence.map_or(fence, |last| last.max(fence))).map(drop)
}

fn with(directory: &Directory, work: impl FnOnce(&Record) -> u64) -> Result<u64, Error> {
    let file = directory.counter()?;
    let is_locked = lock(&file)?;
    let written = file.read().and_then(|(counter, length)| {
        let fence = work(&counter);
        if counter.fence != Some(fence) {
            file.write(&Record { fence: Some(fence), ..Record::default() }, length)?;
        }
        Ok(fence)
    });
    if is_locked {
        file.unlock();
    }
    written
}

fn lock(file: &LockFile) -> Result<bool, Error> {
    for _ in 0..TRIES {
        if file.try_lock()? {
            return Ok(true);
        }
        thread::yield_now();
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_grow_though_the_clock_goes_back_and_whoever_asks() {
        let path = tempfile::tempdir().unwrap();
        let (one, other) = (Directory::new(path.path().to_owned()), Directory::new(path.path().to_owned()));
        let first = next(&one, &Record::default(), 5_000).unwrap();
        let second = next(&other, &Record::default(), 1).unwrap();
        let former = Record { fence: Some(second + 10), ..Record::default() };
        assert!(second > first && next(&one, &former, 1).unwrap() == second + 11);
        raise(&one, second + 20).unwrap();
        raise(&one, 3).unwrap();
        assert_eq!(next(&other, &Record::default(), 1).unwrap(), second + 21);
    }

    #[test]
    fn a_stopped_process_that_has_the_counter_stops_nobody() {
        let path = tempfile::tempdir().unwrap();
        let directory = Directory::new(path.path().to_owned());
        let first = next(&directory, &Record::default(), 5).unwrap();
        let stopped = directory.counter().unwrap();
        assert!(stopped.try_lock().unwrap());
        assert!(next(&directory, &Record::default(), 5).unwrap() > first);
    }
}
