//! The future is `Send` exactly when the body is. All of this is decided by the compiler.

use crate::store;
use distributed_locks::{Error, distributed_lock};
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

fn send<F: Future + Send>(future: F) -> F {
    future
}

/// `Send` and not `Sync`: a future that holds a reference to it is not `Send`.
#[derive(Clone)]
struct NotSync(Cell<u32>);

#[distributed_lock(key = "/send/{id}")]
async fn owned<T: Send + ToString>(id: u32, value: T, not_sync: NotSync) -> Result<String, Error> {
    tokio::task::yield_now().await;
    not_sync.0.set(id);
    Ok(value.to_string())
}

#[distributed_lock(key = "/send/copied")]
async fn copied<T: Copy + Send + Into<u64>>(value: T) -> Result<u64, Error> {
    tokio::task::yield_now().await;
    Ok(value.into())
}

/// Values in the key need not be `Send`: they are dropped before the function awaits.
#[distributed_lock(key = "/send/{Rc::new(id)}", ttl = *Rc::new(std::time::Duration::from_secs(60)))]
async fn made_of_rc(id: u32) -> Result<u32, Error> {
    Ok(id)
}

#[distributed_lock(key = "/send/all")]
async fn all<'a>(words: &'a [&'a str], each: impl AsyncFn(&str) -> usize) -> Result<usize, Error> {
    let mut sum = 0;
    for word in words.iter().map(|word| word.trim()) {
        sum += each(word).await;
    }
    Ok(sum)
}

#[distributed_lock(key = "/send/local")]
async fn not_send(value: Rc<u32>) -> Result<u32, Error> {
    tokio::task::yield_now().await;
    Ok(*value)
}

struct Store {
    rows: Vec<String>,
}

trait Dynamic {
    fn load<'a>(&'a mut self, name: &'a str) -> Boxed<'a, Result<&'a str, Error>>;
}

impl Store {
    #[distributed_lock(key = "/send/{name}")]
    async fn push<'a>(&'a mut self, name: &str) -> Result<&'a str, Error> {
        self.rows.push(name.to_owned());
        tokio::task::yield_now().await;
        Ok(self.rows.last().map_or("", String::as_str))
    }
}

impl Dynamic for Store {
    fn load<'a>(&'a mut self, name: &'a str) -> Boxed<'a, Result<&'a str, Error>> {
        Box::pin(self.push(name))
    }
}

#[tokio::test]
async fn a_spawned_future_runs() {
    let locks = store("send");
    let work = distributed_locks::scoped(locks.clone(), async {
        let text = String::from("b");
        let mut rows = Store { rows: vec![] };
        let owned = owned(1, 2, NotSync(Cell::new(0))).await?;
        let copied = copied(3_u32).await?;
        let all = all(&["a ", &text], async |word| word.len()).await?;
        let rc = made_of_rc(4).await?;
        Ok::<_, Error>(format!("{owned}{copied}{all}{rc}{}", rows.load(&text).await?))
    });
    #[expect(clippy::disallowed_methods, reason = "only a spawned future has to be `Send` and `'static`")]
    let joined = tokio::spawn(send(work)).await.unwrap();
    assert_eq!(joined.unwrap(), "2324b");
}

#[tokio::test]
async fn a_future_that_is_not_send_runs_where_it_is() {
    assert_eq!(distributed_locks::scoped(store("send-local"), not_send(Rc::new(5))).await.unwrap(), 5);
}
