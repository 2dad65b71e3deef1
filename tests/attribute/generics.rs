//! Type, lifetime and const parameters, `impl Trait`, `where` clauses.

use crate::{assert_locked, store};
use distributed_locks::{Error, distributed_lock};
use std::fmt::Display;

#[distributed_lock(key = "/generics/{id}", wait = 0)]
async fn with_type<T: Display, const N: usize>(id: T, rows: [u8; N]) -> Result<(T, usize), Error> {
    Ok((id, rows.len()))
}

#[distributed_lock(key = "/generics/{id}/{N}", wait = 0)]
async fn with_where<'a, T, const N: usize>(id: &'a T, _rows: [u8; N]) -> Result<&'a T, Error>
where
    T: Display + ?Sized + Sync,
{
    Ok(id)
}

#[distributed_lock(key = "/generics/{id}", wait = 0)]
async fn with_impl(id: impl Display + Clone) -> Result<impl Display, Error> {
    Ok(id.clone())
}

#[distributed_lock(key = "/generics/iterator", wait = 0)]
async fn with_iterator<'a>(words: &'a [&'a str]) -> Result<impl Iterator<Item = &'a str>, Error> {
    tokio::task::yield_now().await;
    Ok(words.iter().map(|word| word.trim()))
}

#[distributed_lock(key = "/generics/closure", wait = 0)]
async fn with_closure<F: AsyncFnOnce(u32) -> u32>(work: F) -> Result<u32, Error> {
    Ok(work(1).await)
}

struct Store<T>(T);

impl<T: Display + Sync> Store<T> {
    #[distributed_lock(key = "/generics/{self.0}/{other}", wait = 0)]
    async fn method<U: Display>(&self, other: U) -> Result<(&T, U), Error> {
        Ok((&self.0, other))
    }
}

#[tokio::test]
async fn generic_functions_are_locked() {
    let locks = store("generics");
    assert_locked(&locks, "/generics/7", async || with_type(7, [0; 3]).await).await;
    assert_locked(&locks, "/generics/x/2", async || with_where("x", [0; 2]).await).await;
    assert_locked(&locks, "/generics/y", async || with_impl("y").await.map(|id| id.to_string())).await;
    assert_locked(&locks, "/generics/closure", async || with_closure(async |n| n + 1).await).await;
    assert_locked(&locks, "/generics/a/b", async || Store("a").method("b").await.map(|(_, b)| b)).await;
    let words = [" a", "b "];
    assert_locked(&locks, "/generics/iterator", async || with_iterator(&words).await.map(Iterator::count)).await;
}
