//! The fencing token: what protects a resource from a holder that does not know yet that it lost the lock.

use std::fmt;

/// A number that grows with every hold of a key, whoever takes it.
///
/// A lock alone cannot stop a process that was paused, or a task that never awaits, from writing after its lock
/// lapsed. The resource can: it stores the highest fence it has seen and refuses a smaller one.
///
/// - Compare and write in **one atomic step**, for instance
///   `UPDATE account SET balance = $1, fence = $2 WHERE id = $3 AND fence <= $2`.
/// - Write the fence **before** reading what the write depends on; otherwise an older holder may still change
///   the value between your read and your write.
/// - Store it as [`to_u64`](Fence::to_u64), and compare only fences of the same key.
///
/// On etcd the caller can do without a stored fence: a transaction that compares the entry itself cannot
/// commit after the hold is over (`Guard::etcd_compare`, feature `etcd`; `Guard::postgres_condition`, feature `postgres`).
///
/// For some milliseconds a process may hand a lock off among its own waiters without asking the store. Their fences share
/// the store's [`number`](Fence::number), which other clients of etcd can compare with theirs, and differ in the
/// [`sequence`](Fence::sequence): what compares numbers only cannot distinguish those holds of one process. So it is, on ZooKeeper, with
/// the holds of a lock that was [handed over](crate::Guard::detach).
///
/// The rule is from Martin Kleppmann, *How to do distributed locking* (2016).
///
/// # Examples
///
/// A resource that refuses a writer whose lock was lost without its knowing:
///
/// ```
/// # use locks_runtime as distributed_locks;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distributed_locks::Error> {
/// use distributed_locks::{Fence, Locks};
/// use std::sync::Mutex;
///
/// #[derive(Default)]
/// struct Account(Mutex<(u64, i64)>); // the greatest fence, and the balance
///
/// impl Account {
///     /// Compares and writes in one step: in SQL, `UPDATE … WHERE fence <= $1`.
///     fn set(&self, fence: Fence, balance: i64) -> bool {
///         let mut row = self.0.lock().unwrap();
///         if fence.to_u64() < row.0 {
///             return false;
///         }
///         *row = (fence.to_u64(), balance);
///         true
///     }
/// }
///
/// let (account, locks) = (Account::default(), Locks::connect("memory:fence")?);
/// // Released at once: the holder does not know that it lost the lock.
/// let paused = locks.lock("/account/7").acquire().await?.fence();
/// let later = locks.lock("/account/7").acquire().await?.fence();
/// assert!(later > paused);
/// assert!(account.set(later, 100));
/// assert!(!account.set(paused, 0), "a late write is refused");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    number: u64,
    sequence: u16,
}

/// The fences of one hold, in the order of its locks.
#[derive(Debug)]
pub(crate) struct Fences {
    pub(crate) first: Fence,
    /// The store's numbers for the other locks.
    pub(crate) others: Box<[u64]>,
}

impl From<Fence> for Fences {
    fn from(first: Fence) -> Self {
        Self { first, others: Box::default() }
    }
}

/// How many low bits of [`Fence::to_u64`] the sequence takes.
const SEQUENCE_BITS: u32 = 12;

impl Fence {
    /// The highest sequence that [`Fence::to_u64`] can carry.
    pub const MAX_SEQUENCE: u16 = (1 << SEQUENCE_BITS) - 1;

    /// A fence from the store's own `number`, and the number of the hold among those that one process handed off
    /// under that number without asking the store (0 for the first).
    #[must_use]
    pub const fn new(number: u64, sequence: u16) -> Self {
        Self { number, sequence }
    }

    /// The store's own number: on etcd the revision at which the lock was acquired, which other clients of
    /// etcd publish too; on ZooKeeper the transaction that created the entry (its `czxid`); on Redis, PostgreSQL and a
    /// file at least the microseconds since 1970; in memory a counter of the store.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.number
    }

    /// The number of this hold among those handed off inside one process under one [`number`](Fence::number).
    #[must_use]
    pub const fn sequence(self) -> u16 {
        self.sequence
    }

    /// The fence of a hold that is handed off after this one, while there is room in the sequence.
    pub(crate) const fn next(self) -> Option<Self> {
        if self.sequence < Self::MAX_SEQUENCE { Some(Self::new(self.number, self.sequence + 1)) } else { None }
    }

    /// Both parts in one integer that orders as the fence does.
    ///
    /// The number takes the high 52 bits and the sequence the low 12. A number above 2⁵²−1 (4.5 × 10¹⁵) stays
    /// at that limit; at a million acquisitions a second that takes 142 years.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        let limit = u64::MAX >> SEQUENCE_BITS;
        let number = if self.number > limit { limit } else { self.number };
        let sequence = if self.sequence > Self::MAX_SEQUENCE { Self::MAX_SEQUENCE } else { self.sequence };
        (number << SEQUENCE_BITS) | sequence as u64
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sequence {
            0 => write!(f, "{}", self.number),
            sequence => write!(f, "{}.{sequence}", self.number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packed_fences_order_as_fences_do(
            a in (0..1u64 << 52, 0..=Fence::MAX_SEQUENCE),
            b in (0..1u64 << 52, 0..=Fence::MAX_SEQUENCE),
        ) {
            let (a, b) = (Fence::new(a.0, a.1), Fence::new(b.0, b.1));
            prop_assert_eq!(a.cmp(&b), a.to_u64().cmp(&b.to_u64()));
        }
    }
}
