//! Which process this is: a fork makes another of it, without the background thread.

use once_cell::race::OnceBox;
use std::iter;

/// The process that something was made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    /// The process that this is called in. It asks the system each time, which costs a tenth of a microsecond: a number that is
    /// remembered is the parent's after a fork.
    pub(crate) fn current() -> Self {
        Self(std::process::id())
    }

    /// Whether this process is another one: one that was forked from it.
    pub(crate) fn is_another(self) -> bool {
        self != Self::current()
    }
}

/// A value that each process has for itself: after a fork the child finds none of its own, and may look at its parent's.
///
/// There is no mutex in it: one that another thread had locked at the moment of the fork stays locked in the child.
pub(crate) struct PerProcess<T>(OnceBox<Link<T>>);

/// The value of one process, and then those of the processes that were forked from it, as far as this one descends from them.
struct Link<T> {
    process: Process,
    value: T,
    child: OnceBox<Self>,
}

impl<T> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceBox::new())
    }

    /// This process's value.
    pub(crate) fn get(&self) -> Option<&T> {
        let current = Process::current();
        self.links().find(|link| link.process == current).map(|link| &link.value)
    }

    /// The value of the nearest ancestor that had one.
    pub(crate) fn inherited(&self) -> Option<&T> {
        self.links().filter(|link| link.process.is_another()).last().map(|link| &link.value)
    }

    /// Sets this process's value, unless there is one; then the new one is dropped.
    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        let mut link = Box::new(Link { process: Process::current(), value, child: OnceBox::new() });
        let mut end = &self.0;
        loop {
            while let Some(next) = end.get() {
                if next.process == link.process {
                    return Err(link.value);
                }
                end = &next.child;
            }
            match end.set(link) {
                Ok(()) => return Ok(()),
                Err(back) => link = back,
            }
        }
    }

    /// This process's value, which is made if there is none. Two threads may both make one: the second is dropped.
    pub(crate) fn get_or_try_init<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        let mut made = Some(make()?);
        loop {
            if let Some(value) = made.take() {
                made = self.set(value).err();
            }
            if let Some(value) = self.get() {
                return Ok(value);
            }
        }
    }

    fn links(&self) -> impl Iterator<Item = &Link<T>> {
        iter::successors(self.0.get(), |link| link.child.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_of_a_process_stands() {
        let cell = PerProcess::new();
        assert_eq!((cell.get(), cell.inherited()), (None, None));
        assert_eq!(cell.set(1), Ok(()));
        assert_eq!(cell.set(2), Err(2));
        assert_eq!(cell.get_or_try_init(|| Err("not asked")), Ok(&1));
        assert_eq!((cell.get(), cell.inherited()), (Some(&1), None));
    }

    #[test]
    fn a_child_has_a_value_of_its_own_and_sees_its_parents() {
        let parent = Link { process: Process(0), value: "parent", child: OnceBox::new() };
        let cell = PerProcess(OnceBox::with_value(Box::new(parent)));
        assert_eq!((cell.get(), cell.inherited()), (None, Some(&"parent")));
        assert_eq!(cell.get_or_try_init(|| Err("cannot")), Err("cannot"));
        assert_eq!(cell.get_or_try_init(|| Ok::<_, ()>("child")), Ok(&"child"));
        assert_eq!((cell.get(), cell.inherited()), (Some(&"child"), Some(&"parent")));
    }
}
