//! Why something is over: told once.

use once_cell::sync::OnceCell;
use std::borrow::Cow;
use tokio::sync::Notify;

/// The reason, as words for a person.
pub(crate) type Why = Cow<'static, str>;

/// Whether something is over. The first reason stands, and whoever waits for the end is told.
#[derive(Debug, Default)]
pub(crate) struct Over {
    why: OnceCell<Why>,
    told: Notify,
}

impl Over {
    /// Why it is over, if it is.
    pub(crate) fn why(&self) -> Option<Why> {
        self.why.get().cloned()
    }

    /// Says that it is over. Gives the reason that stands, and whether nobody had said so before.
    pub(crate) fn tell(&self, why: Why) -> (Why, bool) {
        let mut is_first = false;
        let stands = self.why.get_or_init(|| {
            is_first = true;
            why
        });
        if is_first {
            self.told.notify_waiters();
        }
        (stands.clone(), is_first)
    }

    /// Ends when it is over.
    pub(crate) async fn wait(&self) -> Why {
        loop {
            // Made before the look, so that it hears what is told right after.
            let told = self.told.notified();
            if let Some(why) = self.why() {
                return why;
            }
            told.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[test]
    fn the_first_reason_stands_and_who_waits_is_told() {
        let over = Over::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut waiting = pin!(over.wait());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        assert_eq!(over.tell("first".into()), ("first".into(), true));
        assert_eq!(over.tell("second".into()), ("first".into(), false));
        assert!(waiting.as_mut().poll(&mut context).is_ready());
        assert!(pin!(over.wait()).poll(&mut context).is_ready());
    }
}
