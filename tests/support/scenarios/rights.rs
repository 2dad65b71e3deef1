//! Users who may use some of the locks that they want together.

use distributed_locks::{Error, ErrorKind, Locks};

use super::{acquire_and_release, chain};
use crate::in_time;

fn assert_unauthorized(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(error));
}

/// A right to one of two locks that is taken away, before a call for both and while they are held, keeps nobody from the other
/// one; the session of `ours` lasts longer than this test may. `may_use` gives or takes the right to `two`.
pub async fn without_a_right_to_one_lock_the_other_is_free(
    (ours, theirs): (&Locks, &Locks),
    [one, two]: [&str; 2],
    may_use: impl Fn(bool),
) {
    let guard = in_time(ours.lock_all([one, two]).acquire()).await.unwrap();
    may_use(false);
    assert_unauthorized(&in_time(guard.release()).await.unwrap_err());
    for locks in [theirs, ours] {
        in_time(acquire_and_release(locks, one)).await;
    }
    may_use(true);
    in_time(acquire_and_release(ours, two)).await;
    may_use(false);
    // What is refused at once leaves nothing to withdraw.
    for _ in 0..2 {
        assert_unauthorized(&in_time(ours.lock_all([one, two]).acquire()).await.unwrap_err());
        assert_unauthorized(&in_time(ours.lock(two).acquire()).await.unwrap_err());
        in_time(acquire_and_release(ours, one)).await;
    }
    may_use(true);
    in_time(acquire_and_release(ours, two)).await;
}
