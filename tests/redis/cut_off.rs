//! A holder that is cut off from Redis stops its body before another process gets the lock.

use crate::Store;
use support::cut_off;

pub(crate) async fn twenty_times_before_another_starts(store: Store) {
    let redis = store.redis();
    let keys: Vec<String> = (0..20).map(|number| store.key(&number.to_string())).collect();
    let closest =
        cut_off::each_before_another_starts(&keys, redis.address(), |authority| redis.url_at(authority)).await;
    println!("the closest of 20: {} ms between the end and the next start", closest.as_millis());
}
