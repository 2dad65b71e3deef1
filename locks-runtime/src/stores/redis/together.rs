//! Several requests at one moment, to different servers.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// What comes of each.
pub(super) async fn join<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let outputs = join_until(futures, |_| false).await;
    outputs.into_iter().flatten().collect()
}

/// What has come of each when that is enough, or nothing is missing.
pub(super) async fn join_until<F: Future>(
    futures: impl IntoIterator<Item = F>,
    is_enough: impl Fn(&[Option<F::Output>]) -> bool,
) -> Vec<Option<F::Output>> {
    let mut futures: Vec<Option<Pin<Box<F>>>> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if let Some(Poll::Ready(ready)) = future.as_mut().map(|future| future.as_mut().poll(context)) {
                (*future, *output) = (None, Some(ready));
            }
        }
        let is_over = outputs.iter().all(Option::is_some) || is_enough(&outputs);
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outputs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use std::time::Duration;
    use tokio::time::sleep;

    async fn after(seconds: u64) -> u64 {
        sleep(Duration::from_secs(seconds)).await;
        seconds
    }

    #[tokio::test(start_paused = true)]
    async fn they_go_on_at_one_moment_and_keep_their_order() {
        let world = World::here();
        let begun = world.now();
        assert_eq!(join([3, 1, 2].map(after)).await, [3, 1, 2]);
        assert_eq!(world.now().since(begun), Duration::from_secs(3));
        assert!(join(Vec::<std::future::Ready<()>>::new()).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_there_is_enough() {
        let world = World::here();
        let begun = world.now();
        let two = |outputs: &[Option<u64>]| outputs.iter().flatten().count() >= 2;
        assert_eq!(join_until([30, 1, 2].map(after), two).await, [None, Some(1), Some(2)]);
        assert_eq!(world.now().since(begun), Duration::from_secs(2));
    }
}
