//! A holder that is cut off from etcd stops its body before another process gets the lock.

use support::cases::Store;
use support::cut_off;

pub(crate) async fn fifty_times_before_another_starts(store: Store) {
    let etcd = store.etcd();
    let keys: Vec<String> = (0..50).map(|number| store.key(&number.to_string())).collect();
    let closest = cut_off::each_before_another_starts(&keys, etcd.address(), |authority| etcd.url_at(authority)).await;
    println!("the closest of 50: {} ms between the end and the next start", closest.as_millis());
}
