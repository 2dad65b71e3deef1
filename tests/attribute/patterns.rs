//! Arguments that are patterns: every name they bind can be in the key.

use crate::{assert_locked, store};
use distributed_locks::{Error, distributed_lock};

#[derive(Clone, Debug)]
struct Order {
    id: u32,
    lines: (u8, u8),
}

#[distributed_lock(key = "/patterns/{a}/{b}", wait = 0)]
async fn tuple((a, b): (u32, &str), [first, ..]: [u8; 3]) -> Result<u32, Error> {
    Ok(a + u32::from(first) + u32::try_from(b.len()).unwrap())
}

#[distributed_lock(key = "/patterns/{id}/{first}", wait = 0)]
async fn destructured(Order { id, lines: (mut first, _) }: Order) -> Result<u8, Error> {
    first += 1;
    Ok(first + u8::try_from(id).unwrap())
}

#[distributed_lock(key = "/patterns/{order.id}/{last}", wait = 0)]
async fn bound(ref order @ Order { lines: (_, last), .. }: Order, _: u32) -> Result<u32, Error> {
    Ok(order.id + u32::from(last))
}

/// Names that are keywords, and names that the expansion uses itself.
#[distributed_lock(key = "/patterns/<type>/{r#fn}/{key}/{guard}/{error}", wait = 0)]
async fn odd_names(r#type: u8, r#fn: u8, key: u8, guard: u8, error: u8) -> Result<u8, Error> {
    let (value, client, options, site, outcome) = (1, 1, 1, 1, 1);
    Ok(r#type + r#fn + key + guard + error + value + client + options + site + outcome)
}

#[tokio::test]
async fn bound_names_are_in_the_key() {
    let locks = store("patterns");
    let order = Order { id: 9, lines: (3, 4) };
    assert_locked(&locks, "/patterns/1/x", async || tuple((1, "x"), [2, 0, 0]).await).await;
    assert_locked(&locks, "/patterns/9/3", async || destructured(order.clone()).await).await;
    assert_locked(&locks, "/patterns/9/4", async || bound(order.clone(), 0).await).await;
    assert_locked(&locks, "/patterns/1/2/3/4/5", async || odd_names(1, 2, 3, 4, 5).await).await;
    assert_eq!(distributed_locks::scoped(locks.clone(), odd_names(1, 2, 3, 4, 5)).await.unwrap(), 20);
    assert_eq!(distributed_locks::scoped(locks, destructured(order)).await.unwrap(), 13);
}
