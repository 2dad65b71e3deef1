//! Polls a call of the matrix only when it was woken, and so knows at which phase it is.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::deeds::Happening;
use crate::history::EventKind;
use crate::matrix::{Caller, Client, Phase};

/// Longer than any run.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long to ask the store who holds the lock. The call is not polled meanwhile.
const ASK_WITHIN: Duration = Duration::from_millis(200);

#[derive(Default)]
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Runs the call to its end, unless it is to be dropped: `None` then. It is dropped after `dropped_after` if its body has
/// not begun by then, and that is what its row asks for.
pub(super) async fn drive<T>(
    call: impl Future<Output = T>,
    happening: &Arc<Happening>,
    dropped_after: Duration,
) -> Option<T> {
    let result = poll_to_end(call, happening, dropped_after).await;
    if result.is_none() && happening.row.phase == Phase::Release {
        // The call was dropped in its body: the lock is released in the background.
        happening.happens(Phase::Release, None).await;
    }
    result
}

async fn poll_to_end<T>(
    call: impl Future<Output = T>,
    happening: &Arc<Happening>,
    dropped_after: Duration,
) -> Option<T> {
    let mut call = pin!(call);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let phase = happening.row.phase;
    let drops_before = happening.row.caller == Caller::DropsBefore;
    let drop_at = Instant::now() + if drops_before && phase == Phase::None { dropped_after } else { NEVER };
    let (mut is_queued, mut is_granted) = (false, false);
    loop {
        if let Poll::Ready(result) = call.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(result);
        }
        if !std::mem::replace(&mut is_queued, true) {
            happening.worker.recorder.record(EventKind::Queued { call: happening.call });
        }
        if phase == Phase::Release && happening.has_ended() {
            // The body has ended and the call has not: its release is under way.
            happening.happens(phase, None).await;
        }
        if happening.is_to_drop() {
            return None;
        }
        tokio::select! {
            biased;
            () = woken.0.notified() => {}
            () = sleep_until(drop_at), if !happening.has_begun() => return None,
        }
        if matches!(phase, Phase::Granted | Phase::Kept) && !happening.has_begun() && !happening.has_happened() {
            // What comes after the grant, if anything does, is `hold_at_least`.
            let is_next = is_granted;
            is_granted = is_granted || is_holder(happening).await;
            if is_granted && (phase == Phase::Granted || is_next) {
                happening.happens(phase, None).await;
                if drops_before {
                    return None;
                }
            }
        }
    }
}

/// Whether the store says that this process holds the lock more often than it has bodies under it.
async fn is_holder(happening: &Happening) -> bool {
    let (key, (_, locks)) = (happening.wanted.key(), happening.worker.clients().of(Client::First));
    let asked = timeout(ASK_WITHIN, locks.inspect(key)).await;
    let line = asked.ok().and_then(Result::ok).flatten();
    let own = std::process::id();
    let holds = line.map_or(0, |line| line.holders.iter().filter(|holder| holder.pid == own).count());
    i64::try_from(holds).is_ok_and(|holds| holds > happening.worker.bodies_under(key))
}
